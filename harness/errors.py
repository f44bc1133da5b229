"""The tree of exceptions.

SamebenchError
 ├─ UsageError        the user named something that does not exist or is not allowed (exit code 2)
 ├─ SpecError         a model, a recipe or a set of weights contradicts itself
 ├─ DataError         a dataset cannot be found, read or used
 ├─ PluginError       a plugin is broken, misspelt or claims a name that is taken
 ├─ Unavailable       a backend cannot run here: its framework or its device is missing
 │   └─ WrongDevice   a backend would run, but not on the requested device
 ├─ ContractError     a backend returned a value that the contract does not allow
 └─ Unsupported       a backend does not support a model, a recipe or a mode

OutOfRange is a UsageError and a SpecError: a number of an option or of a recipe is too small, too large or not finite.
"""

from __future__ import annotations

import warnings
from typing import Any


class SamebenchError(Exception):
    """The base of all errors of samebench. A message says what is wrong and where, what is allowed, and what to do next."""


class UsageError(SamebenchError):
    """The user named something that does not exist or is not allowed."""


class SpecError(SamebenchError):
    """A model, a recipe or a set of weights contradicts itself."""


class OutOfRange(SpecError, UsageError):
    """A number is outside the range of its option."""

    def __init__(self, group: str, name: str, problem: str) -> None:
        """`group` contains the option `name`: it is the path of a group of options, or the name of a class."""
        super().__init__(f"{group}.{name} {problem}" if group else f"{name} {problem}")
        self.name, self.problem = name, problem

    def within(self, group: str) -> OutOfRange:
        """The same error, with the path of the group that a user writes."""
        return OutOfRange(group, self.name, self.problem)


class DataError(SamebenchError):
    """A dataset cannot be found, read or used."""


class PluginError(SamebenchError):
    """A plugin is broken, misspelt or claims a name that is taken."""


class Unavailable(SamebenchError):
    """A backend cannot run here."""


class WrongDevice(Unavailable):
    """A backend would not run on the requested device."""


class ContractError(SamebenchError):
    """A backend returned a value that the contract does not allow."""


class Unsupported(SamebenchError):
    """A backend does not support a model, a recipe or a mode. This is not a failure."""


def renamed_method(old: str, new: str) -> Any:
    """The old name of a method, for one release: it warns, and calls the method of the new name."""

    def call(self: Any, *args: Any, **options: Any) -> Any:
        kind = type(self).__name__
        warnings.warn(
            f"{kind}.{old} is now called {kind}.{new}; the old name is removed in the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(self, new)(*args, **options)

    return call
