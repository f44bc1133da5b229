"""The report for programs: schema 1. Keys may be added; no key is renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from harness import Report, hookimpl


def as_json(report: Report) -> str:
    """An object with a line for each cell and each row of the summary. Without indentation, a large report is fast to write."""
    return _object(report.as_json(), _values)


def _values(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(f"\n  {_compact(part)}" for part in value) + "\n ]"
    return _object(value, _compact, " ") if isinstance(value, dict) else _compact(value)


def _object(data: Mapping[str, Any], text: Callable[[Any], str], indent: str = "") -> str:
    lines = (f"\n{indent} {json.dumps(name)}: {text(value)}" for name, value in data.items())
    return "{" + ",".join(lines) + f"\n{indent}}}"


def _compact(value: Any) -> str:
    """A value in one line of ASCII: a terminal would execute some other characters. msgspec is fast, but does not escape them."""
    with suppress(UnicodeEncodeError):  # half of a surrogate pair
        if (text := msgspec.json.encode(value)).isascii():
            return text.decode()
    return json.dumps(value, allow_nan=False)


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"json": as_json}
