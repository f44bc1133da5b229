"""The contract between samebench and a framework.

**Time.** The harness measures the time of whole calls of `build`, `forward`, `Trainer.run` and `input_gradient`. When a
call returns, no work may be pending on the device. A call does only the work that a good user of the framework would
do. Arguments and results are NumPy arrays on the host.

**Results.** The values in `harness.spec` and `harness.recipe` define the computation completely. `harness.reference`
implements it in NumPy. In float64, a backend agrees with the reference to 1e-9, and the same code is timed. `samebench
check` checks the whole contract, rule by rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast, final
from weakref import WeakKeyDictionary

import numpy as np

from harness.arrays.returned import CHECKS, Networks, check_array, check_device, checked, shown
from harness.attack import Attack, changed_by, check_pictures
from harness.data import Batches, Examples
from harness.errors import ContractError, SpecError, Unsupported, WrongDevice
from harness.recipe import LossName, Objective, Recipe
from harness.spec import Array, Model, Upto, Weights

if TYPE_CHECKING:
    from harness.pictures.own_pipeline import FileExamples, Pipeline

Net = TypeVar("Net")
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
"""The number format of the computation. With bfloat16, weights, batch norm and the loss stay in float32."""

Device = Literal["cpu", "gpu"]
"""The kind of device on which a backend computes."""


def _not_overridden(cls: type, base: type, name: str, instead: str) -> None:
    """Raise if the class, or any of its bases, overrides this method of `base`."""
    if getattr(cls, name) is not getattr(base, name):
        raise SpecError(
            f"{cls.__name__} defines {name}, which belongs to the harness: define {instead} instead", code="name-taken"
        )


class Trainer(ABC):
    """The training of a network with a recipe. It keeps the optimiser's state between segments."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _not_overridden(cls, Trainer, "run", "segment")

    @final
    def run(self, batches: Batches, lr: Array, *, record: bool = False) -> Array:
        """Train for one step on each of `batches`. `lr` holds the learning rate of each step.

        Returns the mean loss of the segment as an array of one value, or with `record` the loss of each step.
        """
        if len(lr) != len(batches) or len(batches.rows) != len(batches) * batches.batch_size or not len(lr):
            raise SpecError(
                "a segment needs at least one batch, full batches, and a learning rate for each, not "
                f"{len(batches.rows)} examples in batches of {batches.batch_size} with {len(lr)} rates",
                code="too-few-examples",
            )
        losses = self.segment(batches, lr, record)
        every_step = isinstance(losses, np.ndarray) and losses.shape == lr.shape
        check_array(f"{type(self).__name__}: segment", losses, (len(lr) if record or every_step else 1,))
        return losses if record or not every_step else losses.mean(keepdims=True, dtype=np.float64)

    @abstractmethod
    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        """Train, and return the loss of every step.

        Without `record`, a backend may return the mean loss instead, as an array of one value. Recording may add
        outputs to the timed code; nothing else may change. On return, the network holds the new weights, and no work is
        pending.
        """


def _is_trainer(name: str, networks: Networks, found: Any, *given: Any, **named: Any) -> None:
    if not isinstance(found, Trainer):
        raise ContractError(
            f"{name}: a trainer must be a subclass of harness.Trainer, not {shown(found)}", code="wrong-type"
        )


class Backend(ABC, Generic[Net]):
    """A framework on a device, in a mode and a precision.

    A backend may change settings of the whole process (threads, TF32, 64 bit). Each process uses only one framework,
    and the settings of the newest backend apply.
    """

    name: ClassVar[str]
    """The name for users, such as "pytorch"."""

    modes: ClassVar[tuple[str, ...]] = ("default",)
    """Modes of execution. "default" is the framework's normal execution, with the tuning that its documentation
    recommends and that costs nothing. Other modes may have any name; users choose with `--mode NAME`."""

    precisions: ClassVar[tuple[Precision, ...]] = ("float32", "float64")
    """The precisions that the backend supports. float32 means float32 everywhere, with TF32 switched off."""

    known_failures: ClassVar[Mapping[str, str]] = {}
    """Conformance rules that this backend is known to break, each with the reason."""

    native: ClassVar[Mapping[str, str]] = {}
    """The differences that `--semantics native` makes, described by topic: "first weights", "SGD", "Adam", "AdamW".
    Empty if the backend has no native semantics."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Add a check to each method whose results the harness uses (see `harness.arrays.returned`)."""
        super().__init_subclass__(**options)
        _not_overridden(cls, Backend, "__init__", "start")
        _not_overridden(cls, Backend, "on_device", "upload")
        _not_overridden(cls, Backend, "perturb", "run_attack")
        for name, check in (CHECKS | {"trainer": _is_trainer, "native_trainer": _is_trainer}).items():
            checked(cls, name, check)

    @final
    def __init__(self, device: str = "auto", mode: str = "default", precision: Precision = "float32") -> None:
        if mode not in self.modes:
            raise Unsupported(
                f"{self.name} has no mode {mode!r}; it has {', '.join(self.modes)}", code="unsupported-mode"
            )
        if precision not in self.precisions:
            raise Unsupported(
                f"{self.name} has no precision {precision!r}; it has {', '.join(self.precisions)}",
                code="unsupported-mode",
            )
        self.mode, self.precision = mode, precision
        self._uploads: WeakKeyDictionary[Examples, Any] = WeakKeyDictionary()
        self._networks = Networks()
        self.device: Device = self.start(device)
        check_device(f"{self.name}: start", self.device)
        if precision == "tf32" and self.device == "cpu":
            raise Unsupported("tf32 exists on NVIDIA GPUs only: use float32 on a CPU", code="unsupported-mode")
        if device not in ("auto", self.device):
            raise WrongDevice(
                f"{self.name} should run on the {device}, but it runs on the {self.device}; {WrongDevice.do}"
            )

    @final
    def on_device(self, examples: Examples) -> Any:
        """The result of `upload` for these examples, or of `own_pipeline` if they are to be read from their files. Both run on the
        first call only."""
        if examples not in self._uploads:
            if examples.are_read_from_files:
                self._uploads[examples] = self.own_pipeline(cast("FileExamples", examples))
            else:
                self._uploads[examples] = self.upload(examples)
        return self._uploads[examples]

    # Methods that a backend must implement

    @abstractmethod
    def start(self, device: str) -> Device:
        """Set up the framework for "cpu", "gpu" or "auto", and return the device that it really uses."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The versions of the packages that compute."""

    @abstractmethod
    def upload(self, examples: Examples) -> Any:
        """Put pictures and labels on the device, in any form from which the backend can gather batches.

        Call it through `on_device`, which uploads the same examples only once.
        """

    @abstractmethod
    def build(self, model: Model, weights: Weights) -> Net:
        """Build the network with these weights, in the idiom of the framework.

        Raise `Unsupported` with the reason if the framework lacks a layer.
        """

    @abstractmethod
    def weights(self, net: Net) -> dict[str, Array]:
        """All tensors of the network, with the names and the order of axes of `model.parameters`."""

    @abstractmethod
    def device_of(self, net: Net) -> Device:
        """The device that really holds the network's tensors. Ask a tensor; do not repeat the argument of `start`."""

    @abstractmethod
    def load(self, net: Net, weights: Weights) -> None:
        """Replace the network's weights in place, without a new compilation."""

    @abstractmethod
    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        """Run the network in evaluation mode. Return one row of results for each of `batches.rows`, in their order.

        The results of the rows that fill the last batch (see `batches.order`) may follow; the harness removes them.
        """

    @abstractmethod
    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> Trainer:
        """Prepare the training of the network with a recipe that fits it. `seed` is the seed of the dropout masks.

        A network may have several trainers that run in turn.
        """

    @abstractmethod
    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        """The derivative of each picture's objective with respect to its pixels, with the network in evaluation mode.

        `images` are floating-point pictures. Nothing is averaged over the batch, so the result of a picture does not
        depend on the other pictures.
        """

    @final
    def perturb(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        """The floating-point pictures after an attack from `start`, with the network in evaluation mode."""
        check_pictures(images, labels, start)
        pictures = self.run_attack(net, images, labels, attack, loss, start)
        check_array(f"{self.name}: run_attack", pictures, images.shape)
        return pictures

    # Methods that a backend may implement

    def run_attack(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        """Compute the result of `perturb`. This loop on the host is the definition.

        A backend may run the loop on its device. It must make the same pictures, and a new epsilon, a new step size or
        new weights must not cause a new compilation.
        """
        objective = attack.objective(loss)
        return changed_by(attack, images, start, lambda x: self.input_gradient(net, x, labels, objective))

    def native_weights(self, model: Model, seed: int) -> dict[str, Array]:
        """The initial weights that the framework's layers draw by default.

        They are float32 in every precision, with the names and axes of `model.parameters`. The same seed gives the same
        weights. Raise `Unsupported` as `build` does.
        """
        raise Unsupported(f"{self.name} has no first weights of its own: use aligned semantics")

    def native_trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> Trainer:
        """As `trainer`, but with the framework's own optimiser of the same name.

        The recipe sets the learning rates, momentum, Nesterov, weight decay, the tensors that decay, and the frozen
        parts. All other options keep the optimiser's defaults, and weight decay has the optimiser's own meaning. Losses
        and layers stay those of the specification. Raise `Unsupported` with the reason if the optimiser lacks an
        option; never imitate the option.
        """
        raise Unsupported(f"{self.name} has no optimisers of its own: use aligned semantics")

    def own_pipeline(self, examples: FileExamples) -> Pipeline:
        """The framework's own input pipeline for these pictures: it reads, decodes, resizes, crops and changes them at random, with
        the tuning that its documentation recommends, and with a thread or a process for each core.

        `--pipeline own` trains with it. Then the `examples` of a trainer's batches are `FileExamples`, and `on_device` returns the
        pipeline. Its start belongs here, because this method is called only once.
        """
        raise Unsupported(f"{self.name} has no input pipeline of its own: leave --pipeline own out")

    def settings(self) -> dict[str, str]:
        """The current values of all settings that change speed or rounding, for the record."""
        return {}

    def accelerator(self) -> Mapping[str, str]:
        """The GPU: its "name", and the versions of "CUDA" and "cuDNN" if the framework reports them.

        The harness adds the driver and NVIDIA's Python packages. It does not call this method on a CPU.
        """
        return {}

    def peak_device_bytes(self) -> int | None:
        """The peak memory of the framework's allocator on an accelerator, in bytes; None on a CPU."""
        return None
