"""Tasks: experiments that are written once against the contract and run on every backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from harness.attack import Attack
from harness.backend import Backend, Trainer
from harness.data import Dataset
from harness.metric import Metric, check_metrics
from harness.recipe import Recipe
from harness.result import Semantics, digest
from harness.spec import Array, Counts, Model, Shape, Weights
from harness.timing.clock import Clock, Rate
from harness.timing.segments import Work, are_enough, repeated, units_for

ModelBuilder = Callable[[Shape, int], Model]
"""A function that builds a network for an input shape and a number of classes."""


@dataclass(frozen=True)
class Subject:
    """The subject of a parity certificate: a network, and the recipe that trains it or the attacks on it."""

    model: Model
    recipe: Recipe | None = None
    attacks: tuple[Attack, ...] = ()


def fingerprint_of(subjects: Iterable[Subject]) -> str:
    """A hash of the networks, recipes and attacks that are certified."""
    return digest([repr(subject) for subject in subjects])[:16]


class Trained(NamedTuple):
    """A network with trained weights."""

    model: Model
    weights: Weights
    classes: tuple[str, ...] = ()
    """The names of its classes, for a task that keeps the network's head."""

    unnamed: str | None = None
    """The reason why the names are only numbers; None if they are names."""


@dataclass
class TaskContext:
    """The inputs of a task in one cell."""

    backend: Backend[Any]
    build_model: ModelBuilder
    dataset: Dataset
    seed: int
    options: Any
    clock: Clock = field(default_factory=Clock)
    semantics: Semantics = "aligned"
    tell: Callable[[str], None] = lambda line: None
    """Reports progress to the user. Do not call it inside a phase of the clock."""

    own_ways: dict[str, str] = field(default_factory=dict)
    """Descriptions of what the framework has done in its own way so far."""

    start: Trained | None = None
    """The trained network to start from; None for a task that starts from random weights."""

    segment_s: float = 0.0
    """The shortest timed segment in seconds. With 0, work is never repeated."""

    pipeline: Literal["harness", "own"] = "harness"
    """The source of training batches: see `harness.pictures.inputs.DataOptions`."""

    input_rates: dict[str, list[float]] = field(default_factory=dict)
    """With `--pipeline own`: pictures per second of reading alone ("read"), and of training on pictures in memory
    ("in_memory")."""

    def first_weights(self, model: Model) -> Weights:
        """The first weights of the harness; unless semantics are aligned, those of the framework."""
        if self.semantics == "aligned":
            return model.init(self.seed)
        self._record_own_way("first weights")
        return self.backend.native_weights(model, self.seed)

    def trainer(self, net: Any, recipe: Recipe) -> Trainer:
        """The trainer of the recipe; with native semantics, it uses the framework's own optimiser."""
        if self.semantics != "native":
            return self.backend.trainer(net, recipe, self.seed)
        self._record_own_way(type(recipe.optimizer).__name__)
        return self.backend.native_trainer(net, recipe, self.seed)

    def weights(self, net: Any) -> dict[str, Array]:
        """The weights of a network, on the host."""
        with self.clock.phase("weights"):
            return self.backend.weights(net)

    def load(self, net: Any, weights: Weights) -> None:
        """Replace the weights of a network."""
        with self.clock.phase("weights"):
            self.backend.load(net, weights)

    def timed(self, own: Sequence[Rate], work: Work, items: float) -> list[Rate]:
        """The rates of timed segments: those of the task's `own` segments if they are enough and long enough, and otherwise
        those of repeated work. `work(n)` does n units of `items` items each, and returns the number of items.

        Call it after everything else has been read from the networks: `work` may change them.
        """
        if not self.segment_s or are_enough(own, self.segment_s):
            return list(own)
        self.tell("timing")
        return repeated(self.clock, work, units_for(own, items, self.segment_s), self.segment_s)

    def _record_own_way(self, topic: str) -> None:
        if topic in self.backend.native:
            self.own_ways[topic] = self.backend.native[topic]


@dataclass
class TaskResult:
    """The results of a task. `rates` holds the headline rate of each timed segment: see `TaskContext.timed`."""

    metrics: dict[str, Any]
    rates: Sequence[float]
    parameters: Counts
    evidence: dict[str, Any]
    flops: float | None = None
    """The floating-point operations for one item of the rate; None if they are not known."""

    trained: Trained | None = None
    """The trained network, which is stored for later use."""

    arrays: dict[str, Array] = field(default_factory=dict)
    """Pictures and arrays about them, which are stored, cross-checked and shown: "made" are the pictures that the task
    made, and "labels" are their classes."""


class Task(ABC):
    """An experiment. It times its phases with `context.clock`: build, first_step, warm_up, train, curve, eval, weights.

    No phase contains another. The time outside of all phases is reported as "other".
    """

    name: ClassVar[str]
    rate: ClassVar[str]
    """The things that the headline rate counts, such as "training images"."""

    options: ClassVar[type]
    """A frozen dataclass, with the defaults that an expert would choose."""

    metrics: ClassVar[Sequence[Metric]] = ()
    """The metrics, in the order of the columns of a report. If a task declares none, reports show every number as it is."""

    model: ClassVar[str] = "two-block-cnn"
    dataset: ClassVar[str] = "digits"
    weights: ClassVar[str | None] = None
    """The defaults for a user who names no model, dataset or weights. A task with weights starts from trained weights and
    uses their network."""

    own_pipeline: ClassVar[bool] = False
    """Whether `--pipeline own` has a meaning for this task, because it trains with `EpochGroups`."""

    keeps_head: ClassVar[bool] = False
    """Whether the task keeps the head of the trained network, whose classes may differ from those of the dataset."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_metrics(cls.metrics)

    @abstractmethod
    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Any) -> list[Subject]:
        """The networks, recipes and attacks that this task needs certificates of."""

    @abstractmethod
    def run(self, context: TaskContext) -> TaskResult:
        """Run the experiment."""
