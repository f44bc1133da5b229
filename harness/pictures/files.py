"""Decoding and resizing of pictures by Pillow: cropped to the aspect of a shape, resized, and in its colours.

Each picture is resized once from its original pixels, bilinearly and with antialiasing. So all backends get the same
pixels, and they are those that a photo viewer shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from harness.errors import DataError, SamebenchError
from harness.spec import Array, Shape

RESIZE_VERSION = 2
"""Increased when the same file or array gives other pixels, so that older cached pictures are not used."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats that are read. Pillow knows more, and for some of them it starts other programs."""

NO_RANGE = ("I", "F")
"""The modes of pictures of 32-bit numbers. Nobody knows which number is white."""

MODES = {1: "L", 3: "RGB"}


def read_picture(file: Path, shape: Shape) -> Array:
    """Read a picture file, upright, as whole numbers from 0 to 255."""
    with Image.open(file, formats=FORMATS) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _fitted(image, shape)


@contextmanager
def picture_errors(file: Path) -> Iterator[None]:
    """Turn every error about a picture file into an error of samebench that names the file."""
    try:
        yield
    except SamebenchError:
        raise
    except Exception as error:  # Pillow raises many types of errors for a damaged file
        raise DataError(
            f"{file} cannot be read as a picture: {error}; give a JPEG or PNG file", code="unreadable-file"
        ) from None


def resize_pictures(images: Array, pixel_max: int, shape: Shape) -> Iterator[Array]:
    """Resize pictures with values from 0 to `pixel_max`, one by one, to whole numbers from 0 to 255."""
    if not np.issubdtype(images.dtype, np.integer):
        raise DataError(
            f"pictures of type {images.dtype} cannot be resized to {shape}: store them as whole numbers, or in the "
            "shape that the network takes",
            code="wrong-type",
        )
    for picture in images:
        levels = in_bytes(picture, pixel_max)
        grey = _mode(levels.shape[-1]) == "L"
        yield _fitted(Image.fromarray(levels[..., 0] if grey else levels), shape)


def in_bytes(picture: Array, pixel_max: int) -> Array:
    """Convert a picture with values from 0 to `pixel_max` to whole numbers from 0 to 255."""
    levels = picture if pixel_max == 255 else (picture * (255 / pixel_max)).round()
    return levels.astype(np.uint8)


def _fitted(image: Image.Image, shape: Shape) -> Array:
    """The largest centred box with the aspect of the shape, resized to the shape."""
    rows, columns, channels = shape
    if image.mode in NO_RANGE:
        raise ValueError("it has 32-bit numbers, whose range is unknown: save it with 8 or 16 bits")
    if image.mode.startswith("I;16"):  # Pillow would clip these at 255
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
        raise DataError(
            f"pictures must have 1 channel (grey) or 3 (red, green, blue), not {channels}", code="wrong-shape"
        )
    return MODES[channels]
