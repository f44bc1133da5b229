"""alexnet: Krizhevsky 2014, "One weird trick", with one tower and without response normalisation, as in torchvision.

The trunk ends in the 4,096 features of the second fully connected layer, which are usual in transfer learning; the head
is the last layer. The layers have the order of torchvision's file (`features.0` to `classifier.6`), whose first dense
kernel expects pictures flattened with channels first.
"""

from collections.abc import Mapping

from harness import Conv, Dense, Dropout, Flatten, MaxPool, Model, ModelBuilder, Shape, hookimpl, relu
from harness.models.pixels import TORCH
from harness.models.sizes import exactly

SIZE = 224


def alexnet(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    exactly(SIZE, input_shape, "alexnet")
    return Model(
        "alexnet",
        input_shape,
        trunk=(
            TORCH,
            Conv(64, 11, stride=4, padding=2), relu, MaxPool(3, 2),
            Conv(192, 5, padding=2), relu, MaxPool(3, 2),
            Conv(384, 3, padding=1), relu,
            Conv(256, 3, padding=1), relu,
            Conv(256, 3, padding=1), relu, MaxPool(3, 2),
            Flatten(),
            Dropout(0.5), Dense(4096), relu,
            Dropout(0.5), Dense(4096), relu,
        ),
        head=(Dense(classes),),
    )  # fmt: skip


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"alexnet": alexnet}
