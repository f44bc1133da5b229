"""The command that fetches data and weights: prepare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.commands import names
from harness.commands.once import option
from harness.commands.output import say
from harness.errors import SamebenchError, UsageError
from harness.text import format_size

if TYPE_CHECKING:
    from harness.data import Dataset
    from harness.pretrained.entries import Start


@click.command("prepare", epilog="Example: samebench prepare --dataset cifar10")
@option("--dataset", "datasets", multiple=True, shell_complete=names.DATASETS, help="A dataset; may be repeated.")
@option("--weights", multiple=True, shell_complete=names.WEIGHTS, help="An entry of weights; may be repeated.")
@option(
    "--model",
    shell_complete=names.MODELS,
    help="The network whose input shape decides the size. Default: the network of the weights, or two-block-cnn.",
)
@option("--data-dir", help="The folder of your data. Default: SAMEBENCH_DATA_DIR.")
@option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting: data.size=64 or data.broken=skip.")
def prepare_command(
    datasets: Sequence[str], weights: Sequence[str], model: str | None, data_dir: str | None, sets: Sequence[str]
) -> None:
    """Fetch, verify and decode data and weights, so that `run --offline` needs no network."""
    from harness.pictures.inputs import NetworkInput, load
    from harness.plugins import load_plugins
    from harness.pretrained.entries import start_from
    from harness.running.config import Settings, Source, each_once, from_words
    from harness.running.launch import set_places
    from harness.storage.places import Places

    if not datasets and not weights:
        raise UsageError("prepare needs --dataset NAME or --weights NAME; see: samebench list", code="missing-option")
    plugins = load_plugins()
    chosen = Source(f"--data-dir {data_dir}", {} if data_dir is None else {"data_dir": data_dir})
    settings = Settings.of(plugins, each_once([*from_words(sets), chosen]))
    set_places(settings)
    places = Places.from_environment()
    starts = [start_from(name, model, plugins.weights, plugins.models, places) for name in weights]
    for start in starts:
        start.load()
        say(_weights_in_words(start) + f"\n  names of its classes: {_names_in_words(start)}")
    networks = [NetworkInput.untrained(plugins.models[model or "two-block-cnn"])] if model or not starts else []
    networks += [NetworkInput(start.build, start.model.input_shape, trained=True) for start in starts]
    for name in datasets:
        for network in networks:
            say(_data_in_words(name, load(name, plugins.datasets, network, settings.data, places)))


def _weights_in_words(start: Start) -> str:
    count, about = start.model.counts().total, start.about
    return f"{start.name}: {count:,} parameters of {start.network}, licence: {about['licence']}, from {about['source']}"


def _names_in_words(start: Start) -> str:
    """The source of the names of the classes. A network without names can run; its classes are numbers."""
    try:
        return start.class_names()[1]
    except SamebenchError as error:
        return f"none: {error}"


def _data_in_words(name: str, found: Dataset) -> str:
    size = format_size(found.shape)
    first = f"{name}: {len(found.train):,} + {len(found.test):,} pictures, {size}, {len(found.classes)} classes"
    return "\n".join([first, *(f"  {note}" for note in found.notes)])
