"""two-block-cnn: two convolutions, each with relu and pooling, and a hidden layer: the first network of many courses."""

from collections.abc import Mapping

from harness import Conv, Dense, Flatten, MaxPool, Model, ModelBuilder, Shape, hookimpl, relu


def two_block_cnn(input_shape: Shape = (32, 32, 3), classes: int = 10) -> Model:
    return Model(
        "two-block-cnn",
        input_shape,
        trunk=(
            Conv(32, 3, padding=1), relu, MaxPool(2),
            Conv(64, 3, padding=1), relu, MaxPool(2),
            Flatten(),
        ),
        head=(Dense(64), relu, Dense(classes)),
    )  # fmt: skip


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"two-block-cnn": two_block_cnn}
