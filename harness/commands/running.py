"""The commands run, learning-curve and rerun. They import `launching`, which does the work, only when they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.commands import names
from harness.commands.once import option


def _where_to(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that run and rerun share."""
    for shared in (
        option("--yes", is_flag=True, help="Confirm a run of more than 1,000 cells."),
        option("--strict", is_flag=True, help="Exit with 1 if a cell is unsupported or has a warning."),
        option(
            "--sink",
            multiple=True,
            metavar="NAME[=PLACE]",
            shell_complete=names.SINKS,
            help="A tracker that gets every finished cell: tensorboard, mlflow or wandb; may be repeated.",
        ),
        option("--allow-differs", is_flag=True, help="Exit with 0 even if a verdict is `differs`."),
        option(
            "--out",
            type=click.Path(path_type=Path),
            help="The folder of the run. Default: runs/DATE-TIME. The same folder resumes the run.",
        ),
    ):
        command = shared(command)
    return command


def _what_to_run(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that run and learning-curve share."""
    for shared in reversed((
        option("--task", multiple=True, shell_complete=names.TASKS, help="A task; may be repeated. Default: all."),
        option("--backend", multiple=True, shell_complete=names.BACKENDS, help="A backend, or FILE.py; may be repeated. Default: all installed."),
        option("--mode", multiple=True, help="A mode of the backends, such as compiled; may be repeated. Default: default."),
        option("--model", shell_complete=names.MODELS, help="A network: samebench list models. Default: each task's own, two-block-cnn."),
        option("--dataset", shell_complete=names.DATASETS, help="A dataset: samebench list datasets; or folder:PATH. Default: each task's own, of digits."),
        option("--weights", shell_complete=names.WEIGHTS, help="Trained weights to start from: samebench list weights; or the path of a file."),
        option("--seeds", help="The number of seeds, such as 3, or the seeds, such as 0,1,2. Default: 1."),
        option("--device", help="auto, cpu or gpu. Default: auto."),
        option("--precision", help="float32, tf32, bfloat16 or float64. Default: float32."),
        option("--semantics", help="aligned, native-weights (each framework's own first weights), or native (its own optimiser too)."),
        option("--pipeline", help="harness, or own: each framework reads the picture files by its own input pipeline. Default: harness."),
        option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting of CONFIG.toml: scratch-cnn.epochs=3."),
        option("--python", "pythons", multiple=True, metavar="BACKEND=PATH", help="The Python interpreter of a backend."),
        option("--data-dir", help="The folder of your data. Default: SAMEBENCH_DATA_DIR."),
        option("--timeout", type=float, help="The time limit of a cell in seconds. Default: 3600."),
        option("--no-parity", is_flag=True, help="Make no certificates: verdicts are not-checked."),
        option("--offline", is_flag=True, help="Download nothing."),
    )):  # fmt: skip
        command = shared(command)
    return command


@click.command(
    "run", epilog="Example: samebench run --backend pytorch --backend jax --seeds 3 --set scratch-cnn.epochs=5"
)
@click.argument("file", metavar="[CONFIG.toml]", required=False, type=click.Path(path_type=Path))
@option("--profile", help="quick, standard or rigorous. Default: quick.")
@option(
    "--waterfall",
    is_flag=True,
    help="Run from aligned to native semantics, one default at a time. Default task: scratch-cnn.",
)
@option(
    "--aa",
    metavar="BACKEND",
    shell_complete=names.BACKENDS,
    help="Run one backend twice in turn, and compare the two: a measure of the machine. Exits with 1 if they differ.",
)
@option(
    "--serve", is_flag=True, help="Show the page of the run in a browser while it runs, at an address that is printed."
)
@option("--dry-run", is_flag=True, help="Print the cells, their time, downloads and disk space. Run nothing.")
@_what_to_run
@_where_to
def run_command(file: Path | None, profile: str | None, **typed: Any) -> None:
    """Run experiments and print their report."""
    from harness.commands import launching

    launching.run(file, profile, typed)


@click.command(
    "learning-curve",
    epilog="Example: samebench learning-curve --dataset cats-vs-dogs --weights efficientnet-lite0 --counts 100,200,400",
)
@option(
    "--counts",
    help="Numbers of training pictures: 100,200,400. Default: all pictures, half of them, and so on, at least 64.",
)
@_what_to_run
@_where_to
def learning_curve_command(counts: str | None, **typed: Any) -> None:
    """Measure accuracy by the number of training pictures: from scratch, on features, and fine-tuned."""
    from harness.commands import launching

    launching.learning_curve(counts, typed)


@click.command("rerun", epilog="Example: samebench rerun results/digits --out runs/again")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@option("--backend", multiple=True, metavar="FILE.py", help="A backend file of the run that may be executed.")
@option("--python", "pythons", multiple=True, metavar="BACKEND=PATH", help="The Python interpreter of a backend.")
@_where_to
def rerun_command(folder: Path, **typed: Any) -> None:
    """Repeat a run in a new folder, from its record."""
    from harness.commands import launching

    launching.rerun(folder, typed)
