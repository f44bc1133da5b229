"""What can go wrong, as a tree.

SamebenchError
 ├─ UsageError        the caller asked for something that is not there (exit code 2)
 ├─ SpecError         a model, a recipe or a set of weights contradicts itself
 ├─ DataError         a data set cannot be found, read or used
 ├─ PluginError       a plugin is broken, misspelt or claims a name that is taken
 ├─ Unavailable       a backend cannot run here: its framework or its device is missing
 │   └─ WrongDevice   it would run, but not on the device that was asked for
 ├─ ContractError     a backend returned what the contract does not allow
 └─ Unsupported       a backend declines a model, a recipe or a mode, and says why

OutOfRange is a UsageError and a SpecError: a number of an option, or of a recipe, that is too small, too large or not
finite.
"""

from __future__ import annotations

import warnings
from typing import Any


class SamebenchError(Exception):
    """Anything samebench says no to. The message names what, which one, what is allowed and what to do next."""


class UsageError(SamebenchError):
    """The caller asked for something that is not there."""


class SpecError(SamebenchError):
    """A model, a recipe or a set of weights contradicts itself."""


class OutOfRange(SpecError, UsageError):
    """A number is not in the range of its option."""

    def __init__(self, group: str, name: str, problem: str) -> None:
        """`group` is what has the option `name`: the path of a group of options, or the name of a class."""
        super().__init__(f"{group}.{name} {problem}" if group else f"{name} {problem}")
        self.name, self.problem = name, problem

    def within(self, group: str) -> OutOfRange:
        """The same error with the path of the group, as a user writes it."""
        return OutOfRange(group, self.name, self.problem)


class DataError(SamebenchError):
    """A data set cannot be found, read or used."""


class PluginError(SamebenchError):
    """A plugin is broken, misspelt or claims a name that is taken."""


class Unavailable(SamebenchError):
    """A backend cannot run here."""


class WrongDevice(Unavailable):
    """A backend would run on another device than the one asked for."""


class ContractError(SamebenchError):
    """A backend returned what the contract does not allow."""


class Unsupported(SamebenchError):
    """A backend declines, and says why; not a failure."""


def renamed_method(old: str, new: str) -> Any:
    """A method under its old name, for one release: it warns, and calls the new one."""

    def call(self: Any, *args: Any, **options: Any) -> Any:
        kind = type(self).__name__
        warnings.warn(
            f"{kind}.{old} is now called {kind}.{new}; the old name is removed in the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(self, new)(*args, **options)

    return call
