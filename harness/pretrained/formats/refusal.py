"""Opening a file that may be hostile, and one way to say why it is not taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.errors import DataError, SamebenchError

SHOWN = 20
"""Names that an error lists; of the others it says how many there are."""

LONGEST = 1500
"""Letters of an error: names in a hostile file may be as long as the file."""


class Refusal(Exception):
    """Why a file is not taken as weights. Whoever raises it need not know the name of the file."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading. Whatever goes wrong with it becomes a DataError with its name."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is refused as weights: it is a folder or a device, not a file")
    try:
        with path.open("rb") as file:
            yield file
    except Refusal as reason:
        raise DataError(f"{path} is refused as weights: {shortened(str(reason))}") from None
    except SamebenchError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read as weights: {error.strerror or error}") from error
    except Exception as error:  # whatever a damaged file makes its parser raise
        problem = shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path} is refused as weights: it is damaged: {problem}; remove it and get it again"
        ) from error


def listed(names: list[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def shortened(text: str) -> str:
    """The text, without its end if it is long."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def length_of(file: BinaryIO) -> int:
    """Bytes of the whole file."""
    return os.fstat(file.fileno()).st_size
