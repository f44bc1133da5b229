"""Text made fit for a reader: text from elsewhere, sizes, and numbers of bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def printable(text: str) -> str:
    """The text with whatever a terminal would act on spelled out: escapes, bells, changes of writing direction."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character)[0] != "C" else _spelled_out(character)
        for character in text
    )


def _spelled_out(character: str) -> str:
    return character.encode("unicode_escape").decode() if ord(character) != 0xFFFD else character


def format_size(sides: Sequence[int]) -> str:
    """A size in words: 224x224x3."""
    return "x".join(map(str, sides))


def format_bytes(count: float) -> str:
    """A number of bytes in words, in steps of 1,000: 824.9 MB."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
