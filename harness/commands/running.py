"""Commands that run: run, learning-curve, rerun. What they do is in `launching`, which is imported when one is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.commands import names
from harness.commands.once import option


def _where_to(command: Callable[..., None]) -> Callable[..., None]:
    """The options that run and rerun share."""
    for shared in (
        option("--yes", is_flag=True, help="Run a matrix of more than 1,000 cells."),
        option("--strict", is_flag=True, help="Count unsupported cells as not ok."),
        option("--allow-differs", is_flag=True, help="Exit with 0 even if a verdict is `differs`."),
        option(
            "--out",
            type=click.Path(path_type=Path),
            help="The run's folder. Default: runs/DATE-TIME. The same one resumes.",
        ),
    ):
        command = shared(command)
    return command


def _what_to_run(command: Callable[..., None]) -> Callable[..., None]:
    """The options of run that make sense for learning-curve too."""
    for shared in reversed((
        option("--task", multiple=True, shell_complete=names.TASKS, help="A task; may be given again. Default: all."),
        option("--backend", multiple=True, shell_complete=names.BACKENDS, help="A backend, or FILE.py; may be given again. Default: those installed."),
        option("--mode", multiple=True, help="A mode of the backends, such as compiled; may be given again. Default: default."),
        option("--model", shell_complete=names.MODELS, help="See: samebench list models. Default: each task's own, two-block-cnn."),
        option("--dataset", shell_complete=names.DATASETS, help="See: samebench list datasets; or folder:PATH. Default: each task's own, of digits."),
        option("--weights", shell_complete=names.WEIGHTS, help="What transfer starts from. See: samebench list weights; or the path of a file."),
        option("--seeds", help="How many, or which: 3, or 0,1,2. Default: 1."),
        option("--device", help="auto, cpu or gpu. Default: auto."),
        option("--precision", help="float32, tf32, bfloat16 or float64. Default: float32."),
        option("--semantics", help="aligned, or native: each framework's own optimiser and first weights."),
        option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Anything a CONFIG.toml may say: scratch-cnn.epochs=3."),
        option("--python", "pythons", multiple=True, metavar="BACKEND=PATH", help="The interpreter to run a backend with."),
        option("--data-dir", help="Where your data lies. Default: SAMEBENCH_DATA_DIR."),
        option("--timeout", type=float, help="Seconds that one cell may take. Default: 3600."),
        option("--no-parity", is_flag=True, help="Leave the certificates out; verdicts say not-checked."),
        option("--offline", is_flag=True, help="Use no network."),
    )):  # fmt: skip
        command = shared(command)
    return command


@click.command(
    "run", epilog="Example: samebench run --backend pytorch --backend jax --seeds 3 --set scratch-cnn.epochs=5"
)
@click.argument("file", metavar="[CONFIG.toml]", required=False, type=click.Path(path_type=Path))
@option("--profile", help="quick, standard or rigorous. Default: quick.")
@option("--dry-run", is_flag=True, help="Only say what would be run, fetched and written, and how long it takes.")
@_what_to_run
@_where_to
def run_command(file: Path | None, profile: str | None, **typed: Any) -> None:
    """Run experiments, then print their table."""
    from harness.commands import launching

    launching.run(file, profile, typed)


@click.command(
    "learning-curve",
    epilog="Example: samebench learning-curve --dataset cats-vs-dogs --weights efficientnet-lite0 --counts 100,200,400",
)
@option("--counts", help="Numbers of training pictures: 100,200,400. Default: all of them, and halves down to 64.")
@_what_to_run
@_where_to
def learning_curve_command(counts: str | None, **typed: Any) -> None:
    """Accuracy against the number of training pictures: from scratch, on features, fine-tuned."""
    from harness.commands import launching

    launching.learning_curve(counts, typed)


@click.command("rerun", epilog="Example: samebench rerun results/digits --out runs/again")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@option("--backend", multiple=True, metavar="FILE.py", help="A backend file of the run that may be executed.")
@option("--python", "pythons", multiple=True, metavar="BACKEND=PATH", help="The interpreter to run a backend with.")
@_where_to
def rerun_command(folder: Path, **typed: Any) -> None:
    """Repeat a run from its own record, in a new folder."""
    from harness.commands import launching

    launching.rerun(folder, typed)
