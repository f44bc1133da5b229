"""lenet5: LeCun, Bottou, Bengio, Haffner 1998, with full connections between its convolutions and a softmax.

It was published for 32x32 grey pictures. Pictures of 28 to 31 pixels are padded to 32: the 28x28 digits of the paper were
padded too. Smaller pictures are refused, because most of the input would be zeros.
"""

from collections.abc import Mapping

from harness import AvgPool, Conv, Dense, Flatten, Model, ModelBuilder, Shape, Sides, SpecError, hookimpl, tanh

FIELD, BORDER = 32, 4


def lenet5(input_shape: Shape = (32, 32, 1), classes: int = 10) -> Model:
    return Model(
        "lenet5",
        input_shape,
        trunk=(
            Conv(6, 5, padding=_border(input_shape)), tanh, AvgPool(2),
            Conv(16, 5), tanh, AvgPool(2),
            Conv(120, 5), tanh,
            Flatten(),
        ),
        head=(Dense(84), tanh, Dense(classes)),
    )  # fmt: skip


def _border(input_shape: Shape) -> Sides:
    """The padding to 32x32. If it is odd, the larger part is at the end."""
    missing = [max(FIELD - size, 0) for size in input_shape[:2]]
    if max(missing) > BORDER:
        raise SpecError(
            f"lenet5 takes pictures of {FIELD - BORDER}x{FIELD - BORDER} or more, not {input_shape[0]}x{input_shape[1]}: "
            f"resize them with --set data.size={FIELD}",
            code="wrong-shape",
        )
    sides = [(gap // 2, gap - gap // 2) for gap in missing]
    return sides[0], sides[1]


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"lenet5": lenet5}
