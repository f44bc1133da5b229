"""The sinks that ship with samebench, read back by the programs that they write for: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import needed
import numpy as np
import pytest
from reports import NASTY
from runs import cell, certificate, finished, pictured, stored_run

from harness.metric import Metric
from harness.result import Result
from harness.running.sinks import Patience, Wanted, sinking
from harness.running.store import Store

METRICS = {"test_accuracy": 0.75, "curve": [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]}
DECLARED = [
    Metric("test_accuracy", format="share"), Metric("curve", form="curve", over="epoch", parts=(("loss", "loss"),)),
]  # fmt: skip
LOSS = [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
FIRST, SECOND, BROKEN = cell(), cell(seed=1), cell(seed=2)


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """A run of three cells. The first is ok, the second has pictures, and the third has failed with a hostile reason."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    metrics = {"scratch-cnn": [metric.as_json() for metric in DECLARED]}
    store = Store(stored_run(tmp_path / "my run", [], metrics=metrics))
    results = [
        finished(FIRST, metrics=METRICS),
        finished(SECOND, metrics=METRICS, artifacts=pictured(SECOND, store).artifacts),
        Result(BROKEN, "failed", f"it broke: {''.join(NASTY)}"),
    ]
    store.save_run({**store.run, "plan": [asdict(result.cell) for result in results]})
    store.save_certificate(FIRST.configuration, certificate())
    for result in results:
        store.save(result)
    return store


def give(store: Store, name: str, where: str | None = None) -> Path:
    """Give all cells to a sink. Returns its folder."""
    said: list[str] = []
    with sinking(store, [Wanted(name, where)], said.append) as log:
        for planned in store.plan():
            log(planned.key)
    assert said == [], (store.folder / "sinks" / name / "log.txt").read_text()
    return store.folder / "sinks" / name


def again(store: Store) -> None:
    """The first cell has run again, with another accuracy."""
    store.save(finished(FIRST, metrics=METRICS | {"test_accuracy": 0.5}))


def test_tensorboard_reads_curves_numbers_pictures_and_the_verdict(store):
    needed.package("tensorboardX", "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(key: str) -> EventAccumulator:
        found = EventAccumulator(str(folder / "my run" / key), {"images": 0, "scalars": 0, "tensors": 0})
        return found.Reload()

    folder = give(store, "tensorboard")
    first, second, broken = read(FIRST.key), read(SECOND.key), read(BROKEN.key)
    assert [(event.step, event.value) for event in first.Scalars("metrics.curve.loss")] == LOSS
    assert first.Scalars("metrics.test_accuracy")[0].value == 0.75
    assert first.Tensors("verdict/text_summary")[0].tensor_proto.string_val == [b"    equal"]
    assert len(second.Tags()["images"]) == 16
    assert second.Images("picture_1_original")[0].width == 8
    assert broken.Tensors("status/text_summary")[0].tensor_proto.string_val == [b"    failed"]
    assert first.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name == "hparams"
    again(store)
    give(store, "tensorboard")
    assert [event.value for event in read(FIRST.key).Scalars("metrics.test_accuracy")] == [0.5], (
        "the old file is replaced"
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in the libraries of MLflow
def test_mlflow_reads_curves_numbers_pictures_and_the_verdict(store, tmp_path):
    needed.package("mlflow")
    from mlflow import MlflowClient
    from PIL import Image

    folder = give(store, "mlflow")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("my run").experiment_id

    def runs() -> dict[str, object]:
        found = client.search_runs([experiment])
        assert len(found) == 3, "a run for each cell"
        return {run.info.run_name: run for run in found}

    first, second, broken = (runs()[one.key] for one in (FIRST, SECOND, BROKEN))
    assert first.data.metrics["metrics.test_accuracy"] == 0.75
    history = client.get_metric_history(first.info.run_id, "metrics.curve.loss")
    assert [(point.step, point.value) for point in history] == LOSS
    assert first.data.params["model"] == "two-block-cnn" and first.data.params["optimizer.lr"] == "0.1"
    assert first.data.tags["samebench.verdict"] == "equal" and first.info.status == "FINISHED"
    assert broken.info.status == "FAILED" and "it broke" in broken.data.tags["samebench.reason"]
    files = [file.path for file in client.list_artifacts(second.info.run_id)]
    assert len(files) == 16
    local = client.download_artifacts(second.info.run_id, "picture 1 original.png", str(tmp_path))
    with Image.open(local) as picture:
        assert picture.size == (8, 8)
    again(store)
    shutil.copy(folder / "mlflow.db", tmp_path / "team.db")
    where = f"sqlite:///{tmp_path / 'team.db'}"
    give(store, "mlflow", where)
    client = MlflowClient(where)
    assert runs()[FIRST.key].data.metrics["metrics.test_accuracy"] == 0.5, (
        "the old run is replaced, at the place of the user"
    )


def test_wandb_reads_curves_numbers_pictures_and_the_verdict(store):
    needed.package("wandb")
    folder = give(store, "wandb")
    first, second, broken = (offline_run(folder, one.key) for one in (FIRST, SECOND, BROKEN))
    assert [(step["_step"], step["metrics.curve.loss"]) for step in first["history"]] == LOSS
    assert first["summary"]["metrics.test_accuracy"] == 0.75 and first["summary"]["verdict"] == "equal"
    assert first["config"]["model"] == "two-block-cnn" and first["config"]["seed"] == 0
    assert first["tags"] == ["equal", "ok"] and first["project"] == "samebench" and first["exit"] == 0
    assert len(list(second["folder"].glob("files/media/images/*.png"))) == 16
    assert broken["tags"][1] == "failed" and broken["exit"] == 1
    again(store)
    give(store, "wandb")
    assert offline_run(folder, FIRST.key)["summary"]["metrics.test_accuracy"] == 0.5


def offline_run(folder: Path, key: str) -> dict:
    """The offline run of a cell. There must be exactly one."""
    found = [run for path in (folder / "wandb").glob("offline-run-*") if (run := read_run(path))["name"] == key]
    assert len(found) == 1
    return found[0]


def read_run(folder: Path) -> dict:
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    run: dict = {"folder": folder, "history": [], "summary": {}, "config": {}, "tags": []}
    for data in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run |= {"name": record.run.display_name, "project": record.run.project, "tags": list(record.run.tags)}
            run["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            run["history"].append(values(record.history.item))
        elif kind == "summary":
            run["summary"] |= values(record.summary.update)
        elif kind == "exit":
            run["exit"] = record.exit.exit_code
    return run


def values(items) -> dict:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file in the log format of LevelDB, in which W&B stores offline runs."""
    assert data[:4] == b":W&B"
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_hostile_names_stay_in_the_folder_and_are_only_text(name, tmp_path):
    needed.package({"tensorboard": "tensorboardX"}.get(name, name))
    cells = [
        cell(seed=number, model=text, dataset=text, options={f"x.{text}": text}) for number, text in enumerate(NASTY)
    ]
    times = finished(cell()).time
    results = [finished(one, time=times | {f"{text}_s": 1.0}) for one, text in zip(cells, NASTY, strict=True)]
    store = Store(stored_run(tmp_path / "room" / "..run", results))
    before = {path for path in tmp_path.rglob("*") if store.folder not in path.parents}
    give(store, name)
    assert {path for path in tmp_path.rglob("*") if store.folder not in path.parents} == before


def test_a_sink_without_its_package_says_how_to_install_it(store, tmp_path, monkeypatch):
    """A folder of modules that cannot be imported stands before the real packages."""
    for module in ("tensorboardX", "mlflow", "wandb"):
        (tmp_path / "none" / module).mkdir(parents=True)
        (tmp_path / "none" / module / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path / "none"), os.environ.get("PYTHONPATH")]))
    )
    for name in ("tensorboard", "mlflow", "wandb"):
        said: list[str] = []
        with sinking(store, [Wanted(name, None)], said.append) as log:
            log(FIRST.key)
        assert len(said) == 1 and f"pip install 'samebench[{name}]'" in said[0]


def test_numbers_of_a_logbook_are_plain_python(store):
    """Trackers store them as JSON."""
    from harness.report.logbook import logged

    found = logged(store.load(FIRST), DECLARED)
    assert json.loads(json.dumps([dict(found.numbers), dict(found.parameters)])) and not any(
        isinstance(value, np.generic) for value in found.numbers.values()
    )


def test_a_server_that_is_down_delays_the_run_by_a_known_time(store):
    needed.package("mlflow")
    said: list[str] = []
    start = time.monotonic()
    with sinking(store, [Wanted("mlflow", "http://127.0.0.1:9")], said.append, Patience(6, 5, 5)) as log:
        log(FIRST.key)
    assert len(said) == 1 and "the run goes on without it" in said[0] and time.monotonic() - start < 30
