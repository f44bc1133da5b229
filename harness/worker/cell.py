"""The process that runs one cell, or does another job of one backend: python -m harness.worker.cell REQUEST RESULT.

It imports one framework and writes its answer to the file RESULT. Nothing reads its stdout.
"""

from __future__ import annotations

import faulthandler
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.environment import keep_within
from harness.errors import WrongDevice
from harness.result import Cell, Result, cell_of, diverged
from harness.storage.atomic import read_json
from harness.storage.sealed import ARTIFACTS, write_json, write_sealed
from harness.verdict import no_certificate
from harness.worker.failures import explain
from harness.worker.guard import stand_guard
from harness.worker.memory import peak_rss
from harness.worker.progress import teller

if TYPE_CHECKING:
    from harness.backend import Backend
    from harness.data import Dataset
    from harness.task import TaskResult, Trained
    from harness.timing.gpu import Gpu


PHASES = ("start", "data", "import", "build", "first_step", "warm_up", "train", "curve", "eval", "repeat", "save")
"""The phases that every finished cell has, in their order. Tasks may add others."""


class Conditions(NamedTuple):
    """The conditions of a run that do not decide the numbers of a cell."""

    segment_s: float = 0.0
    """The shortest timed segment in seconds. With 0, work is never repeated."""

    started: float | None = None
    """The value of `time.monotonic` when this process was started."""

    device: str | None = None
    """The device of the whole run; None for that of the cell."""


OWN_SEGMENTS = Conditions()
"""Only the segments of the task itself, of any length."""


def main(request_file: str, result_file: str) -> None:
    stand_guard()
    faulthandler.enable()
    request, result = read_json(Path(request_file)), Path(result_file).absolute()  # a backend may change the folder
    keep_within(**request["limits"])
    if "cell" in request:
        conditions = Conditions(**request.get("conditions", {}))
        done = run_cell(cell_of(request["cell"]), result.parent / ARTIFACTS, teller(), conditions)
        write_sealed(result, done.as_json())
    elif "overhead" in request:
        from harness.worker.overhead import compare

        write_json(result, compare(request, teller()))
    else:
        from harness.worker.jobs import certify, judge, probe
        from harness.worker.verification import verify

        answer = {"probe": probe, "judge": judge, "verify": verify, "subjects": certify}
        write_json(result, next(answer[name](request) for name in answer if name in request))


def run_cell(
    cell: Cell, artifacts: Path, tell: Callable[[str], None] = lambda line: None, conditions: Conditions = OWN_SEGMENTS
) -> Result:
    """Run one cell. An error becomes its status and its reason."""
    try:
        return _run(cell, artifacts, tell, conditions)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        status, reason = explain(error)
        memory: dict[str, int | None] = {"peak_rss_bytes": peak_rss()} if status == "oom" else {}
        return Result(cell, status, reason, memory=memory)


def _run(cell: Cell, artifacts: Path, tell: Callable[[str], None], conditions: Conditions) -> Result:
    from harness.environment import describe_host
    from harness.options import change
    from harness.pictures import inputs
    from harness.plugins import load_backend, load_plugins
    from harness.storage.places import Places
    from harness.task import TaskContext, fingerprint_of
    from harness.timing.clock import Clock
    from harness.timing.probe import machine_probe
    from harness.timing.record import as_record
    from harness.timing.steady import median_rate
    from harness.worker.networks import builder_of, network_of, trained_network
    from harness.worker.peak import above_peak
    from harness.worker.provenance import mixed, provenance

    device = conditions.device or cell.device
    gpu, no_gpu = gpu_of(device)
    others = others_on(gpu)
    clock = Clock(conditions.started, gpu)
    with clock.phase("machine_probe"):
        probes = [machine_probe()]
    with clock.phase("data"):
        plugins, places = load_plugins(), Places.from_environment()
        task = plugins.tasks[cell.task]
        data_options, options = inputs.split_options(cell.options)
        network, start = network_of(cell.model, cell.weights, plugins, places)
        dataset = inputs.load(cell.dataset, plugins.datasets, network, data_options, places)
    tell("importing")
    with clock.phase("import"):
        backend = load_backend(cell.backend)(device, cell.mode, cell.precision)
    build, chosen = builder_of(task, network, start), change(task.options(), options)
    context = TaskContext(
        backend, build, dataset, cell.seed, chosen, clock, cell.semantics, tell,
        start=trained_network(start, names=task.keeps_head) if start else None, segment_s=conditions.segment_s,
        pipeline=data_options.pipeline,
    )  # fmt: skip
    outcome = task.run(context)
    if device not in ("auto", outcome.evidence["device"]):
        raise WrongDevice(
            f"{cell.backend} should run on the {device}, but its tensors are on the {outcome.evidence['device']}; {WrongDevice.do}"
        )
    problem = lost = diverged(outcome.metrics)
    with clock.phase("save"):
        written = {} if problem else _write_artifacts(outcome, dataset, cell, artifacts)
        subjects = fingerprint_of(task.subjects(build, dataset.shape, len(dataset.classes), chosen))
        about, versions, settings = provenance(backend), backend.versions(), backend.settings()
    memory = {"peak_rss_bytes": peak_rss(), "peak_device_bytes": backend.peak_device_bytes()}
    peak = None
    if conditions.segment_s and outcome.flops and outcome.rates:
        with clock.phase("peak"):
            peak = _peak_of(backend, device)
        speed = median_rate(outcome.rates) * outcome.flops
        problem = problem or (above_peak(speed, peak, clock.usage["peak"][-1]) if peak else None)
    with clock.phase("machine_probe"):
        probes.append(machine_probe())
    return Result(
        cell,
        status="diverged" if lost else "invalid" if problem else "ok",
        reason=problem,
        metrics=outcome.metrics,
        time={f"{name}_s": seconds for name, seconds in clock.record(*PHASES).items()}
        | {f"{name}_beside_s": seconds for name, seconds in clock.beside.items()}
        | {"rate": task.rate, "probe_s": probes}
        | {f"{name}_per_s": rates for name, rates in context.input_rates.items()}
        | ({"flops": float(outcome.flops)} if outcome.flops else {})
        | ({"peak_flops": peak} if peak else {})
        | as_record(outcome.rates, conditions.segment_s),
        parameters=outcome.parameters._asdict(),
        memory=memory,
        evidence=outcome.evidence
        | {"dataset": dataset.fingerprint, "data_notes": list(dataset.notes), "own_ways": context.own_ways}
        | {"subjects": subjects, "gpu": {"segments": on_gpu(outcome.rates) if gpu else None, "reason": no_gpu}}
        | ({"disturbed": others} if others else {})
        | {"host": describe_host()}
        | ({"start": start.about | {"name": start.name}} if start else {}),
        versions=versions,
        parity=no_certificate(cell.own),
        settings=settings,
        warnings=list(mixed(about["frameworks"], versions)),
        provenance=about,
        artifacts=written,
    )


def _peak_of(backend: Backend[Any], device: str) -> float | None:
    """The speed limit of the machine for this backend, in the mode "default", because other modes may compile for minutes. None
    if the backend lacks one of the layers, or fails: the cell has done its work."""
    from harness.worker.peak import peak_flops

    try:
        return peak_flops(backend if backend.mode == "default" else type(backend)(device, "default", backend.precision))
    except Exception:
        traceback.print_exc()
        return None


def gpu_of(device: str) -> tuple[Gpu | None, str | None]:
    """The GPU whose state is read while the cell runs; or None, and the reason."""
    from harness.environment import gpus
    from harness.timing.gpu import Gpu, Unreadable

    if device != "gpu":
        return None, "the cell ran on the CPU"
    if not (found := gpus()):
        return None, "the system names no NVIDIA GPU"
    try:
        return Gpu(found[0]), None
    except Unreadable as error:
        return None, str(error)


def others_on(gpu: Gpu | None) -> str | None:
    """What other processes have on the GPU before this cell uses it; None if that is nothing, or unknown."""
    from harness.timing.gpu import Unreadable

    try:
        return gpu.others() if gpu else None
    except Unreadable:
        return None


def on_gpu(rates: Sequence[float]) -> list[Mapping[str, Any] | None]:
    """The state of the GPU in each timed segment."""
    return [getattr(rate, "gpu", None) for rate in rates]


def _write_artifacts(outcome: TaskResult, dataset: Dataset, cell: Cell, folder: Path) -> dict[str, str]:
    """Write the trained weights and the pictures of a task into a folder. Returns the hash of each file."""
    from harness.storage.places import file_hash
    from harness.storage.sealed import PICTURES, write_arrays

    files = []
    if outcome.trained:
        files.append(_write_weights(outcome.trained, dataset, cell, folder))
    if outcome.arrays:
        write_arrays(folder / PICTURES, outcome.arrays)
        files.append(folder / PICTURES)
    return {file.name: file_hash(file, "sha256:") for file in files}


def _write_weights(trained: Trained, dataset: Dataset, cell: Cell, folder: Path) -> Path:
    from harness.pretrained.entries import FILE, save_trained
    from harness.text import format_size

    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "variant": format_size(trained.model.input_shape),
        "source": f"samebench {cell.task}, {cell.backend}, seed {cell.seed}",
        "licence": "that of its training data" + (" and of its pretrained weights" if cell.weights else ""),
        "trained_on": f"{cell.weights}, then {cell.dataset}" if cell.weights else cell.dataset,
    }
    weights = {name: tensor.astype("float32") for name, tensor in trained.weights.items()}
    steps = cell.options.get("data.steps", ())
    save_trained(folder / FILE, trained.model, weights, dataset.classes, facts, steps)
    return folder / FILE


if __name__ == "__main__":
    main(*sys.argv[1:])
