"""Times a backend against a yardstick: a program that an experienced user of the framework would write.

Both do the same work, segment by segment in turn, in one process. The yardsticks of the shipped backends are in
`tests/benchmarks/yardsticks/` of a checkout. `docs/overhead.md` describes such a file.
"""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.attack import Attack
from harness.backend import Backend
from harness.data import Batches, Examples
from harness.errors import ContractError, PluginError, Unsupported
from harness.plugins import import_file, load_backend, load_plugins
from harness.recipe import SGD, Adam, Recipe
from harness.spec import Array, Model, Shape
from harness.task import ModelBuilder
from harness.tasks.common.transfer import Head, unfrozen_rates
from harness.timing.load import Reading, Usage
from harness.worker.failures import explain

SHORTEST = 0.3
"""Seconds that a timed segment lasts at least, on both sides."""

FIRST_STEPS = 8
"""The number of steps of the first pair, which compiles. It is doubled until segments are long enough."""

SAME = 1e-3
"""The largest relative difference between the first results of both sides, if they do the same work."""

CLASSES = 10

Run = Callable[[], Any]
"""Does the work once and waits for its end."""

Over = Callable[[Array], Run]
"""Prepares the work over an order: the rows of the pictures in each step, with the shape (steps, batch size)."""


class Given(NamedTuple):
    """The argument of each function in a file of yardsticks."""

    mode: str
    """The mode of the backend, such as "default" or "compiled"."""

    images: Array
    """Pictures: uint8, NHWC."""

    labels: Array
    batch_size: int
    weights: list[dict[str, Array]]
    """The first weights of each layer, in the order of the network: kernel (rows, columns, inputs, outputs) and bias; or
    scale, offset, mean and variance."""

    network: Callable[[], Any]
    """Builds the network once more, with the first weights, as the backend does."""

    learned: tuple[str, ...]
    """The layers that are trained."""

    epsilon: float
    step_size: float
    steps: int
    """The numbers of the attack."""


@dataclass(frozen=True)
class Work:
    """One kind of work that both sides do."""

    program: str
    """The name of the function in a file of yardsticks."""

    model: str
    batch_size: int
    optimizer: SGD | Adam | None = None
    """The optimiser; None if nothing is trained."""

    input_shape: Shape = (32, 32, 3)
    pictures: int = 1024
    blocks: int | None = None
    """The number of last blocks of a trained trunk that learn; None if the whole network learns."""

    def network(self) -> Model:
        build: ModelBuilder = load_plugins().models[self.model]
        return Head().on(build, self.input_shape, CLASSES) if self.blocks else build(self.input_shape, CLASSES)

    def recipe(self, model: Model) -> Recipe | None:
        if self.optimizer is None:
            return None
        rates = unfrozen_rates(model, self.blocks, None, False, 1.0) if self.blocks else ()
        return Recipe(self.optimizer, rates=rates)

    def examples(self) -> Examples:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (self.pictures, *self.input_shape), np.uint8)
        return Examples(images, random.integers(0, CLASSES, self.pictures).astype(np.int32))


PHOTO = (112, 112, 3)
"""A quarter of the pixels that EfficientNet-Lite0 usually gets, to save time."""

WORKS = {
    "two-block-cnn": Work("two_block_cnn", "two-block-cnn", 64, Adam(lr=1e-3)),
    "two-block-cnn-256": Work("two_block_cnn", "two-block-cnn", 256, Adam(lr=1e-3)),
    "cifar-resnet": Work("cifar_resnet", "cifar-resnet", 128, SGD(lr=0.1, momentum=0.9)),
    "feature-extraction": Work("feature_extraction", "efficientnet-lite0", 32, None, PHOTO, 256),
    "fine-tuning": Work("fine_tuning", "efficientnet-lite0", 16, Adam(lr=1e-4), PHOTO, 256, blocks=1),
    "adversarial": Work("adversarial", "two-block-cnn", 64),
}


class Bench:
    """One kind of work on a backend: the data, the network, and our way to do it."""

    def __init__(self, work: Work, backend: Backend[Any]) -> None:
        self.work, self.backend, self.attack = work, backend, Attack()
        self.model, self.examples = work.network(), work.examples()
        self.weights = self.model.init(0)
        self.recipe = work.recipe(self.model)

    def order(self, steps: int) -> Batches:
        """Batches for a number of steps: as many epochs as they need, each in its own order."""
        size = self.work.batch_size
        epochs = -(-steps // (len(self.examples) // size))
        return Batches.shuffled(self.examples, size, 0, range(epochs))[:steps]

    def given(self) -> Given:
        layers: dict[str, dict[str, Array]] = {}
        for name, tensor in self.weights.items():
            layer, _, part = name.rpartition(".")
            layers.setdefault(layer, {})[part] = tensor.astype(np.float32)
        learned = self.recipe.learned(self.model) if self.recipe else ()
        return Given(
            self.backend.mode, self.examples.images, self.examples.labels, self.work.batch_size, list(layers.values()),
            partial(self.backend.build, self.model, self.weights),
            tuple(dict.fromkeys(name.rpartition(".")[0] for name in learned)),
            self.attack.epsilon, self.attack.step_size, self.attack.steps,
        )  # fmt: skip

    def ours(self) -> Callable[[Batches], Any]:
        """The work as the backend does it, over batches."""
        net = self.backend.build(self.model, self.weights)
        if self.recipe:
            trainer, optimizer = self.backend.trainer(net, self.recipe), self.recipe.optimizer
            return lambda batches: trainer.run(batches, np.full(len(batches), optimizer.lr)).mean()
        if self.work.program == "adversarial":
            return partial(self._attack, net)
        return lambda batches: self.backend.forward(net, batches, upto="features")

    def _attack(self, net: Any, batches: Batches) -> Array:
        pixels, labels = self.examples.pixels(self.examples.images, np.float32), self.examples.labels

        def perturb(rows: Array) -> Array:
            return self.backend.perturb(net, pixels[rows], labels[rows], self.attack, "softmax", pixels[rows])

        return np.concatenate([perturb(rows) for rows in batches])


def programs(file: Path, name: str, given: Given) -> dict[str, Over]:
    """The forms of a yardstick, by their names."""
    function = getattr(import_file(file, "yardstick"), name, None)
    if function is None:
        raise Unsupported(f"{file} has no function {name}: define it to compare this task", code="not-found")
    found = function(given)
    if not (isinstance(found, Mapping) and found and all(map(callable, found.values()))):
        raise PluginError(
            f"{file}: {name}() must return a dictionary of functions by the names of their forms, not {found!r}",
            code="wrong-type",
        )
    return dict(found)


def timed(run: Run) -> tuple[Any, Usage]:
    """The result of a segment, its time, and the processor time meanwhile."""
    before, start = Reading.now(), time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    return result, before.until(Reading.now(), seconds)


def difference(ours: Any, theirs: Any) -> float:
    """The mean difference between two results, relative to the mean size of theirs."""
    ours, theirs = (np.asarray(result, np.float64).reshape(-1) for result in (ours, theirs))
    if ours.shape != theirs.shape:
        raise ContractError(
            f"the yardstick must return as many numbers as the backend, {ours.size}, not {theirs.size}",
            code="wrong-shape",
        )
    return float(np.abs(ours - theirs).mean() / max(np.abs(theirs).mean(), 1e-30))


class Sides:
    """Both sides over the same number of steps."""

    def __init__(self, bench: Bench, ours: Callable[[Batches], Any], forms: Mapping[str, Over], steps: int) -> None:
        self.steps, batches = steps, bench.order(steps)
        self.ours: Run = partial(ours, batches)
        self.forms = {name: over(batches.order) for name, over in forms.items()}

    def only(self, form: str) -> Sides:
        """These sides with one form of the yardstick."""
        self.forms = {form: self.forms[form]}
        return self

    @property
    def yardstick(self) -> Run:
        """The only form of the yardstick."""
        (run,) = self.forms.values()
        return run

    def pair(self, ours_first: bool) -> dict[str, Usage]:
        """The usage of a segment of each side, one after the other."""
        runs = {"ours": self.ours, "yardstick": self.yardstick}
        return {name: timed(runs[name])[1] for name in sorted(runs, reverse=not ours_first)}


def prepared(bench: Bench, file: Path) -> tuple[Sides, dict[str, Any]]:
    """Both sides with segments that are long enough, and the fastest form of the yardstick; and what was found meanwhile.

    The first runs compile, and their results show that both sides do the same work.
    """
    forms, ours = programs(file, bench.work.program, bench.given()), bench.ours()
    sides = Sides(bench, ours, forms, FIRST_STEPS)
    result = sides.ours()
    apart = {name: difference(result, run()) for name, run in sides.forms.items()}
    if other := {name: size for name, size in apart.items() if not size <= SAME}:
        name, size = max(other.items(), key=lambda item: item[1])
        raise PluginError(
            f"{file}: {bench.work.program}(), {name!r} does other work: its first results differ by {size:.1e} of their "
            f"size; at most {SAME:.0e} is allowed"
        )
    seconds = _seconds(sides)
    while min(seconds.values()) < SHORTEST:
        sides = Sides(bench, ours, forms, 2 * sides.steps)
        seconds = _seconds(sides)
    again = _seconds(sides)
    # The slower of two times: a form that stalls now and then is not the best that a user can write.
    taken = {name: max(seconds[name], again[name]) for name in forms}
    fastest = min(taken, key=taken.__getitem__)
    about = {"form": fastest, "forms": taken, "steps": sides.steps, "images": sides.steps * bench.work.batch_size}
    return sides.only(fastest), about | {"differences": apart}


OURS = ""
"""The name of our side among the forms of the yardstick."""


def _seconds(sides: Sides) -> dict[str, float]:
    return {name: timed(run)[1].seconds for name, run in {OURS: sides.ours, **sides.forms}.items()}


def measure(
    backend: type[Backend[Any]], mode: str, task: str, file: Path, pairs: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """The pairs of a task."""
    tell(f"{task}: compiling")
    precision = "float32" if "float32" in backend.precisions else backend.precisions[0]
    sides, about = prepared(Bench(WORKS[task], backend("auto", mode, precision)), file)
    tell(f"{task}: {pairs} pairs of segments of {sides.steps} steps, against {about['form']!r}")
    found = [sides.pair(ours_first=bool(number % 2)) for number in range(pairs)]
    ratio = statistics.median(pair["yardstick"].seconds / pair["ours"].seconds for pair in found)
    tell(f"{task}: median ratio {ratio:.2f}")
    named = [{side: usage._asdict() for side, usage in pair.items()} for pair in found]
    return {"status": "ok", "reason": None, **about, "pairs": named}


def compare(request: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """The answer to a request: the pairs of each task on one backend in one mode. An error becomes the status and the
    reason of its task."""
    wanted, answers = request["overhead"], {}
    for task in wanted["tasks"]:
        try:
            backend = load_backend(wanted["backend"])
            answers[task] = measure(backend, wanted["mode"], task, Path(wanted["yardsticks"]), wanted["pairs"], tell)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            status, reason = explain(error)
            answers[task] = {"status": status, "reason": reason}
    return answers
