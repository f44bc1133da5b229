"""Pretrained weights: their source, licence and training data, and how to load them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from harness.errors import DataError, SpecError, UsageError
from harness.forms import problems
from harness.pictures.filters import check_steps
from harness.pretrained import imagenet
from harness.pretrained.formats import read_tensors, safetensors_notes, save_safetensors
from harness.pretrained.renaming import RENAMING_VERSION, canonical
from harness.pretrained.spec_json import described, model_of
from harness.spec import Model, Normalize, Shape, Weights, class_count
from harness.storage.atomic import parse_json, written_whole
from harness.storage.cache import WEIGHTS
from harness.storage.places import Download, Places, file_hash
from harness.task import ModelBuilder
from harness.text import one_line

FILE, SEAL = WEIGHTS, "weights.sha256"
"""A converted copy in the cache, and the file with its hash."""

FLOAT32 = 4
"""Bytes of a number of the converted copy."""

SUFFIXES = (".safetensors", ".h5", ".hdf5", ".pth", ".pt")
NETWORK, CLASSES, STEPS, FACTS = "network", "classes", "steps", ("variant", "source", "licence", "trained_on")
"""Notes in a file that samebench writes: the network, the names of its classes, the filters of its pictures, and facts
about the weights."""

UNKNOWN = "unknown"
"""The value of a fact that a file does not contain."""


@dataclass(frozen=True)
class Pretrained:
    """An entry in the list of weights. The first layer of its network is the preprocessing."""

    name: str
    model: str
    """The name of the network."""

    variant: str
    """The variant of the network."""

    source: str
    licence: str
    trained_on: str
    hash: str
    """The published hash of the file: sha256:... or md5:..."""

    file: Callable[[Places], Path]
    """Finds or downloads the file, and checks its hash."""

    input_shape: Shape | None = None
    """The input shape of the network; None for the published shape."""

    classes: tuple[str, ...] | None = None
    """The names of the classes; None for those of ImageNet."""


class Named(Protocol):
    """Entries or builders by name; an unknown name raises UsageError."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Start:
    """A trained network to start from."""

    name: str
    network: str
    """The name of its builder."""

    model: Model
    """The network with the shape and the classes of its training."""

    build: ModelBuilder
    """Builds the same network for another size of pictures, or for other classes."""

    about: dict[str, str]
    """Facts for readers: variant, preprocessing, source, licence, training data, hash."""

    load: Callable[[], Weights]
    """Loads its weights, under the names of samebench."""

    class_names: Callable[[], tuple[Sequence[str], str]]
    """Returns the names of its classes, and their source."""

    steps: tuple[str, ...] = ()
    """The filters of the pictures that it was trained on; see harness/pictures/filters.py."""


def start_from(weights: str, model: str | None, entries: Named, builders: Named, places: Places) -> Start:
    """Find weights by the name of an entry or the path of a file. `model` is the network of a file that does not name it;
    files of samebench do."""
    if is_path(weights):
        return _from_file(Path(weights), model, builders)
    try:
        entry = entries[weights]
    except UsageError as error:
        raise UsageError(f"{error}; or give the path of a weight file", code=error.code) from None
    return _from_entry(entry, builders, places)


def is_path(weights: str) -> bool:
    """Whether this is the path of a file, and not the name of an entry."""
    return "/" in weights or weights.endswith(SUFFIXES)


def save_trained(
    path: Path, model: Model, weights: Weights, classes: Sequence[str], facts: dict[str, str], steps: Sequence[str] = ()
) -> None:
    """Write trained weights to a file. It also contains their network, classes, filters and facts, so no other file is
    needed."""
    notes = {NETWORK: json.dumps(described(model)), CLASSES: json.dumps(list(classes)), STEPS: json.dumps(list(steps))}
    save_safetensors(path, weights, notes | {name: facts[name] for name in FACTS})


def _from_entry(entry: Pretrained, builders: Named, places: Places) -> Start:
    build, options = builders[entry.model], dict[str, Any]()
    if entry.input_shape:
        options["input_shape"] = entry.input_shape
    if entry.classes:
        options["classes"] = len(entry.classes)
    network: Model = build(**options)
    key = f"{entry.name}-{entry.hash.partition(':')[2][:16]}-{network.fingerprint}-{RENAMING_VERSION}"

    def convert(folder: Path) -> None:
        save_safetensors(folder / FILE, _imported(network, entry.file(places), entry.name), {})
        _seal(folder)

    def load() -> Weights:
        """Load the converted copy from the cache: the file itself is converted only once, by one process. A copy that has
        changed is made again."""
        counts = network.counts()
        folder = places.keep(key, convert, FLOAT32 * (counts.total + counts.buffers))
        if not _is_sealed(folder):
            _mend(folder, convert)
        return _imported(network, folder / FILE, entry.name)

    def class_names() -> tuple[Sequence[str], str]:
        return (entry.classes, f"the entry {entry.name}") if entry.classes else imagenet.class_names(places)

    facts = {name: getattr(entry, name) for name in FACTS} | {"hash": entry.hash}
    return Start(entry.name, entry.model, network, build, facts | _preprocessing(network), load, class_names)


def _seal(folder: Path) -> None:
    with written_whole(folder / SEAL) as file:
        file.write(file_hash(folder / FILE, "sha256:").encode())


def _is_sealed(folder: Path) -> bool:
    """Whether the converted copy is unchanged."""
    try:
        return (folder / SEAL).read_bytes() == file_hash(folder / FILE, "sha256:").encode()
    except OSError:  # one of them is missing or not a file
        return False


def _mend(folder: Path, convert: Callable[[Path], None]) -> None:
    """Convert the file again. Several processes may do so at the same time: they write the same bytes, atomically."""
    try:
        convert(folder)
    except OSError as error:
        raise DataError(
            f"{folder} is damaged and cannot be replaced: {error}; remove it, or set SAMEBENCH_CACHE_DIR to another folder",
            code="not-writable",
        ) from error


def _from_file(path: Path, model: str | None, builders: Named) -> Start:
    if not path.is_file():
        raise UsageError(
            f"there is no weight file {path}: give the path of a file, or a name of samebench list weights",
            code="not-found",
        )
    notes = safetensors_notes(path) if path.suffix == ".safetensors" else {}
    if NETWORK in notes:
        try:
            network = model_of(parse_json(notes[NETWORK].encode(), f"its note {NETWORK}"))
            names, steps = _noted_words(notes, CLASSES), tuple(_noted_words(notes, STEPS))
            check_steps(steps)
        except (SpecError, ValueError) as error:
            raise SpecError(
                f"{path}: its notes are not those of samebench: {error}; save it again", code="malformed-file"
            ) from None
        model = network.name
    elif model is None:
        raise UsageError(f"{path} does not name the network of its weights: add --model NAME", code="missing-option")
    else:
        network, names, steps = builders[model](), [], ()
    build: ModelBuilder = builders[model] if model in builders else partial(_resized, network)

    def class_names() -> tuple[Sequence[str], str]:
        if len(names) != class_count(network):
            raise DataError(
                f"{path} does not name its classes: use a file that samebench has saved", code="wrong-classes"
            )
        return names, f"{path} itself"

    facts = {name: one_line(notes.get(name, UNKNOWN)) for name in FACTS} | {"hash": file_hash(path, "sha256:")}
    facts["source"] = one_line(notes.get("source", str(path)))
    return Start(
        str(path),
        model,
        network,
        build,
        facts | _preprocessing(network, steps),
        partial(_imported, network, path, str(path)),
        class_names,
        steps,
    )


def _noted_words(notes: Mapping[str, str], name: str) -> list[str]:
    """The texts of a note; none if the file has no such note."""
    words = parse_json(notes.get(name, "[]").encode(), f"its note {name}")
    for problem in problems(words, list[str], name):
        raise ValueError(problem)
    return list(map(one_line, words))


def _imported(network: Model, path: Path, origin: str) -> Weights:
    """The tensors of a file, under the names of samebench. Raises SpecError if they do not fit the network."""
    return canonical(network, read_tensors(path), origin)


def _resized(network: Model, input_shape: Shape, classes: int) -> Model:
    """Build a network that is only described in a file. Its head is always for its own classes."""
    return replace(network, input_shape=input_shape)


def _preprocessing(network: Model, steps: Sequence[str] = ()) -> dict[str, str]:
    """A description of what is done to pixels before the first trained layer."""
    first, words = network.trunk[0] if network.trunk else None, "pixels from 0 to 1"
    if isinstance(first, Normalize):
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (first.mean, first.std))
        words = f"{words}, less {mean}, divided by {std}"
    return {"preprocessing": "; ".join(filter(None, [", ".join(steps), words]))}


def from_keras(
    name: str, model: str, variant: str, file: str, hash: str, licence: str, size: int | None = None
) -> Pretrained:
    """An entry for a file of Keras Applications, with the 1,000 classes of ImageNet. `size` is in bytes."""
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/{file}"
    download = Download(name, url, hash, "weights", size)
    return Pretrained(
        name, model, variant, download.url, licence, "ImageNet (ILSVRC 2012)", hash,
        lambda places: places.fetch(download),
    )  # fmt: skip


def in_package(package: str, file: str, hash: str, command: str) -> Callable[[Places], Path]:
    """A function that finds a file in an installed package, without importing it. `command` installs the package."""

    def find(places: Places) -> Path:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            raise DataError(
                f"{file} is in the package {package}, which is not installed: {command}", code="not-installed"
            )
        return verified(Path(folders[0]) / file, hash, command)

    return find


def verified(path: Path, hash: str, mend: str) -> Path:
    """The path, if the file has this hash. Otherwise raises DataError, with `mend` as the way to get the right file."""
    if (actual := file_hash(path, hash)) != hash:
        raise DataError(
            f"{path} is not the published file: its hash is {actual}, not {hash}: {mend}", code="wrong-hash"
        )
    return path
