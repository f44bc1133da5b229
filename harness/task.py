"""What a task is: an experiment, written once against the contract, that every backend runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from harness.attack import Attack
from harness.backend import Backend, Trainer
from harness.data import Dataset
from harness.metric import Metric, check_metrics
from harness.recipe import Recipe
from harness.result import Semantics, digest
from harness.spec import Array, Counts, Model, Shape, Weights
from harness.timing.clock import Clock

ModelBuilder = Callable[[Shape, int], Model]
"""A function that builds a network for an input shape and a number of classes."""


@dataclass(frozen=True)
class Subject:
    """What a parity certificate is about: a network and a way to train it, or to attack it."""

    model: Model
    recipe: Recipe | None = None
    attacks: tuple[Attack, ...] = ()


def fingerprint_of(subjects: Iterable[Subject]) -> str:
    """A fingerprint of what is certified: it changes whenever a network, a recipe or an attack does."""
    return digest([repr(subject) for subject in subjects])[:16]


class Trained(NamedTuple):
    """A network that has learned something."""

    model: Model
    weights: Weights
    classes: tuple[str, ...] = ()
    """Their names, for a task that keeps the network's head."""

    unnamed: str | None = None
    """Why those are numbers only, where nobody could say the names."""


@dataclass
class TaskContext:
    """What a task works with in one cell."""

    backend: Backend[Any]
    build_model: ModelBuilder
    dataset: Dataset
    seed: int
    options: Any
    clock: Clock = field(default_factory=Clock)
    semantics: Semantics = "aligned"
    tell: Callable[[str], None] = lambda line: None
    """Says how far the task is, to whoever watches. Never inside a phase of the clock."""

    own_ways: dict[str, str] = field(default_factory=dict)
    """What native semantics have changed so far, in words."""

    start: Trained | None = None
    """The trained network to start from, for a task that does."""

    def first_weights(self, model: Model) -> Weights:
        """The harness's own first weights, or with native semantics the framework's."""
        if self.semantics == "aligned":
            return model.init(self.seed)
        self._went_its_way("first weights")
        return self.backend.native_weights(model, self.seed)

    def trainer(self, net: Any, recipe: Recipe) -> Trainer:
        """The recipe as published, or with native semantics as the framework's own optimiser has it."""
        if self.semantics == "aligned":
            return self.backend.trainer(net, recipe, self.seed)
        self._went_its_way(type(recipe.optimizer).__name__)
        return self.backend.native_trainer(net, recipe, self.seed)

    def _went_its_way(self, topic: str) -> None:
        if topic in self.backend.native:
            self.own_ways[topic] = self.backend.native[topic]


@dataclass
class TaskResult:
    """What a task found. `rates` holds the headline rate, one value a steady-state segment."""

    metrics: dict[str, Any]
    rates: list[float]
    parameters: Counts
    evidence: dict[str, Any]
    trained: Trained | None = None
    """To be kept, so that it can be used later."""

    arrays: dict[str, Array] = field(default_factory=dict)
    """Pictures, and what belongs to them, to be kept, judged and shown: "made" is what the task made, "labels" the class
    that each is of."""


class Task(ABC):
    """An experiment. It times its phases with `context.clock`: build, first_step, warm_up, train, eval."""

    name: ClassVar[str]
    rate: ClassVar[str]
    """What the headline rate counts: "training images"."""

    options: ClassVar[type]
    """A frozen dataclass; its defaults are the ones an expert would pick."""

    metrics: ClassVar[Sequence[Metric]] = ()
    """What it finds, in the order of the columns of a report. Of a task that declares none, every number is shown plainly."""

    model: ClassVar[str] = "two-block-cnn"
    dataset: ClassVar[str] = "digits"
    weights: ClassVar[str | None] = None
    """What it is run on where the user names nothing. A task that names weights here starts from trained ones, and its
    network is theirs."""

    keeps_head: ClassVar[bool] = False
    """Whether it works with the very network that it starts from, whose classes need not be those of the data set."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_metrics(cls.metrics)

    @abstractmethod
    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Any) -> list[Subject]:
        """The networks and recipes whose parity this task rests on."""

    @abstractmethod
    def run(self, context: TaskContext) -> TaskResult:
        """Do the experiment."""
