"""The contract between samebench and a framework.

**What is timed.** The harness times calls of `build`, `forward`, `Trainer.run` and `input_gradient` from outside,
each as a whole. So when a call returns, no work may be pending on the device; and nothing may happen in it that a
good user of this framework would not do. Arrays go in from the host and come back to the host, as NumPy.

**What must be the same.** The values in `harness.spec` and `harness.recipe` say what to compute, to the last
detail; `harness.reference` computes it in NumPy. In float64 a backend agrees with the reference to 1e-9, in the
very code that is timed. `samebench check` holds a backend to all of this, one rule at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar, final
from weakref import WeakKeyDictionary

import numpy as np

from harness.arrays.returned import CHECKS, Networks, check_array, check_device, checked, shown
from harness.attack import Attack, changed_by, check_pictures
from harness.data import Batches, Examples
from harness.errors import ContractError, SpecError, Unsupported, WrongDevice
from harness.recipe import LossName, Objective, Recipe
from harness.spec import Array, Model, Upto, Weights

Net = TypeVar("Net")
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
"""The numbers that a backend computes with. In bfloat16, weights, batch norm and the loss stay in float32."""

Device = Literal["cpu", "gpu"]
"""The kind of device on which a backend computes."""


def _not_overridden(cls: type, base: type, name: str, instead: str) -> None:
    """Refuse a class whose method of this name is not that of `base`, wherever it comes from."""
    if getattr(cls, name) is not getattr(base, name):
        raise SpecError(f"{cls.__name__} defines {name}, which is the harness's own: define {instead} instead")


class Trainer(ABC):
    """One training of one network. The optimiser's state lives here, from one segment to the next."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _not_overridden(cls, Trainer, "run", "segment")

    @final
    def run(self, batches: Batches, lr: Array, *, record: bool = False) -> Array:
        """Train on `batches`, one step each, at the learning rates `lr`, one a step.

        Returns the segment's mean loss as an array of one value; with `record`, every step's loss.
        """
        if len(lr) != len(batches) or len(batches.rows) != len(batches) * batches.batch_size or not len(lr):
            raise SpecError(
                f"a segment is one or more full batches with a learning rate each, not {len(batches.rows)} examples "
                f"in batches of {batches.batch_size} with {len(lr)} rates"
            )
        losses = self.segment(batches, lr, record)
        of_each_step = isinstance(losses, np.ndarray) and losses.shape == lr.shape
        check_array(f"{type(self).__name__}: segment", losses, (len(lr) if record or of_each_step else 1,))
        return losses if record or not of_each_step else losses.mean(keepdims=True, dtype=np.float64)

    @abstractmethod
    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        """Train, and return the loss of every step. Without `record` the mean in an array of one value will do, where that
        is quicker; recording may add outputs to the timed path and must not change anything else. On return the network
        holds the new weights, and nothing is pending."""


def _is_trainer(name: str, networks: Networks, found: Any, *given: Any, **named: Any) -> None:
    if not isinstance(found, Trainer):
        raise ContractError(f"{name}: a trainer is a subclass of harness.Trainer, not {shown(found)}")


class Backend(ABC, Generic[Net]):
    """One framework, on one device, in one mode and precision.

    Making a backend may set switches for the whole process (threads, TF32, 64 bit): a process has one framework,
    and the backend made last rules.
    """

    name: ClassVar[str]
    """What users call it: "pytorch"."""

    modes: ClassVar[tuple[str, ...]] = ("default",)
    """"default" is the framework's normal execution with its documented free tuning. Others have names of your choice:
    users write `--mode NAME`."""

    precisions: ClassVar[tuple[Precision, ...]] = ("float32", "float64")
    """What it can compute in. float32 means true float32 everywhere, TF32 switched off."""

    known_failures: ClassVar[Mapping[str, str]] = {}
    """Conformance rules that this backend is known to break, and why."""

    native: ClassVar[Mapping[str, str]] = {}
    """What `--semantics native` changes with this framework, in words, by topic: "first weights", "SGD", "Adam",
    "AdamW". Empty where there is no such thing."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Put a check around each method whose results the harness uses, so that no backend is trusted to return what
        the contract says; see `harness.arrays.returned`."""
        super().__init_subclass__(**options)
        _not_overridden(cls, Backend, "__init__", "start")
        _not_overridden(cls, Backend, "on_device", "upload")
        _not_overridden(cls, Backend, "perturb", "run_attack")
        for name, check in (CHECKS | {"trainer": _is_trainer, "native_trainer": _is_trainer}).items():
            checked(cls, name, check)

    @final
    def __init__(self, device: str = "auto", mode: str = "default", precision: Precision = "float32") -> None:
        if mode not in self.modes:
            raise Unsupported(f"{self.name} has no mode {mode!r}; it has {', '.join(self.modes)}")
        if precision not in self.precisions:
            raise Unsupported(f"{self.name} has no precision {precision!r}; it has {', '.join(self.precisions)}")
        self.mode, self.precision = mode, precision
        self._uploads: WeakKeyDictionary[Examples, Any] = WeakKeyDictionary()
        self._networks = Networks()
        self.device: Device = self.start(device)
        check_device(f"{self.name}: start", self.device)
        if precision == "tf32" and self.device == "cpu":
            raise Unsupported("tf32 exists on NVIDIA GPUs only; on a CPU use float32")
        if device not in ("auto", self.device):
            raise WrongDevice(f"{self.name} was asked for the {device} and runs on the {self.device}")

    @final
    def on_device(self, examples: Examples) -> Any:
        """What `upload` made of these examples, the first time they were asked for."""
        if examples not in self._uploads:
            self._uploads[examples] = self.upload(examples)
        return self._uploads[examples]

    # What a backend must say

    @abstractmethod
    def start(self, device: str) -> Device:
        """Set this framework up for "cpu", "gpu" or "auto"; return the device that it really runs on."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of the packages that do the work."""

    @abstractmethod
    def upload(self, examples: Examples) -> Any:
        """Put pictures and labels where training can gather batches from them, in whatever form suits.

        Ask for it through `on_device`, so that an epoch does not pay for it again.
        """

    @abstractmethod
    def build(self, model: Model, weights: Weights) -> Net:
        """Make the network, in this framework's own idiom, with these weights.

        Raise `Unsupported` with the reason if the framework lacks a layer.
        """

    @abstractmethod
    def weights(self, net: Net) -> dict[str, Array]:
        """Every tensor of the network by its name in `model.parameters`, in the axis order given there."""

    @abstractmethod
    def device_of(self, net: Net) -> Device:
        """Where the network's tensors really are: asked of a tensor, not of what `start` was told."""

    @abstractmethod
    def load(self, net: Net, weights: Weights) -> None:
        """Replace the network's weights in place; nothing may be compiled anew because of it."""

    @abstractmethod
    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        """Run the network in evaluation mode; one row of results for each of `batches.rows`, in order. Rows of
        `batches.order` that fill up the last batch may follow: the harness cuts them off."""

    @abstractmethod
    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> Trainer:
        """Get ready to train this network by this recipe, which fits it; `seed` is for the masks of drop-out.

        A network may have several trainers, which take turns.
        """

    @abstractmethod
    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        """The derivative of each picture's objective with respect to its pixels, network in evaluation mode.

        `images` are floating-point pictures; nothing is averaged, so a picture's result does not depend on the others
        in its batch.
        """

    @final
    def perturb(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        """The floating-point pictures after an attack that begins at `start`, network in evaluation mode."""
        check_pictures(images, labels, start)
        pictures = self.run_attack(net, images, labels, attack, loss, start)
        check_array(f"{self.name}: run_attack", pictures, images.shape)
        return pictures

    # What a backend may add

    def run_attack(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        """The work of `perturb`. This loop on the host is the definition; a backend that runs it on its device gives the
        same pictures, and compiles neither epsilon, step size nor weights in."""
        objective = attack.objective(loss)
        return changed_by(attack, images, start, lambda x: self.input_gradient(net, x, labels, objective))

    def native_weights(self, model: Model, seed: int) -> dict[str, Array]:
        """First weights as this framework's own layers draw them when they are told nothing.

        In float32, whatever this backend computes in, by our names and axes; the same ones for the same seed.
        Raise as `build` does.
        """
        raise Unsupported(f"{self.name} has no first weights of its own")

    def native_trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> Trainer:
        """As `trainer`, but by the framework's own optimiser of the recipe's name, as it comes.

        The recipe gives the learning rates, momentum and Nesterov, the weight decay and which tensors it touches,
        and the frozen parts. All else is the optimiser's default, and weight decay means what it means there.
        Losses and layers stay those of the specification. Raise `Unsupported` with the reason for what that
        optimiser cannot say, and never imitate it.
        """
        raise Unsupported(f"{self.name} has no optimisers of its own")

    def settings(self) -> dict[str, str]:
        """Every switch that changes speed or rounding, as it stands, for the record."""
        return {}

    def accelerator(self) -> Mapping[str, str]:
        """The GPU that this backend computes on: its "name", and the versions of "CUDA" and "cuDNN" if the framework
        reports them. The harness adds the driver and NVIDIA's Python packages. It is not called on a CPU."""
        return {}

    def peak_device_bytes(self) -> int | None:
        """The most memory held on an accelerator so far, by the framework's own allocator; None on a CPU."""
        return None
