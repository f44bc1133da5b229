"""The timed segments of a cell, as a result keeps them, and what they say about the speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.timing.clock import Rate
from harness.timing.load import Usage, load_problem
from harness.timing.steady import steady_from, unsteady


def as_record(rates: Sequence[float], shortest: float = 0.0) -> dict[str, Any]:
    """The speeds of the steady state, the speeds of all segments, and the use of the processor in each.

    `rates` are instances of `Rate`, or plain numbers that a task has measured by its own clock. `shortest` is the shortest
    segment that was asked for, in seconds; 0 for segments of any length, whose steadiness is not judged.
    """
    usages = [rate.usage for rate in rates if isinstance(rate, Rate)]
    named = {f"segment_{name}": [getattr(usage, name) for usage in usages] for name in Usage._fields}
    used = {name: values for name, values in named.items() if values and None not in values}
    start = steady_from(rates)
    return (
        {"images_per_s": list(map(float, rates[start or 0 :])), "segment_rates": list(map(float, rates))}
        | used
        | ({} if start is None else {"steady_from": start})
        | ({"shortest_segment": shortest} if shortest else {})
    )


def disturbance(time: Mapping[str, Any]) -> str | None:
    """The reason not to trust the speed of a cell, by the values of `as_record`; None if there is no reason."""
    if problem := load_problem(time):
        return problem
    if "shortest_segment" in time and "steady_from" not in time:
        return unsteady(time["segment_rates"])
    return None
