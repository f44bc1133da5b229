"""Opens files that may be hostile, and turns their problems into errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.errors import DataError, SamebenchError

SHOWN = 20
"""Maximum number of names in an error. The others are counted."""

LONGEST = 1500
"""Maximum length of an error, in characters: names in a hostile file may be as long as the file."""


AGAIN = "get it again, or save the weights as safetensors"


class Refusal(Exception):
    """A file is refused. The message gives the reason, `do` what the user can do, and `code` the kind of the problem. `opened`
    adds the name of the file."""

    def __init__(self, reason: str, *, do: str = AGAIN, code: str = "malformed-file") -> None:
        super().__init__(reason)
        self.do, self.code = do, code


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. Every problem with it becomes a DataError with its name."""
    if path.exists() and not path.is_file():
        raise DataError(
            f"{path} is refused as weights: it is a folder or a device; give the path of a file",
            code="not-a-regular-file",
        )
    try:
        with path.open("rb") as file:
            yield file
    except Refusal as reason:
        problem = shortened(str(reason))
        raise DataError(f"{path} is refused as weights: {problem}; {reason.do}", code=reason.code) from None
    except SamebenchError:
        raise
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as weights: {error.strerror or error}; give another file", code="unreadable-file"
        ) from error
    except Exception as error:  # parsers raise many kinds of errors for damaged files
        problem = shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path} is refused as weights: it is damaged: {problem}; remove it and get it again",
            code="unreadable-file",
        ) from error


def listed(names: list[str]) -> str:
    """The first names, and the number of the others."""
    more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def shortened(text: str) -> str:
    """The text, cut off after `LONGEST` characters."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def length_of(file: BinaryIO) -> int:
    """The size of the file in bytes."""
    return os.fstat(file.fileno()).st_size
