"""The text of a command, for a terminal or for a file."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError


def write_output(text: str, output: Path, what: str) -> None:
    """Write a text to a file that the user has named. `what` names the text in an error."""
    try:
        output.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"the {what} cannot be written to {output}: {error.strerror}", code="not-writable") from None
