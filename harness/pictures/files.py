"""Pictures brought to a shape: decoded, cropped to the shape's aspect, resized and in its colours, by Pillow.

There is one resize from the original pixels, bilinear, in which every pixel of the source has its weight when the
picture gets smaller (antialiasing). So all backends see the same pixels, and the ones that a photo viewer would show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from harness.errors import DataError
from harness.spec import Array, Shape

RESIZE_VERSION = 1
"""Goes up when the same file or array would become other pixels: what was kept by an older one is not used."""

MODES = {1: "L", 3: "RGB"}


def read_picture(file: Path, shape: Shape) -> Array:
    """A picture file, upright, as whole numbers from 0 to 255."""
    with Image.open(file) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _fitted(image, shape)


def brought_to(images: Array, pixel_max: int, shape: Shape) -> Iterator[Array]:
    """Pictures with values from 0 to `pixel_max`, one by one, as whole numbers from 0 to 255."""
    if not np.issubdtype(images.dtype, np.integer):
        raise DataError(
            f"pictures of type {images.dtype} cannot be brought to {shape}: store them as whole numbers, or in the "
            "shape that the network takes"
        )
    for picture in images:
        levels = in_bytes(picture, pixel_max)
        grey = _mode(levels.shape[-1]) == "L"
        yield _fitted(Image.fromarray(levels[..., 0] if grey else levels), shape)


def in_bytes(picture: Array, pixel_max: int) -> Array:
    """A picture with values from 0 to `pixel_max`, as whole numbers from 0 to 255."""
    levels = picture if pixel_max == 255 else (picture * (255 / pixel_max)).round()
    return levels.astype(np.uint8)


def _fitted(image: Image.Image, shape: Shape) -> Array:
    """The largest centred box of the shape's aspect, resized to it."""
    rows, columns, channels = shape
    if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.width * rows < image.height * columns:
        width, height = float(image.width), image.width * rows / columns
    else:
        width, height = image.height * columns / rows, float(image.height)
    left, top = (image.width - width) / 2, (image.height - height) / 2
    box = (left, top, left + width, top + height)
    resized = image.convert(_mode(channels)).resize((columns, rows), Image.Resampling.BILINEAR, box)
    return np.asarray(resized).reshape(shape)


def _mode(channels: int) -> str:
    if channels not in MODES:
        raise DataError(f"pictures have 1 channel (grey) or 3 (red, green, blue), not {channels}")
    return MODES[channels]
