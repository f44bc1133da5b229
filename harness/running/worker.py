"""The process in which one cell, or one backend's certificates, are run: python -m harness.worker REQUEST RESULT.

It imports one framework, answers by writing RESULT, and says nothing that anybody reads on stdout.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.errors import PluginError, Unavailable, Unsupported, WrongDevice
from harness.options import change
from harness.plugins import load_backend, load_plugins
from harness.result import Cell, Result, Status, diverged, not_checked
from harness.store import write_json
from harness.task import Bench


def main(request_file: str, result_file: str) -> None:
    faulthandler.enable()
    request = json.loads(Path(request_file).read_text())
    answer = run_cell(Cell(**request["cell"])) if "cell" in request else certify(request)
    write_json(Path(result_file), answer)


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run one cell; whatever goes wrong becomes its status and its reason."""
    try:
        return _run(cell).as_json()
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        status, reason = explain(error)
        return Result(cell, status, reason).as_json()


def explain(error: BaseException) -> tuple[Status, str]:
    """A status and a reason for an exception."""
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    if isinstance(error, WrongDevice):
        return "wrong-device", str(error)
    if isinstance(error, Unavailable | PluginError):
        return "unavailable", str(error)
    # Each framework has an exception of its own for this, and none of them is known here.
    if isinstance(error, MemoryError) or any(
        word in str(error) for word in ("RESOURCE_EXHAUSTED", "out of memory", "OOM when")
    ):
        return "oom", f"{type(error).__name__}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return "failed", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


def _run(cell: Cell) -> Result:
    clock, plugins = Clock(), load_plugins()
    task, dataset = plugins.tasks[cell.task], plugins.datasets[cell.dataset]()
    with clock.phase("import"):
        backend = load_backend(cell.backend)(cell.device, cell.mode, cell.precision)
    options = change(task.options(), cell.options)
    bench = Bench(backend, plugins.models[cell.model], dataset, cell.seed, options, clock)
    found = task.run(bench)
    if cell.device not in ("auto", found.evidence["device"]):
        raise WrongDevice(
            f"{cell.backend} was asked for the {cell.device}; its tensors are on the {found.evidence['device']}"
        )
    problem = diverged(found.metrics)
    phases = {f"{name}_s": clock.seconds(name) for name in ("import", "build", "first_step", "train", "eval")}
    return Result(
        cell,
        status="diverged" if problem else "ok",
        reason=problem,
        metrics=found.metrics,
        time=phases | {"total_s": clock.total, "rate": task.rate, "images_per_s": found.rates},
        parameters=found.parameters._asdict(),
        memory={"peak_rss_bytes": _peak_rss(), "peak_device_bytes": backend.peak_device_bytes()},
        evidence=found.evidence | {"dataset": dataset.fingerprint},
        versions=backend.versions(),
        settings=backend.settings(),
    )


def certify(request: dict[str, Any]) -> dict[str, Any]:
    """One certificate for each subject that the request names; an error becomes the verdict of those left."""
    from harness.parity import certify

    plugins, answers = load_plugins(), {}
    try:
        backend = load_backend(request["backend"])
        for name, subject in request["subjects"].items():
            task, dataset = plugins.tasks[subject["task"]], plugins.datasets[subject["dataset"]]()
            shape, classes = dataset.train.images.shape[1:], len(dataset.classes)
            options = change(task.options(), subject["options"])
            found = [
                certify(
                    lambda precision: backend(request["device"], request["mode"], precision), part, request["precision"]
                )
                for part in task.subjects(plugins.models[subject["model"]], shape, classes, options)
            ]
            answers[name] = asdict(next((c for c in found if c.verdict != "equal"), found[0]))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        answers = dict.fromkeys(request["subjects"], not_checked(explain(error)[1])) | answers
    return answers


def _peak_rss() -> int:
    """The most memory this process ever held; Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
