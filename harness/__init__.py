"""samebench: the same deep-learning experiment on every framework.

All that an author of a backend, a model or a task imports is here. Names are loaded when first used, so that the
command line stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "harness.attack": "Attack",
    "harness.pictures.augmentation": "Augmentation",
    "harness.backend": "Backend Device Precision Trainer",
    "harness.data": "Batches Dataset Examples",
    "harness.errors": "DataError PluginError SamebenchError SpecError Unavailable Unsupported UsageError WrongDevice",
    "harness.tasks.common.evaluation": "Evaluation Point evaluate overfitting_gap",
    "harness.tasks.common.fitting": "Fit EpochGroups",
    "harness.pictures.inputs": "DatasetLoader LoadRequest",
    "harness.hookspecs": "hookimpl",
    "harness.storage.places": "Download Places",
    "harness.pretrained.entries": "Pretrained in_package",
    "harness.recipe": "Adam AdamW Constant Cosine LossName Objective Optimizer Recipe SGD Schedule StepDecay Warmup",
    "harness.spec": "Activation Add Array AvgPool BatchNorm Branches Concat Conv Counts Dense Dropout Flatten GlobalAvgPool "
    "Layer MaxPool Model Node Normalize Parameter Pool Residual Shape Sides Upto Weights Window relu relu6 sigmoid swish tanh",
    "harness.tasks.common.stopping": "Stopping Watch",
    "harness.task": "TaskContext TaskResult ModelBuilder Subject Task Trained",
    "harness.tasks.common.transfer": "Head Trunk",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)

if TYPE_CHECKING:  # the same names for editors and type checkers; a test compares them
    from harness.attack import Attack as Attack
    from harness.backend import Backend as Backend
    from harness.backend import Device as Device
    from harness.backend import Precision as Precision
    from harness.backend import Trainer as Trainer
    from harness.data import Batches as Batches
    from harness.data import Dataset as Dataset
    from harness.data import Examples as Examples
    from harness.errors import DataError as DataError
    from harness.errors import PluginError as PluginError
    from harness.errors import SamebenchError as SamebenchError
    from harness.errors import SpecError as SpecError
    from harness.errors import Unavailable as Unavailable
    from harness.errors import Unsupported as Unsupported
    from harness.errors import UsageError as UsageError
    from harness.errors import WrongDevice as WrongDevice
    from harness.hookspecs import hookimpl as hookimpl
    from harness.pictures.augmentation import Augmentation as Augmentation
    from harness.pictures.inputs import DatasetLoader as DatasetLoader
    from harness.pictures.inputs import LoadRequest as LoadRequest
    from harness.pretrained.entries import Pretrained as Pretrained
    from harness.pretrained.entries import in_package as in_package
    from harness.recipe import SGD as SGD
    from harness.recipe import Adam as Adam
    from harness.recipe import AdamW as AdamW
    from harness.recipe import Constant as Constant
    from harness.recipe import Cosine as Cosine
    from harness.recipe import LossName as LossName
    from harness.recipe import Objective as Objective
    from harness.recipe import Optimizer as Optimizer
    from harness.recipe import Recipe as Recipe
    from harness.recipe import Schedule as Schedule
    from harness.recipe import StepDecay as StepDecay
    from harness.recipe import Warmup as Warmup
    from harness.spec import Activation as Activation
    from harness.spec import Add as Add
    from harness.spec import Array as Array
    from harness.spec import AvgPool as AvgPool
    from harness.spec import BatchNorm as BatchNorm
    from harness.spec import Branches as Branches
    from harness.spec import Concat as Concat
    from harness.spec import Conv as Conv
    from harness.spec import Counts as Counts
    from harness.spec import Dense as Dense
    from harness.spec import Dropout as Dropout
    from harness.spec import Flatten as Flatten
    from harness.spec import GlobalAvgPool as GlobalAvgPool
    from harness.spec import Layer as Layer
    from harness.spec import MaxPool as MaxPool
    from harness.spec import Model as Model
    from harness.spec import Node as Node
    from harness.spec import Normalize as Normalize
    from harness.spec import Parameter as Parameter
    from harness.spec import Pool as Pool
    from harness.spec import Residual as Residual
    from harness.spec import Shape as Shape
    from harness.spec import Sides as Sides
    from harness.spec import Upto as Upto
    from harness.spec import Weights as Weights
    from harness.spec import Window as Window
    from harness.spec import relu as relu
    from harness.spec import relu6 as relu6
    from harness.spec import sigmoid as sigmoid
    from harness.spec import swish as swish
    from harness.spec import tanh as tanh
    from harness.storage.places import Download as Download
    from harness.storage.places import Places as Places
    from harness.task import ModelBuilder as ModelBuilder
    from harness.task import Subject as Subject
    from harness.task import Task as Task
    from harness.task import TaskContext as TaskContext
    from harness.task import TaskResult as TaskResult
    from harness.task import Trained as Trained
    from harness.tasks.common.evaluation import Evaluation as Evaluation
    from harness.tasks.common.evaluation import Point as Point
    from harness.tasks.common.evaluation import evaluate as evaluate
    from harness.tasks.common.evaluation import overfitting_gap as overfitting_gap
    from harness.tasks.common.fitting import EpochGroups as EpochGroups
    from harness.tasks.common.fitting import Fit as Fit
    from harness.tasks.common.stopping import Stopping as Stopping
    from harness.tasks.common.stopping import Watch as Watch
    from harness.tasks.common.transfer import Head as Head
    from harness.tasks.common.transfer import Trunk as Trunk


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
