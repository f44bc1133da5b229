"""MLflow: an experiment for each run, and in it a run of MLflow for each cell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness import Logbook, LoggedCell, Unavailable, hookimpl

FEW, MANY = 100, 1000
"""The largest numbers of parameters and of metrics that MLflow takes at once."""

CELL = "samebench.cell"
"""The tag with the name of the cell."""

Item = TypeVar("Item")


def to_mlflow(book: Logbook) -> None:
    """Write to a tracking server or a database. The place is its address; by default it is MLFLOW_TRACKING_URI, or else an SQLite file
    in the folder of the run."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise Unavailable(
            f"the sink mlflow needs mlflow ({error}): pip install 'samebench[mlflow]'", code="not-installed"
        ) from None
    where = book.where or os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(where or f"sqlite:///{book.folder.absolute() / 'mlflow.db'}")
    experiment = _experiment(client, book.run, None if where else book.folder)
    for cell in book:
        for old in client.search_runs([experiment], f"tags.`{CELL}` = '{cell.name}'"):
            client.delete_run(old.info.run_id)
        _log(client, experiment, cell)


def _experiment(client: Any, name: str, folder: Path | None) -> str:
    """The identifier of the experiment with this name. If it is new, it is created, with its files in this folder."""
    if known := client.get_experiment_by_name(name):
        return str(known.experiment_id)
    return str(client.create_experiment(name, (folder / "files").absolute().as_uri() if folder else None))


def _log(client: Any, experiment: str, cell: LoggedCell) -> None:
    from mlflow.entities import Metric, Param

    tags = {CELL: cell.name} | {f"samebench.{name}": text for name, text in cell.tags.items()}
    run = client.create_run(experiment, tags=tags, run_name=cell.name).info.run_id
    now = int(time.time() * 1000)
    for parameters in _parts([Param(name, str(value)) for name, value in cell.parameters.items()], FEW):
        client.log_batch(run, params=parameters)
    numbers = [Metric(name, number, now, 0) for name, number in cell.numbers.items()]
    curves = [Metric(name, number, now, place) for name, points in cell.curves.items() for place, number in points]
    for metrics in _parts([*numbers, *curves], MANY):
        client.log_batch(run, metrics=metrics)
    for name, pixels in cell.pictures.items():
        client.log_image(run, pixels, f"{name}.png")
    client.set_terminated(run, "FINISHED" if cell.is_ok else "FAILED")


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@hookimpl
def samebench_sinks() -> Mapping[str, Callable[[Logbook], None]]:
    return {"mlflow": to_mlflow}
