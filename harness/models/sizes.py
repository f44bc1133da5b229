"""Sizes of pictures for published networks: padding that depends on the size, and sizes that are refused."""

from dataclasses import replace

from harness import Conv, Shape, SpecError, format_size

RGB = (3,)


def same(layer: Conv, shape: Shape) -> Conv:
    """The layer with TensorFlow's "same" padding for an input of this shape."""
    return replace(layer, padding=layer.window.same_sides(shape))


def at_least(least: int, input_shape: Shape, name: str, published: int) -> None:
    """Raise SpecError for smaller pictures, and for pictures that are not RGB."""
    if min(input_shape[:2]) < least or input_shape[2:] != RGB:
        raise _refusal(f"{name} takes RGB pictures of {least}x{least} or more", input_shape, published)


def exactly(size: int, input_shape: Shape, name: str) -> None:
    """Raise SpecError for any other shape: the first dense layer of such networks depends on the size."""
    if input_shape != (size, size, *RGB):
        raise _refusal(f"{name} takes RGB pictures of {size}x{size}", input_shape, size)


def _refusal(rule: str, shape: Shape, published: int) -> SpecError:
    return SpecError(
        f"{rule}, not {format_size(shape)}: resize them with --set data.size={published}", code="wrong-shape"
    )
