"""The report for programs: schema 1, keys may be added and none is renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from harness import Report, hookimpl


def as_json(report: Report) -> str:
    return json.dumps(report.as_json(), indent=1, allow_nan=False)


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"json": as_json}
