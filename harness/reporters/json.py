"""The report for programs: schema 1. Keys may be added; no key is renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from harness import Report, hookimpl, json_line


def as_json(report: Report) -> str:
    """An object with a line for each cell and each row of the summary. Without indentation, a large report is fast to write."""
    return _object(report.as_json(), _values)


def _values(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(f"\n  {json_line(part)}" for part in value) + "\n ]"
    return _object(value, json_line, " ") if isinstance(value, dict) else json_line(value)


def _object(data: Mapping[str, Any], text: Callable[[Any], str], indent: str = "") -> str:
    lines = (f"\n{indent} {json.dumps(name)}: {text(value)}" for name, value in data.items())
    return "{" + ",".join(lines) + f"\n{indent}}}"


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"json": as_json}
