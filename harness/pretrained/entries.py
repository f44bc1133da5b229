"""Weights that somebody has trained: where they come from, what a reader must know of them, and how they are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from harness.errors import DataError, SpecError, UsageError
from harness.pictures.filters import check_steps
from harness.pretrained import imagenet
from harness.pretrained.formats import read_tensors, safetensors_notes, save_safetensors
from harness.pretrained.renaming import RENAMING_VERSION, canonical
from harness.pretrained.spec_json import described, model_of
from harness.spec import Model, Normalize, Shape, Weights, class_count
from harness.storage.atomic import written_whole
from harness.storage.cache import WEIGHTS
from harness.storage.places import Download, Places, file_hash
from harness.task import ModelBuilder

FILE, SEAL = WEIGHTS, "weights.sha256"
"""A converted copy in the cache, and its hash when it was made."""

FLOAT32 = 4
"""Bytes of a number of the converted copy."""

SUFFIXES = (".safetensors", ".h5", ".hdf5", ".pth", ".pt")
NETWORK, CLASSES, STEPS, TOLD = "network", "classes", "steps", ("variant", "source", "licence", "trained_on")
"""Notes of a file of ours: the network, the names of its classes, the steps that its pictures went through, and what a
reader should know."""


@dataclass(frozen=True)
class Pretrained:
    """One entry. Its network has the preprocessing as its first layer."""

    name: str
    model: str
    """The network, by the name of its builder."""

    variant: str
    """Which of the networks by that name it is."""

    source: str
    licence: str
    trained_on: str
    hash: str
    """sha256:... or md5:... of the file, as its publisher gives it."""

    file: Callable[[Places], Path]
    """Finds the file, or fetches it; its hash is right."""

    input_shape: Shape | None = None
    """None: the published one."""

    classes: tuple[str, ...] | None = None
    """None: those of ImageNet."""


class Named(Protocol):
    """Things by name; asking for a name that is not there raises an error that says so."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Start:
    """A trained network, to start from."""

    name: str
    network: str
    """The name of its builder."""

    model: Model
    """As it was trained."""

    build: ModelBuilder
    """The same network for pictures of another size, or for other classes."""

    about: dict[str, str]
    """What a reader should know: variant, preprocessing, source, licence, training data, hash."""

    load: Callable[[], Weights]
    """Its weights under our names."""

    class_names: Callable[[], tuple[Sequence[str], str]]
    """The names of its classes, and who says so."""

    steps: tuple[str, ...] = ()
    """What the pictures that it learned from had gone through; see harness/pictures/filters.py."""


def start_from(weights: str, model: str | None, entries: Named, builders: Named, places: Places) -> Start:
    """What the name of an entry, or the path of a file, stands for. `model` is the network of a file that does not say
    which one it is of: files of ours do."""
    if is_path(weights):
        return _from_file(Path(weights), model, builders)
    try:
        entry = entries[weights]
    except UsageError as error:
        raise UsageError(f"{error}; or give the path of a file of weights") from None
    return _from_entry(entry, builders, places)


def is_path(weights: str) -> bool:
    """Whether this is the path of a file, rather than the name of an entry."""
    return "/" in weights or weights.endswith(SUFFIXES)


def save_trained(
    path: Path, model: Model, weights: Weights, classes: Sequence[str], told: dict[str, str], steps: Sequence[str] = ()
) -> None:
    """Write trained weights as a file that needs no other: it says which network they are of, and what its pictures went
    through."""
    notes = {NETWORK: json.dumps(described(model)), CLASSES: json.dumps(list(classes)), STEPS: json.dumps(list(steps))}
    save_safetensors(path, weights, notes | {name: told[name] for name in TOLD})


def _from_entry(entry: Pretrained, builders: Named, places: Places) -> Start:
    build, given = builders[entry.model], dict[str, Any]()
    if entry.input_shape:
        given["input_shape"] = entry.input_shape
    if entry.classes:
        given["classes"] = len(entry.classes)
    network: Model = build(**given)
    key = f"{entry.name}-{entry.hash.partition(':')[2][:16]}-{network.fingerprint}-{RENAMING_VERSION}"

    def convert(folder: Path) -> None:
        save_safetensors(folder / FILE, _imported(network, entry.file(places), entry.name), {})
        _seal(folder)

    def load() -> Weights:
        """From the cache, so that a file is read in its own format once, and by one process; and converted again where
        the copy is no longer what it was."""
        counts = network.counts()
        folder = places.keep(key, convert, FLOAT32 * (counts.total + counts.buffers))
        if not _is_sealed(folder):
            _mend(folder, convert)
        return _imported(network, folder / FILE, entry.name)

    def class_names() -> tuple[Sequence[str], str]:
        return (entry.classes, f"the entry {entry.name}") if entry.classes else imagenet.class_names(places)

    told = {name: getattr(entry, name) for name in TOLD} | {"hash": entry.hash}
    return Start(entry.name, entry.model, network, build, told | _pixels(network), load, class_names)


def _seal(folder: Path) -> None:
    with written_whole(folder / SEAL) as file:
        file.write(file_hash(folder / FILE, "sha256:").encode())


def _is_sealed(folder: Path) -> bool:
    """Whether the converted copy is what it was when it was made."""
    try:
        return (folder / SEAL).read_bytes() == file_hash(folder / FILE, "sha256:").encode()
    except OSError:  # one of them is not there, or no file
        return False


def _mend(folder: Path, convert: Callable[[Path], None]) -> None:
    """Several processes may do so at once: they write the same bytes, and each file whole."""
    try:
        convert(folder)
    except OSError as error:
        raise DataError(
            f"{folder} is damaged, and cannot be made again: {error}; remove it, or set SAMEBENCH_CACHE_DIR to another folder"
        ) from error


def _from_file(path: Path, model: str | None, builders: Named) -> Start:
    if not path.is_file():
        raise UsageError(f"there is no file of weights {path}")
    notes = safetensors_notes(path) if path.suffix == ".safetensors" else {}
    if NETWORK in notes:
        try:
            network = model_of(json.loads(notes[NETWORK]))
            names: Sequence[str] = json.loads(notes.get(CLASSES, "[]"))
            steps = tuple(json.loads(notes.get(STEPS, "[]")))
            check_steps(steps)
        except (ValueError, TypeError) as error:
            raise SpecError(f"{path}: its notes are no JSON that samebench has written: {error}") from None
        model = network.name
    elif model is None:
        raise UsageError(f"{path} does not say which network its weights are of: add --model NAME")
    else:
        network, names, steps = builders[model](), (), ()
    build: ModelBuilder = builders[model] if model in builders else partial(_resized, network)

    def class_names() -> tuple[Sequence[str], str]:
        if len(names) != class_count(network):
            raise DataError(f"{path} does not name its classes")
        return names, f"{path} itself"

    told = {name: notes.get(name, "not said") for name in TOLD} | {"hash": file_hash(path, "sha256:")}
    told["source"] = notes.get("source", str(path))
    return Start(
        str(path),
        model,
        network,
        build,
        told | _pixels(network, steps),
        partial(_imported, network, path, str(path)),
        class_names,
        steps,
    )


def _imported(network: Model, path: Path, origin: str) -> Weights:
    """A file's tensors under our names, if they are just those of the network."""
    return canonical(network, read_tensors(path), origin)


def _resized(network: Model, input_shape: Shape, classes: int) -> Model:
    """A network that no builder here makes, with its own layers; its head is for its own classes only."""
    return replace(network, input_shape=input_shape)


def _pixels(network: Model, steps: Sequence[str] = ()) -> dict[str, str]:
    """What happens to pixels before the network's own layers, in words."""
    first, words = network.trunk[0] if network.trunk else None, "pixels from 0 to 1"
    if isinstance(first, Normalize):
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (first.mean, first.std))
        words = f"{words}, less {mean}, divided by {std}"
    return {"preprocessing": "; ".join(filter(None, [", ".join(steps), words]))}


def from_keras(
    name: str, model: str, variant: str, file: str, hash: str, licence: str, size: int | None = None
) -> Pretrained:
    """A file of Keras Applications, for ImageNet's thousand classes. `size` is its number of bytes."""
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/{file}"
    download = Download(name, url, hash, "weights", size)
    return Pretrained(
        name, model, variant, download.url, licence, "ImageNet (ILSVRC 2012)", hash,
        lambda places: places.fetch(download),
    )  # fmt: skip


def in_package(package: str, file: str, hash: str, command: str) -> Callable[[Places], Path]:
    """A file that an installed package brings; the package is found and not imported. `command` installs it."""

    def find(places: Places) -> Path:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            raise DataError(f"{file} is in a package that is not installed: {command}")
        return verified(Path(folders[0]) / file, hash, command)

    return find


def verified(path: Path, hash: str, mend: str) -> Path:
    """The path, if the file is the one that was published; `mend` says how to come by it."""
    if (found := file_hash(path, hash)) != hash:
        raise DataError(f"{path} is not the published file: its hash is {found}, not {hash}: {mend}")
    return path
