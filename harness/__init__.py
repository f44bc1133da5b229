"""samebench: the same deep-learning experiment on every framework.

All that an author of a backend, a model or a task imports is here. Names are loaded when first used, so that the
command line stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "harness.backend": "Backend Device Precision Trainer",
    "harness.data": "Batches Dataset Examples",
    "harness.errors": "DataError PluginError SamebenchError SpecError Unavailable Unsupported UsageError",
    "harness.markers": "hookimpl",
    "harness.recipe": "Adam AdamW Constant Cosine LossName Optimizer Recipe SGD Schedule Steps Warmup",
    "harness.spec": "Activation Add Array AvgPool BatchNorm Branches Concat Conv Counts Dense Dropout Flatten GlobalAvgPool "
    "Layer MaxPool Model Node Normalize Parameter Pool Residual Shape Upto Weights Window relu relu6 sigmoid swish tanh",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)

if TYPE_CHECKING:
    from harness.backend import Backend as Backend
    from harness.backend import Device as Device
    from harness.backend import Precision as Precision
    from harness.backend import Trainer as Trainer


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
