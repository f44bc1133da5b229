"""Text for output: escaping of control characters, and sizes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def printable(text: str) -> str:
    """The text with escaped control characters, so that a terminal does not execute them."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character)[0] != "C" else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode() if ord(character) != 0xFFFD else character


def format_size(sides: Sequence[int]) -> str:
    """A size as text, such as "224x224x3"."""
    return "x".join(map(str, sides))
