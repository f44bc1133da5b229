"""Filters for all pictures of a dataset, before any network gets them. OpenCV computes them in the order of the option.

    grey              the brightness alone
    equalise          equalises the histogram of the brightness
    gaussian[:SIZE]   Gaussian blur in a window of SIZE x SIZE pixels (5)
    median[:SIZE]     the median of a window of SIZE x SIZE pixels (5)
    canny[:LOW-HIGH]  Canny edges, white on black, with two thresholds for the gradient (100-200)

The number of channels stays the same: a grey result is repeated in each channel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.errors import DataError, Unavailable, UsageError
from harness.options import nearest
from harness.pictures.files import MODES, in_bytes
from harness.spec import Array

FILTER_VERSION = 1
"""Increased when a step gives other pixels, so that older cached pictures are not used."""


def check_steps(steps: Sequence[str]) -> None:
    """Raise UsageError unless all of these are steps. This does not need OpenCV."""
    for step in steps:
        _parsed(step)


def steps_key(steps: Sequence[str]) -> str:
    """A key for the cache: it changes with the steps and with the version of OpenCV."""
    return hashlib.sha256(repr((FILTER_VERSION, tuple(steps), _opencv().__version__)).encode()).hexdigest()[:16]


def stepped(steps: Sequence[str], images: Array, pixel_max: int) -> Iterator[Array]:
    """Apply all steps to pictures with values from 0 to `pixel_max`, one by one. The results are from 0 to 255."""
    channels = images.shape[-1]
    if not np.issubdtype(images.dtype, np.integer) or channels not in MODES:
        raise DataError(
            f"data.steps ({', '.join(steps)}) cannot be applied to pictures of type {images.dtype} with {channels} "
            "channels: they need whole numbers and 1 channel (grey) or 3 (red, green, blue); leave data.steps out",
            code="wrong-type",
        )
    cv2, parsed = _opencv(), [_parsed(step) for step in steps]
    for picture in images:
        picture = in_bytes(picture, pixel_max)
        for compute, numbers in parsed:
            found = compute(cv2, picture, *numbers)
            picture = found if found.ndim == 3 else np.repeat(found[..., None], channels, axis=-1)
        yield picture


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise Unavailable(
            "data.steps are computed by OpenCV: pip install 'samebench[opencv]'", code="not-installed"
        ) from error
    cv2.setNumThreads(1)  # more threads would stay alive and disturb the framework that is timed
    return cv2


def _grey(cv2: Any, picture: Array) -> Any:
    return picture[..., 0] if picture.shape[-1] == 1 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _equalise(cv2: Any, picture: Array) -> Any:
    if picture.shape[-1] == 1:
        return cv2.equalizeHist(picture)
    parts = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    parts[..., 0] = cv2.equalizeHist(parts[..., 0])
    return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)


def _gaussian(cv2: Any, picture: Array, size: int) -> Any:
    return cv2.GaussianBlur(picture, (size, size), 0)  # 0: sigma is computed from the size of the window


def _median(cv2: Any, picture: Array, size: int) -> Any:
    return cv2.medianBlur(picture, size)


def _canny(cv2: Any, picture: Array, low: int, high: int) -> Any:
    return cv2.Canny(_grey(cv2, picture), low, high)


def _size(argument: str) -> tuple[int, ...] | None:
    size = int(argument) if re.fullmatch("[0-9]{1,3}", argument) else 0
    return (size,) if size in range(3, 256, 2) else None


def _thresholds(argument: str) -> tuple[int, ...] | None:
    found = re.fullmatch("([0-9]{1,4})-([0-9]{1,4})", argument)
    numbers = tuple(map(int, found.groups())) if found else (1, 0)
    return numbers if numbers[0] <= numbers[1] else None


class Step(NamedTuple):
    """A kind of step: a function of OpenCV, a picture and the numbers of its argument."""

    compute: Callable[..., Any]
    default: tuple[int, ...] = ()
    takes: str = "no argument"
    read: Callable[[str], tuple[int, ...] | None] = lambda argument: None
    """Parses the argument into numbers; None if it is invalid."""


SIZE = "an odd number of pixels from 3 to 255, such as"
THRESHOLDS = "two thresholds from 0 to 9999, the lower one first, such as canny:100-200"
STEPS = {
    "grey": Step(_grey),
    "equalise": Step(_equalise),
    "gaussian": Step(_gaussian, (5,), f"{SIZE} gaussian:5", _size),
    "median": Step(_median, (5,), f"{SIZE} median:5", _size),
    "canny": Step(_canny, (100, 200), THRESHOLDS, _thresholds),
}


def _parsed(text: str) -> tuple[Callable[..., Any], tuple[int, ...]]:
    name, colon, argument = text.partition(":")
    if name not in STEPS:
        raise UsageError(f"data.steps: there is no step {name!r}; {nearest(name, STEPS)}", code="unknown-name")
    step = STEPS[name]
    numbers = step.read(argument) if colon else step.default
    if numbers is None:
        raise UsageError(f"data.steps: {name} takes {step.takes}, not {argument!r}", code="wrong-form")
    return step.compute, numbers
