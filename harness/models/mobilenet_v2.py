"""mobilenet-v2: Sandler, Howard, Zhu, Zhmoginov, Chen 2018, as in Keras, which has no dropout.

The trunk ends in the 1,280 pooled features. The layers have the order of Keras' file: Conv1,
expanded_conv_depthwise, expanded_conv_project, block_1_expand and so on, each followed by its batch norm.
"""

from collections.abc import Mapping

from harness import BatchNorm, Dense, GlobalAvgPool, Model, ModelBuilder, Shape, hookimpl
from harness.models.inverted_residuals import Stage, inverted_residuals
from harness.models.pixels import TF
from harness.models.sizes import at_least

SIZE, LEAST = 224, 32
NORM = BatchNorm(momentum=0.999, epsilon=1e-3)
STAGES = (
    Stage(expansion=1, channels=16, blocks=1, stride=1),
    Stage(expansion=6, channels=24, blocks=2, stride=2),
    Stage(expansion=6, channels=32, blocks=3, stride=2),
    Stage(expansion=6, channels=64, blocks=4, stride=2),
    Stage(expansion=6, channels=96, blocks=3, stride=1),
    Stage(expansion=6, channels=160, blocks=3, stride=2),
    Stage(expansion=6, channels=320, blocks=1, stride=1),
)


def mobilenet_v2(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    at_least(LEAST, input_shape, "mobilenet-v2", SIZE)
    trunk = (TF, *inverted_residuals(input_shape, STAGES, NORM), GlobalAvgPool())
    return Model("mobilenet-v2", input_shape, trunk, head=(Dense(classes),))


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"mobilenet-v2": mobilenet_v2}
