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

Each error has a code from `CODES`. Programs and tests match the type and the code; the wording of messages may change.
"""

from __future__ import annotations

import errno
import warnings
from typing import Any

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of the disk. They are not errors of the user's choice of a folder."""

CODES: dict[str, str] = {
    # The codes of the classes, for errors without a code of their own.
    "error": "An error of samebench that has no other code.",
    "usage": "The user named something that does not exist or is not allowed.",
    "spec": "A model, a recipe or a set of weights contradicts itself.",
    "data": "A dataset cannot be found, read or used.",
    "plugin": "A plugin lacks a hook or a method, or has a hook that samebench does not know.",
    "unavailable": "A backend cannot run here.",
    "unsupported": "A backend does not support an optimiser, native semantics, or an input pipeline of its own.",
    "contract": "A backend returned a value, or changed one, against the contract.",
    "broken-rule": "A backend breaks a rule of conformance.",
    # Names and options.
    "unknown-name": "There is no model, backend, mode, layer or choice of this name.",
    "unknown-option": "There is no option with this path.",
    "name-taken": "Two things have the same name, or the name is reserved.",
    "given-twice": "An option, or a number of a list, is given more than once.",
    "missing-option": "A command, an option or a dataset needs a value that is not given.",
    "conflicting-options": "Options contradict each other, or make no sense together.",
    "needs-confirmation": "A run is so large that the user must confirm it.",
    # Values.
    "wrong-type": "A value or an array has a type that is not allowed.",
    "wrong-form": "A text does not have the form that is needed, such as 32x32x3 for a shape, or has forbidden characters.",
    "wrong-shape": "The shape of an array or of a picture does not fit.",
    "out-of-range": "A number is too small or too large.",
    "not-finite": "A number is NaN or infinite.",
    # Files and folders.
    "not-found": "A file or a folder does not exist, or has no such contents.",
    "not-a-regular-file": "A link, a device or a folder is where a file is expected, or a file is where a folder is expected.",
    "not-a-run": "A folder is not the folder of a run.",
    "not-writable": "A file or a folder cannot be written.",
    "in-use": "Another process uses the folder.",
    "not-downloaded": "A file is missing, and its download fails or is forbidden.",
    "wrong-hash": "The content of a file is not the published or recorded content.",
    "wrong-version": "A run or a plugin is written for another version of samebench.",
    "unreadable-file": "A file cannot be opened, or is damaged or cut off.",
    "malformed-file": "A file can be opened, but its contents contradict each other or the rules of its format.",
    "unknown-format": "A file has a format, or a variant of a format, that samebench does not read.",
    "unsafe-file": "A file asks for code, links, data of other files or much memory, and is not read.",
    "untrusted-file": "A program of others would be executed, and the user has not named it.",
    # Data and weights.
    "wrong-classes": "Classes or labels are missing, or do not fit each other.",
    "too-few-examples": "There are too few pictures or batches.",
    "wrong-weights": "Weights do not fit the network.",
    "unknown-order": "The order of the layers in a file of weights is unknown.",
    # Packages and backends.
    "not-installed": "A package that is needed is not installed.",
    "import-failed": "A plugin raises an error when it is imported or asked for its contents.",
    "wrong-device": "A backend finds no such device, or runs on another one.",
    "unsupported-layer": "A backend has no such layer.",
    "unsupported-mode": "A backend has no such mode or precision.",
}
"""The codes of all errors, each with its meaning. A code says which kind of mistake was made, not where."""


class SamebenchError(Exception):
    """The base of all errors of samebench. A message says what is wrong and where, what is allowed, and what to do next."""

    code: str = "error"
    """The kind of mistake, one of `CODES`. Each class has a default."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(SamebenchError):
    """The user named something that does not exist or is not allowed."""

    code = "usage"


class SpecError(SamebenchError):
    """A model, a recipe or a set of weights contradicts itself."""

    code = "spec"


class OutOfRange(SpecError, UsageError):
    """A number is outside the range of its option."""

    code = "out-of-range"

    def __init__(self, group: str, name: str, problem: str, *, code: str | None = None) -> None:
        """`group` contains the option `name`: it is the path of a group of options, or the name of a class."""
        super().__init__(f"{group}.{name} {problem}" if group else f"{name} {problem}", code=code)
        self.group, self.name, self.problem = group, name, problem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.group, self.name, self.problem), self.__dict__

    def within(self, group: str) -> OutOfRange:
        """The same error, with the path of the group that a user writes."""
        return OutOfRange(group, self.name, self.problem, code=self.code)


class DataError(SamebenchError):
    """A dataset cannot be found, read or used."""

    code = "data"


class PluginError(SamebenchError):
    """A plugin is broken, misspelt or claims a name that is taken."""

    code = "plugin"


class Unavailable(SamebenchError):
    """A backend cannot run here."""

    code = "unavailable"


class WrongDevice(Unavailable):
    """A backend would not run on the requested device."""

    code = "wrong-device"
    do = "choose another --device, or install the build of its framework for this one"


class ContractError(SamebenchError):
    """A backend returned a value that the contract does not allow."""

    code = "contract"


class Unsupported(SamebenchError):
    """A backend does not support a model, a recipe or a mode. This is not a failure."""

    code = "unsupported"


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
