"""Weights that somebody has trained: where they come from, what a reader must know of them, and how they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.errors import DataError
from harness.importing import canonical
from harness.places import Download, Places, hash_of
from harness.spec import Array, Model
from harness.weightfiles import read_tensors


@dataclass(frozen=True)
class Pretrained:
    """One entry. Its network has the preprocessing as its first layer."""

    name: str
    model: str
    """The network, by the name of its builder; its published input and classes are those of the weights."""

    source: str
    licence: str
    trained_on: str
    file: Callable[[Places], Path]
    """Finds the file, or fetches it; its hash is right."""

    def load(self, model: Model, places: Places) -> dict[str, Array]:
        """The weights under our names."""
        return canonical(model, read_tensors(self.file(places)), self.name)


def from_keras(name: str, model: str, file: str, hash: str, licence: str) -> Pretrained:
    """A file of Keras Applications, for ImageNet's thousand classes."""
    download = Download(name, f"https://storage.googleapis.com/tensorflow/keras-applications/{file}", hash, "weights")
    return Pretrained(
        name, model, download.url, licence, "ImageNet (ILSVRC 2012)", lambda places: places.fetch(download)
    )


def in_package(package: str, file: str, hash: str) -> Callable[[Places], Path]:
    """A file that an installed package brings; the package is found and not imported."""
    command = f"pip install {package.replace('_', '-')}"

    def find(places: Places) -> Path:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            raise DataError(f"{file} is in a package that is not installed: {command}")
        path = Path(folders[0]) / file
        if (found := hash_of(path, hash)) != hash:
            raise DataError(f"{path} is not the published file: its hash is {found}, not {hash}: {command}")
        return path

    return find
