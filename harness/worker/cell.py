"""The process in which one cell is run, or one backend's certificates: python -m harness.worker.cell REQUEST RESULT.

It imports one framework, answers by writing RESULT, and says nothing that anybody reads on stdout.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.environment import keep_within
from harness.errors import WrongDevice
from harness.result import Cell, Result, diverged
from harness.storage.sealed import ARTIFACTS, write_json, write_sealed
from harness.verdict import no_certificate
from harness.worker.failures import explain
from harness.worker.guard import stand_guard
from harness.worker.progress import teller

if TYPE_CHECKING:
    from harness.data import Dataset
    from harness.task import TaskResult, Trained

NATIVE = "each framework's own optimiser and first weights, as asked for by native semantics"


def main(request_file: str, result_file: str) -> None:
    stand_guard()
    faulthandler.enable()
    request = json.loads(Path(request_file).read_text())
    keep_within(**request["limits"])
    if "cell" in request:
        result = Path(result_file)
        write_sealed(result, run_cell(Cell(**request["cell"]), result.parent / ARTIFACTS, teller()).as_json())
    else:
        from harness.worker.jobs import certify, judge, probe

        answer = {"probe": probe, "judge": judge, "subjects": certify}
        write_json(Path(result_file), next(answer[name](request) for name in answer if name in request))


def run_cell(cell: Cell, artifacts: Path, tell: Callable[[str], None] = lambda line: None) -> Result:
    """Run one cell; whatever goes wrong becomes its status and its reason."""
    try:
        return _run(cell, artifacts, tell)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        status, reason = explain(error)
        return Result(cell, status, reason)


def _run(cell: Cell, artifacts: Path, tell: Callable[[str], None]) -> Result:
    from harness.environment import describe_host
    from harness.options import change
    from harness.pictures import inputs
    from harness.plugins import load_backend, load_plugins
    from harness.storage.places import Places
    from harness.task import TaskContext, fingerprint_of
    from harness.timing.clock import Clock
    from harness.timing.load import as_record
    from harness.worker.networks import builder_of, network_of, trained_network

    clock, plugins, places = Clock(), load_plugins(), Places.from_environment()
    task = plugins.tasks[cell.task]
    data_options, options = inputs.split_options(cell.options)
    with clock.phase("data"):
        network, start = network_of(cell.model, cell.weights, plugins, places)
        dataset = inputs.load(cell.dataset, plugins.datasets, network, data_options, places)
    tell("importing")
    with clock.phase("import"):
        backend = load_backend(cell.backend)(cell.device, cell.mode, cell.precision)
    build, chosen = builder_of(task, network, start), change(task.options(), options)
    context = TaskContext(
        backend, build, dataset, cell.seed, chosen, clock, cell.semantics, tell,
        start=trained_network(start, names=task.keeps_head) if start else None,
    )  # fmt: skip
    found = task.run(context)
    if cell.device not in ("auto", found.evidence["device"]):
        raise WrongDevice(
            f"{cell.backend} was asked for the {cell.device}; its tensors are on the {found.evidence['device']}"
        )
    problem = diverged(found.metrics)
    phases = dict.fromkeys(("data", "import", "build", "first_step", "warm_up", "train", "eval", *clock.phases))
    return Result(
        cell,
        status="diverged" if problem else "ok",
        reason=problem,
        metrics=found.metrics,
        time={f"{name}_s": clock.seconds(name) for name in phases}
        | {f"{name}_beside_s": seconds for name, seconds in clock.beside.items()}
        | {"total_s": clock.total, "rate": task.rate, "images_per_s": found.rates}
        | as_record([clock.segments[rate] for rate in found.rates if rate in clock.segments]),
        parameters=found.parameters._asdict(),
        memory={"peak_rss_bytes": _peak_rss(), "peak_device_bytes": backend.peak_device_bytes()},
        evidence=found.evidence
        | {"dataset": dataset.fingerprint, "data_notes": list(dataset.notes), "own_ways": context.own_ways}
        | {"subjects": fingerprint_of(task.subjects(build, dataset.shape, len(dataset.classes), chosen))}
        | {"host": describe_host()}
        | ({"start": start.about | {"name": start.name}} if start else {}),
        versions=backend.versions(),
        parity=no_certificate(NATIVE if cell.semantics == "native" else ""),
        settings=backend.settings(),
        artifacts={} if problem else _kept(found, dataset, cell, artifacts),
    )


def _kept(found: TaskResult, dataset: Dataset, cell: Cell, folder: Path) -> dict[str, str]:
    """Write what the task has made beside the result; the hash of each file."""
    from harness.storage.places import file_hash
    from harness.storage.sealed import PICTURES, write_arrays

    files = []
    if found.trained:
        files.append(_keep_trained(found.trained, dataset, cell, folder))
    if found.arrays:
        write_arrays(folder / PICTURES, found.arrays)
        files.append(folder / PICTURES)
    return {file.name: file_hash(file, "sha256:") for file in files}


def _keep_trained(trained: Trained, dataset: Dataset, cell: Cell, folder: Path) -> Path:
    from harness.pretrained.entries import FILE, save_trained
    from harness.text import format_size

    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "variant": format_size(trained.model.input_shape),
        "source": f"samebench {cell.task}, {cell.backend}, seed {cell.seed}",
        "licence": "that of its training data" + (", and of the weights it started from" if cell.weights else ""),
        "trained_on": f"{cell.weights}, then {cell.dataset}" if cell.weights else cell.dataset,
    }
    weights = {name: tensor.astype("float32") for name, tensor in trained.weights.items()}
    steps = cell.options.get("data.steps", ())
    save_trained(folder / FILE, trained.model, weights, dataset.classes, told, steps)
    return folder / FILE


def _peak_rss() -> int:
    """The most memory this process ever held; Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
