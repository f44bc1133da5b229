"""The messages of all errors that samebench raises, from its source code. `python tests/messages.py` prints them.

A message says what is wrong and where, what is allowed, and what to do next. Values in it are shown as {names}.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.errors import SamebenchError

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [file for folder in ("harness", "backends") for file in sorted((ROOT / folder).rglob("*.py"))]

ERRORS = (
    "UsageError", "SpecError", "DataError", "PluginError", "Unavailable", "WrongDevice", "ContractError", "Unsupported",
    "SamebenchError", "Refusal",
)  # fmt: skip
"""The errors whose messages users read."""

VERBS = [
    "add",
    "allow",
    "build",
    "call",
    "check",
    "choose",
    "close",
    "convert",
    "correct",
    "create",
    "declare",
    "define",
    "divide",
    "export",
    "free",
    "get",
    "give",
    "install",
    "keep",
    "leave",
    "load",
    "lower",
    "make",
    "mark",
    "measure",
    "move",
    "name",
    "pass",
    "print",
    "put",
    "raise",
    "read",
    "remove",
    "rename",
    "repeat",
    "replace",
    "report",
    "resize",
    "return",
    "run",
    "save",
    "see",
    "select",
    "set",
    "start",
    "store",
    "train",
    "try",
    "unset",
    "update",
    "use",
    "wait",
    "write",
]

MADE = (
    "nearest", "_hint", "_not_a_value", "do", "WrongDevice.do", "reason.do", "TENSORS_ONLY", "by_hand", "mend", "command",
    "advice", "scale_problem", "NAME_RULE", "KEEP_ORDER", "entry.reason", "hint",
)  # fmt: skip
"""Parts of messages that are made elsewhere and say what to do."""

DO = re.compile(
    rf"(?:^|[:;,.|] |\b(?:or|and|then) )(?:{'|'.join(VERBS)})\b|did you mean|pip install|\{{(?:{'|'.join(MADE)})\b"
)
"""Something to do, as a command: `; choose one of ...`."""

ALLOWED = re.compile(r"\bmust\b|\bneeds? |\btakes? |\bat (?:least|most) |\bmay\b|\bis for\b|; it has |There are: ")
"""Something that is allowed, which says what to do too: `must be a whole number`."""


ONLY_VALUES = re.compile(r"(?:\{[^}]*\}|[\s:])*")


def classes() -> list[type[SamebenchError]]:
    """All errors of samebench that are imported."""
    found: list[type[SamebenchError]] = [SamebenchError]
    for kind in found:
        found += [one for one in kind.__subclasses__() if one not in found and one.__module__.startswith("harness.")]
    return found


class Message(NamedTuple):
    """The message of an error at a place in the source."""

    place: str
    error: str
    text: str

    @property
    def helps(self) -> bool:
        """Whether it says what is allowed or what to do. A message of values only adds a place to another message."""
        return bool(DO.search(self.text) or ALLOWED.search(self.text) or ONLY_VALUES.fullmatch(self.text))


def messages() -> Iterator[Message]:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                yield Message(
                    f"{file.relative_to(ROOT)}:{node.lineno}",
                    node.func.id,
                    " ".join(map(_text, node.args)) + _more(node),
                )


def _more(call: ast.Call) -> str:
    """The advice that `opened` adds to the message of a refusal."""
    if isinstance(call.func, ast.Name) and call.func.id == "Refusal":
        given = next(
            (_text(keyword.value) for keyword in call.keywords if keyword.arg == "do"), "get it again, or save ..."
        )
        return f"; {given}"
    return ""


def _text(node: ast.expr) -> str:
    """The text of an expression, with its values in braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            value.value if isinstance(value, ast.Constant) else f"{{{ast.unparse(value.value)}}}"
            for value in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} | {_text(node.orelse)}"
    return f"{{{ast.unparse(node)}}}"


if __name__ == "__main__":
    for message in messages():
        print(f"{'  ' if message.helps else '! '}{message.place} {message.error}: {message.text}")
