"""What a published network has to do with the size of its pictures: padding that depends on it, and what it refuses."""

from dataclasses import replace

from harness import Conv, Shape, SpecError, format_size

RGB = (3,)


def same(layer: Conv, shape: Shape) -> Conv:
    """The layer with the padding that TensorFlow's "same" means for an input of `shape`."""
    return replace(layer, padding=layer.window.same_sides(shape))


def at_least(least: int, input_shape: Shape, name: str, published: int) -> None:
    """Refuse smaller pictures, and other colours than the published ones."""
    if min(input_shape[:2]) < least or input_shape[2:] != RGB:
        raise _refusal(f"{name} takes RGB pictures of {least}x{least} or more", input_shape, published)


def exactly(size: int, input_shape: Shape, name: str) -> None:
    """Refuse all other pictures: for networks whose first dense layer sees every place of them."""
    if input_shape != (size, size, *RGB):
        raise _refusal(f"{name} takes RGB pictures of {size}x{size}", input_shape, size)


def _refusal(rule: str, shape: Shape, published: int) -> SpecError:
    return SpecError(f"{rule}, not {format_size(shape)}: bring them to its size with --set data.size={published}")
