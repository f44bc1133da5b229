"""The command that classifies a picture: predict."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from harness.commands import names
from harness.commands.once import option
from harness.commands.output import say
from harness.errors import SamebenchError, UsageError
from harness.text import is_file


@click.command("predict", epilog="Example: samebench predict cat.jpg --weights efficientnet-lite0")
@click.argument("image", type=click.Path(path_type=Path))
@option("--weights", shell_complete=names.WEIGHTS, help="See: samebench list weights; or the path of a file.")
@option("--run", "folder", type=click.Path(path_type=Path), help="A run with trained weights.")
@option("--task", shell_complete=names.TASKS, help="The task that trained the weights. Default: the first in the run.")
@option("--model", shell_complete=names.MODELS, help="The network of the weights, if their file does not name it.")
@option(
    "--backend",
    shell_complete=names.BACKENDS,
    help="Default: the backend that trained the weights, or the first that is installed.",
)
@option("--top", type=click.IntRange(1), default=5, show_default=True, help="The number of classes to print.")
def predict_command(
    image: Path, weights: str | None, folder: Path | None, task: str | None, model: str | None, backend: str | None,
    top: int,
) -> None:  # fmt: skip
    """Classify a picture with a trained network. The middle of the picture is resized bilinearly to the network's input."""
    from harness.commands.prediction import picture_in, seen_in
    from harness.environment import worker_environment
    from harness.plugins import load_backend, load_plugins
    from harness.pretrained.entries import start_from
    from harness.running.trained import trained_in
    from harness.storage.places import Places
    from harness.worker.networks import numbered

    os.environ.update(worker_environment())
    if (weights is None) == (folder is None):
        raise UsageError("name the trained network: either --weights NAME_OR_PATH or --run RUN", code="missing-option")
    if folder:
        found = trained_in(folder, task)
        weights, backend = str(found.file), backend or _trusted(found.backend)
    plugins, places = load_plugins(), Places.from_environment()
    start = start_from(weights or "", model, plugins.weights, plugins.models, places)
    picture = picture_in(image, start.model.input_shape, start.steps)
    name = backend or _installed()
    loaded = load_backend(name)
    shares = seen_in(loaded(precision=loaded.precisions[0]), start.model, start.load(), picture)
    try:
        names, origin = start.class_names()
    except SamebenchError as error:
        names, origin = numbered(len(shares)), f"none: {error}"
    rows, columns, _ = start.model.input_shape
    say(f"{image}, its middle at {rows}x{columns}, as {start.name} sees it on {name}:")
    for number in shares.argsort()[::-1][:top]:
        say(f"  {shares[number]:7.2%}  {names[number]} ({number})")
    say(f"Names of classes: {origin}")


def _trusted(backend: str) -> str:
    """The backend that has trained the network. Raises UsageError if it is a file, because the run may come from a stranger."""
    if not is_file(backend):
        return backend
    again = shlex.join(["samebench", *sys.argv[1:], "--backend", os.path.realpath(backend)])
    raise UsageError(
        f"the network was trained by the file {backend}, which would be executed. If you know and trust it, name it again: "
        f"{again}; or name another backend: --backend numpy",
        code="untrusted-file",
    )


def _installed() -> str:
    """The first installed framework's backend, or else the reference."""
    from harness.plugins import find_backends
    from harness.report.crosscheck import REFERENCE
    from harness.running.plan import SHIPPED

    found = find_backends()
    return next((name for name in SHIPPED if name in found and found[name].status == "available"), REFERENCE)
