"""The last notes of a report: machines, devices and versions, and the meaning of intervals and rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.report.stats import FEWEST_MEANS, FEWEST_RATES
from harness.report.summary import Report
from harness.result import Result

INTERVALS = (
    f"( to ): 95 % confidence intervals. Accuracies and other metrics: of the mean over seeds, for at least {FEWEST_MEANS} "
    f"seeds. Rates: of the geometric mean over cells, for at least {FEWEST_RATES} cells; each cell is the median of its "
    "segments. A rate of fewer cells has their number n instead.",
    "Rates do not include the first step and the warm-up steps, which are timed separately. They include later compilation.",
)


def footer(report: Report) -> Iterator[str]:
    """The machine, the device and the versions. If there are several, each is followed by its backends."""
    finished, host = [result for result in report.results if result.status == "ok"], report.run.get("host", {})
    devices = _by_backend(finished, lambda result: str(result.evidence.get("device", "")).upper())
    machines = _by_backend(finished, lambda result: _machine(_host(result, host))) or _machine(host)
    pythons = _by_backend(finished, lambda result: _host(result, host).get("python")) or host.get("python")
    names = sorted({name for result in finished for name in result.versions})
    versions = [f"{name} {_version(name, finished)}" for name in names]
    where = (f"the {devices} of " if devices else "") + (machines or "an unknown machine")
    ours = _by_backend(finished, _samebench)
    yield f"On {', '.join([where, *([f'Python {pythons}'] if pythons else []), *versions, *([ours] if ours else [])])}."
    if finished:
        yield from INTERVALS


def _samebench(result: Result) -> str:
    """The version of samebench, and its commit if the cell ran from a checkout. Older cells do not name them."""
    known = result.provenance.get("samebench", {})
    changed = ", changed" if known.get("changed") else ""
    commit = f" ({known['commit'][:9]}{changed})" if known.get("commit") else ""
    return f"samebench {known['version']}{commit}" if known else ""


def _version(name: str, results: Sequence[Result]) -> str:
    return _by_backend(results, lambda result: result.versions.get(name))


def _host(result: Result, usual: dict[str, Any]) -> dict[str, Any]:
    """The machine of the cell. Older cells do not name it; then it is the machine on which the run was started."""
    found: dict[str, Any] = result.evidence.get("host", usual)
    return found


def _machine(host: dict[str, Any]) -> str:
    parts = (host.get("processor"), f"{host['cores']} cores" if "cores" in host else None, host.get("system"))
    return ", ".join(str(part) for part in parts if part)


def _by_backend(results: Sequence[Result], value_of: Callable[[Result], Any]) -> str:
    """The value that all cells share, or else all values, each with its backends."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        if value := value_of(result):
            found.setdefault(str(value), {})[result.shown] = None
    if len(found) < 2:
        return "".join(found)
    return " and ".join(f"{value} ({', '.join(backends)})" for value, backends in found.items())
