"""Weights & Biases: a run of W&B for each cell, offline. `wandb sync RUN/sinks/wandb/wandb/*` uploads them later."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from harness import Logbook, LoggedCell, Unavailable, hookimpl

DEFAULTS = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
"""Environment variables of W&B that hold if the user has not set them."""


def to_wandb(book: Logbook) -> None:
    """Write offline runs into the folder of the run. The place is the name of a project."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import wandb
    except ImportError as error:
        raise Unavailable(
            f"the sink wandb needs wandb ({error}): pip install 'samebench[wandb]'", code="not-installed"
        ) from None
    settings = wandb.Settings(disable_git=True, disable_code=True, x_disable_stats=True)
    for cell in book:
        name = hashlib.sha256(f"{book.run}/{cell.name}".encode()).hexdigest()[:16]
        for old in (book.folder / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(old)
        run = wandb.init(
            project=book.where or "samebench", dir=str(book.folder), id=name, name=cell.name, group=book.run,
            config=dict(cell.parameters), tags=[cell.tags["same"], cell.tags["status"]], notes=cell.tags["verdict"],
            settings=settings,
        )  # fmt: skip
        _log(wandb, run, cell)
        run.finish(exit_code=0 if cell.is_ok else 1)


def _log(wandb: Any, run: Any, cell: LoggedCell) -> None:
    """Log the curves by their places, then the pictures, and the single numbers as the summary."""
    steps: dict[int, dict[str, Any]] = {}
    for name, points in cell.curves.items():
        for place, number in points:
            steps.setdefault(place, {})[name] = number
    for place in sorted(steps):
        run.log(steps[place], step=place)
    if cell.pictures:
        run.log(
            {
                name: wandb.Image(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
                for name, pixels in cell.pictures.items()
            }
        )
    run.summary.update(dict(cell.numbers) | dict(cell.tags))


@hookimpl
def samebench_sinks() -> Mapping[str, Callable[[Logbook], None]]:
    return {"wandb": to_wandb}
