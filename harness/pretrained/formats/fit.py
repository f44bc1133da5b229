"""Checks that the tensors of a file are those of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.errors import SpecError
from harness.pretrained.formats.refusal import SHOWN, shortened
from harness.spec import Array, Shape, Weights


def require(tensors: Weights, expected: Mapping[str, Shape], origin: str) -> None:
    """Raise SpecError unless the tensors have exactly the expected names and shapes, and all values are finite."""
    wrong = [f"{name} is missing" for name in expected if name not in tensors]
    wrong += [f"{name} is not expected" for name in tensors if name not in expected]
    for name, shape in expected.items():
        if name in tensors:
            wrong += [f"{name} {problem}" for problem in _problems(tensors[name], shape)]
    if wrong:
        raise misfit(wrong, origin)


def misfit(wrong: Sequence[str], origin: str, advice: str = "") -> SpecError:
    """The error that lists everything that does not fit, or the first part of it."""
    more = f"; and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    shown = shortened("; ".join(wrong[:SHOWN]))
    return SpecError(f"{origin} does not fit, in {len(wrong):,} places: {shown}{more}{advice}", code="wrong-weights")


def _problems(tensor: Array, shape: Shape) -> list[str]:
    if tensor.shape != shape:
        return [f"is {tensor.shape}, not {shape}"]
    if tensor.dtype.kind != "f":
        return [f"has the type {tensor.dtype}, not a floating-point type"]
    if bad := tensor.size - int(np.isfinite(tensor).sum()):
        return [f"has {bad:,} values of {tensor.size:,} that are NaN or infinite"]
    return []
