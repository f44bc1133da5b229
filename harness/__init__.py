"""samebench: the same deep-learning experiment on every framework.

Plugins import from this module only, and so do the plugins that ship with samebench. Each name is loaded on its first
use, so the command line stays quick.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

API_VERSION, OLDEST_API = 2, 1
"""The version of the names below, and the oldest version that plugins may still use. A plugin states its version with
`api_version = 2` at the top of its module."""


_HOMES = {
    "harness.arrays.layers": "apply_layer avg_pool batch_norm max_pool pad_sides window_places",
    "harness.arrays.losses": "picture_losses",
    "harness.arrays.operations": "ArrayOperations",
    "harness.arrays.updates": "moment_count update_direction",
    "harness.attack": "Attack AttackKind AttackNumbers VARIATION_SMOOTHING attack_step total_variation",
    "harness.backend": "Backend Device Precision Trainer",
    "harness.data": "Batches Dataset Examples fixed_share stratified",
    "harness.environment": "cores",
    "harness.errors": "DataError PluginError SamebenchError SpecError Unavailable Unsupported UsageError WrongDevice",
    "harness.hookspecs": "hookimpl",
    "harness.metric": "Metric headline_of number_text",
    "harness.pictures.augmentation": "Augmentation",
    "harness.pictures.files": "RESIZE_VERSION picture_errors read_picture",
    "harness.pictures.own_pipeline": "FileExamples Pipeline",
    "harness.pictures.inputs": "DatasetLoader LoadRequest",
    "harness.pretrained.entries": "Pretrained from_keras in_package verified",
    "harness.options": "ABOVE_0 AT_LEAST_0 AT_LEAST_1 BELOW_1 FACTOR Range check_ranges",
    "harness.recipe": "Adam AdamW Constant Cosine LossName Objective Optimizer Recipe SGD Schedule StepDecay Warmup",
    "harness.reference.losses": "probabilities",
    "harness.report.loaded": "Run",
    "harness.report.logbook": "Logbook LoggedCell",
    "harness.report.markdown": "markdown_table markdown_text",
    "harness.report.charts.files": "report_figures",
    "harness.report.flat": "columns_of long_rows wide_rows",
    "harness.report.page.page": "html_page pictures_page",
    "harness.report.summary": "Report",
    "harness.report.terminal": "draw_table wrap_lines",
    "harness.report.text.notes": "report_notes",
    "harness.report.text.overview": "Overview report_overview",
    "harness.report.text.results": "report_experiments report_tables",
    "harness.report.text.tables": "KEPT_APART LEFT_COLUMNS Table metric_text network_text row_names seed_count seeds_text short_hash",
    "harness.result": "Cell Result",
    "harness.running.scripting": "load run",
    "harness.spec": "Activation Add Array AvgPool BatchNorm Branches Concat Conv Counts Dense Dropout Flatten GlobalAvgPool Layer MaxPool Model Node Normalize Pair Parameter Pool Residual Shape Sides Upto Weights Window check_weights relu relu6 sigmoid swish tanh",
    "harness.storage.datasets": "LabelledPictures cached_dataset cached_if_large open_cached save_cached",
    "harness.storage.places": "Download Places file_hash",
    "harness.task": "ModelBuilder Subject Task TaskContext TaskResult Trained",
    "harness.tasks.common.evaluation": "Evaluation Point evaluate overfitting_gap",
    "harness.tasks.common.fitting": "EpochGroups Fit TRAINING_METRICS first_evidence metrics_of",
    "harness.tasks.common.stopping": "Stopping Watch",
    "harness.tasks.common.transfer": "FROZEN_TRUNK Head Trunk changed_tensors learn_head unfrozen_rates",
    "harness.tasks.common.victim": "Victim check_class choose_pictures predictions",
    "harness.text": "format_size json_line one_line printable",
    "harness.timing.clock": "Rate",
    "harness.timing.steady": "median_rate",
    "harness.verdict": "Verdict",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)

if TYPE_CHECKING:  # the same names for editors and type checkers; a test compares them
    from harness.arrays.layers import apply_layer as apply_layer
    from harness.arrays.layers import avg_pool as avg_pool
    from harness.arrays.layers import batch_norm as batch_norm
    from harness.arrays.layers import max_pool as max_pool
    from harness.arrays.layers import pad_sides as pad_sides
    from harness.arrays.layers import window_places as window_places
    from harness.arrays.losses import picture_losses as picture_losses
    from harness.arrays.operations import ArrayOperations as ArrayOperations
    from harness.arrays.updates import moment_count as moment_count
    from harness.arrays.updates import update_direction as update_direction
    from harness.attack import VARIATION_SMOOTHING as VARIATION_SMOOTHING
    from harness.attack import Attack as Attack
    from harness.attack import AttackKind as AttackKind
    from harness.attack import AttackNumbers as AttackNumbers
    from harness.attack import attack_step as attack_step
    from harness.attack import total_variation as total_variation
    from harness.backend import Backend as Backend
    from harness.backend import Device as Device
    from harness.backend import Precision as Precision
    from harness.backend import Trainer as Trainer
    from harness.data import Batches as Batches
    from harness.data import Dataset as Dataset
    from harness.data import Examples as Examples
    from harness.data import fixed_share as fixed_share
    from harness.data import stratified as stratified
    from harness.environment import cores as cores
    from harness.errors import DataError as DataError
    from harness.errors import PluginError as PluginError
    from harness.errors import SamebenchError as SamebenchError
    from harness.errors import SpecError as SpecError
    from harness.errors import Unavailable as Unavailable
    from harness.errors import Unsupported as Unsupported
    from harness.errors import UsageError as UsageError
    from harness.errors import WrongDevice as WrongDevice
    from harness.hookspecs import hookimpl as hookimpl
    from harness.metric import Metric as Metric
    from harness.metric import headline_of as headline_of
    from harness.metric import number_text as number_text
    from harness.options import ABOVE_0 as ABOVE_0
    from harness.options import AT_LEAST_0 as AT_LEAST_0
    from harness.options import AT_LEAST_1 as AT_LEAST_1
    from harness.options import BELOW_1 as BELOW_1
    from harness.options import FACTOR as FACTOR
    from harness.options import Range as Range
    from harness.options import check_ranges as check_ranges
    from harness.pictures.augmentation import Augmentation as Augmentation
    from harness.pictures.files import RESIZE_VERSION as RESIZE_VERSION
    from harness.pictures.files import picture_errors as picture_errors
    from harness.pictures.files import read_picture as read_picture
    from harness.pictures.inputs import DatasetLoader as DatasetLoader
    from harness.pictures.inputs import LoadRequest as LoadRequest
    from harness.pictures.own_pipeline import FileExamples as FileExamples
    from harness.pictures.own_pipeline import Pipeline as Pipeline
    from harness.pretrained.entries import Pretrained as Pretrained
    from harness.pretrained.entries import from_keras as from_keras
    from harness.pretrained.entries import in_package as in_package
    from harness.pretrained.entries import verified as verified
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
    from harness.reference.losses import probabilities as probabilities
    from harness.report.charts.files import report_figures as report_figures
    from harness.report.flat import columns_of as columns_of
    from harness.report.flat import long_rows as long_rows
    from harness.report.flat import wide_rows as wide_rows
    from harness.report.loaded import Run as Run
    from harness.report.logbook import Logbook as Logbook
    from harness.report.logbook import LoggedCell as LoggedCell
    from harness.report.markdown import markdown_table as markdown_table
    from harness.report.markdown import markdown_text as markdown_text
    from harness.report.page.page import html_page as html_page
    from harness.report.page.page import pictures_page as pictures_page
    from harness.report.summary import Report as Report
    from harness.report.terminal import draw_table as draw_table
    from harness.report.terminal import wrap_lines as wrap_lines
    from harness.report.text.notes import report_notes as report_notes
    from harness.report.text.overview import Overview as Overview
    from harness.report.text.overview import report_overview as report_overview
    from harness.report.text.results import report_experiments as report_experiments
    from harness.report.text.results import report_tables as report_tables
    from harness.report.text.tables import KEPT_APART as KEPT_APART
    from harness.report.text.tables import LEFT_COLUMNS as LEFT_COLUMNS
    from harness.report.text.tables import Table as Table
    from harness.report.text.tables import metric_text as metric_text
    from harness.report.text.tables import network_text as network_text
    from harness.report.text.tables import row_names as row_names
    from harness.report.text.tables import seed_count as seed_count
    from harness.report.text.tables import seeds_text as seeds_text
    from harness.report.text.tables import short_hash as short_hash
    from harness.result import Cell as Cell
    from harness.result import Result as Result
    from harness.running.scripting import load as load
    from harness.running.scripting import run as run
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
    from harness.spec import Pair as Pair
    from harness.spec import Parameter as Parameter
    from harness.spec import Pool as Pool
    from harness.spec import Residual as Residual
    from harness.spec import Shape as Shape
    from harness.spec import Sides as Sides
    from harness.spec import Upto as Upto
    from harness.spec import Weights as Weights
    from harness.spec import Window as Window
    from harness.spec import check_weights as check_weights
    from harness.spec import relu as relu
    from harness.spec import relu6 as relu6
    from harness.spec import sigmoid as sigmoid
    from harness.spec import swish as swish
    from harness.spec import tanh as tanh
    from harness.storage.datasets import LabelledPictures as LabelledPictures
    from harness.storage.datasets import cached_dataset as cached_dataset
    from harness.storage.datasets import cached_if_large as cached_if_large
    from harness.storage.datasets import open_cached as open_cached
    from harness.storage.datasets import save_cached as save_cached
    from harness.storage.places import Download as Download
    from harness.storage.places import Places as Places
    from harness.storage.places import file_hash as file_hash
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
    from harness.tasks.common.fitting import TRAINING_METRICS as TRAINING_METRICS
    from harness.tasks.common.fitting import EpochGroups as EpochGroups
    from harness.tasks.common.fitting import Fit as Fit
    from harness.tasks.common.fitting import first_evidence as first_evidence
    from harness.tasks.common.fitting import metrics_of as metrics_of
    from harness.tasks.common.stopping import Stopping as Stopping
    from harness.tasks.common.stopping import Watch as Watch
    from harness.tasks.common.transfer import FROZEN_TRUNK as FROZEN_TRUNK
    from harness.tasks.common.transfer import Head as Head
    from harness.tasks.common.transfer import Trunk as Trunk
    from harness.tasks.common.transfer import changed_tensors as changed_tensors
    from harness.tasks.common.transfer import learn_head as learn_head
    from harness.tasks.common.transfer import unfrozen_rates as unfrozen_rates
    from harness.tasks.common.victim import Victim as Victim
    from harness.tasks.common.victim import check_class as check_class
    from harness.tasks.common.victim import choose_pictures as choose_pictures
    from harness.tasks.common.victim import predictions as predictions
    from harness.text import format_size as format_size
    from harness.text import json_line as json_line
    from harness.text import one_line as one_line
    from harness.text import printable as printable
    from harness.timing.clock import Rate as Rate
    from harness.timing.steady import median_rate as median_rate
    from harness.verdict import Verdict as Verdict


RENAMED = {
    "Bench": "TaskContext",
    "Findings": "TaskResult",
    "Lessons": "EpochGroups",
    "Steps": "StepDecay",
    "Wanted": "LoadRequest",
}
"""Old names of API version 1, with their new names. The old names work for one more release."""


def home_of(name: str) -> str | None:
    """The module that defines a public name; None if there is no such name."""
    return _HOME_OF.get(RENAMED.get(name, name))


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        new = RENAMED[name]
        warnings.warn(
            f"harness.{name} is now called harness.{new}; the old name is removed in the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        name = new
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
