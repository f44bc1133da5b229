"""Text for output: lines of JSON, escaping of control characters, sizes, numbers of bytes, and the names of backends."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

REFERENCE = "numpy"
"""The backend that judges the pictures of every run. A file with this name is shown with its path."""


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""The control characters of ASCII, without tabs and line breaks."""


def printable(text: str) -> str:
    """The text with escaped control characters, so that a terminal does not execute them."""
    if text.isascii():  # a report in JSON may be large
        return CONTROL.sub(lambda found: _escaped(found[0]), text)
    return "".join(
        character if character in "\n\t" or unicodedata.category(character)[0] != "C" else _escaped(character)
        for character in text
    )


def shortened(text: str, longest: int) -> str:
    """The text, without its middle if it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]} [{len(text) - longest:,} characters left out] {text[-longest // 2 :]}"


def one_line(text: str) -> str:
    """The text as `printable` returns it, with escaped line breaks and tabs too: for a name, which must not make lines of its own."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode() if ord(character) != 0xFFFD else character


def json_line(value: Any) -> str:
    """A value as one line of JSON in ASCII, because a terminal would execute some other characters. msgspec is fast, but does not
    escape them."""
    import msgspec  # here, because every command imports this module

    with suppress(UnicodeEncodeError):  # half of a surrogate pair
        if (text := msgspec.json.encode(value)).isascii():
            return text.decode()
    return json.dumps(value, allow_nan=False)


def listed(names: Iterable[str]) -> str:
    """Names as a sentence lists them: pytorch, keras and jax."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def counted(number: int, what: str, several: str = "") -> str:
    """A number of things in words: 1 cell, 1,200 cells. `several` is the plural, if it does not end in s."""
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"


def format_size(sides: Sequence[int]) -> str:
    """A size as text, such as "224x224x3"."""
    return "x".join(map(str, sides))


def is_file(backend: str) -> bool:
    """Whether a backend is given as a file, and not by the name of an installed one."""
    return backend.endswith(".py")


def shown_names(backends: Iterable[str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """A name for each backend of a run; `own` are the names that the run has kept. Files with the same name are told apart
    by the end of their paths."""
    called = {backend: _called(backend, own or {}) for backend in dict.fromkeys(backends)}
    shown: dict[str, str] = {}
    for name in dict.fromkeys(called.values()):
        alike = [backend for backend, its in called.items() if its == name]
        files = [backend for backend in alike if is_file(backend)]
        shown |= dict.fromkeys(alike, name)
        if len(alike) > 1 or (files and name == REFERENCE):
            shown |= {file: f"{name} ({end})" for file, end in zip(files, _shortest_ends(files), strict=True)}
    doubled = [backend for backend, name in shown.items() if list(shown.values()).count(name) > 1]
    return shown | {backend: printable(backend) for backend in doubled}


def _called(backend: str, own: Mapping[str, str]) -> str:
    name = own.get(backend)
    return printable(name)[:100] if isinstance(name, str) and name and is_file(backend) else stem(backend)


def stem(backend: str) -> str:
    """The name of a backend, or of its file without the ending."""
    return printable(PurePath(backend).stem) if is_file(backend) else backend


def _shortest_ends(files: Sequence[str]) -> list[str]:
    """The last parts of each path, as many as tell all of them apart."""
    parts = [PurePath(file).parts for file in files]
    for count in range(1, max(map(len, parts), default=0) + 1):
        ends = ["/".join(part.strip("/") for part in path[-count:]) for path in parts]
        if len(set(ends)) == len(ends):
            return [printable(end) for end in ends]
    return [printable(file) for file in files]


def format_bytes(count: float) -> str:
    """A number of bytes in words, in steps of 1,000: 824.9 MB."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
