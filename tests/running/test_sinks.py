"""Sinks get every finished cell, once, between cells. A sink that fails, hangs or is missing never hurts the run."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from command import SMALL, command, lives, samebench, wait_for
from refusals import refused
from reports import NASTY
from runs import Silent, cell, certificate, finished, pictured, stored_run

from harness.errors import UsageError
from harness.metric import Metric
from harness.plugins import load_plugins
from harness.report.logbook import logged, logged_pictures
from harness.result import Result
from harness.running.sinks import Patience, Wanted, sinking, wanted_sinks
from harness.running.store import Store

SINKS = """
import json, os, subprocess, sys, time
from pathlib import Path
from harness import Unavailable, hookimpl

def lines(book):
    with open(book.where or book.folder / "lines.txt", "a") as file:
        for cell in book:
            print(json.dumps([book.run, cell.name, dict(cell.tags), dict(cell.numbers)]), file=file, flush=True)

def failing(book):
    next(iter(book))
    raise ValueError("the disk of the tracker\\x1b[31m is full")

def broken(book):
    raise SystemExit("cannot start")

def missing(book):
    raise Unavailable("the sink missing needs a package: pip install it", code="not-installed")

def hanging(book):
    for cell in book:
        child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(600)"])
        Path(book.folder, "pids").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)

def endless(book):
    for cell in book:
        pass
    time.sleep(600)

def leaving(book):
    next(iter(book))

def sleepy(book):
    time.sleep(600)

def chatty(book):
    for cell in book:
        print("x" * 1000000)
        os.write(2, b"more")

@hookimpl
def samebench_sinks():
    return {sink.__name__: sink for sink in (lines, failing, broken, missing, hanging, endless, leaving, sleepy, chatty)}
"""


@pytest.fixture(autouse=True)
def installed(tmp_path_factory, monkeypatch):
    """An installed package with these sinks."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "some_sinks.py").write_text(SINKS)
    (about := folder / "some_sinks-1.0.dist-info").mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-sinks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[samebench.plugins]\nsome-sinks = some_sinks\n")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(stored_run(tmp_path / "run", [finished(cell(seed=seed)) for seed in range(3)]))


def written(store: Store) -> list[list]:
    return [json.loads(line) for line in (store.folder / "sinks/lines/lines.txt").read_text().splitlines()]


def give(store: Store, *names: str, patience: Patience = Patience(60, 30, 30), where: str | None = None) -> list[str]:  # noqa: B008
    """Give all cells of a run to these sinks. Returns what is said."""
    said: list[str] = []
    with sinking(store, [Wanted(name, where) for name in names], said.append, patience) as log:
        for planned in store.plan():
            log(planned.key)
    return said


def test_a_sink_gets_each_cell_with_its_numbers_and_its_verdict(store):
    assert give(store, "lines") == []
    found = written(store)
    assert [name for _, name, *_ in found] == [planned.key for planned in store.plan()]
    run, _, tags, numbers = found[0]
    assert run == "run" and tags["status"] == "ok" and tags["same"] == "not-checked"
    assert numbers["metrics.test_accuracy"] == 0.5 and numbers["time.images_per_s"] == 5.5


def test_a_result_is_logged_once_however_often_the_run_is_resumed(store):
    give(store, "lines")
    assert give(store, "lines") == [] and len(written(store)) == 3
    store.save(finished(cell(seed=1), metrics={"test_accuracy": 0.6}))
    give(store, "lines")
    assert [(name, numbers["metrics.test_accuracy"]) for _, name, _, numbers in written(store)[3:]] == [
        (cell(seed=1).key, 0.6)
    ]


def test_another_place_gets_all_cells(store, tmp_path):
    give(store, "lines")
    give(store, "lines", where=str(tmp_path / "elsewhere.txt"))
    assert len((tmp_path / "elsewhere.txt").read_text().splitlines()) == 3


def test_a_verdict_that_changes_at_the_end_is_logged_again(tmp_path):
    """The backends of a seed disagree, and only a comparison of all cells can show that."""
    cells = [cell(name, seed=0) for name in ("numpy", "pytorch", "jax")]
    odd = {"weights": "w", "batches": "another order", "first_losses": [1.0, 0.9], "device": "cpu"}
    results = [finished(cells[0]), finished(cells[1]), finished(cells[2], evidence=odd)]
    store = Store(stored_run(tmp_path / "run", []))
    store.save_run({**store.run, "plan": [asdict(one) for one in cells]})
    for one in cells:
        store.save_certificate(one.configuration, certificate())
    said: list[str] = []
    with sinking(store, [Wanted("lines", None)], said.append) as log:
        for result in results:
            store.save(result)
            log(result.cell.key)
    verdicts = [(name, tags["same"]) for _, name, tags, _ in written(store)]
    assert [same for _, same in verdicts[:3]] == ["equal"] * 3
    assert verdicts[3:] == [(cells[2].key, "differs")]


def test_a_cell_that_failed_is_logged_with_its_reason_and_a_missing_one_is_not(tmp_path):
    run = stored_run(tmp_path / "run", [Result(cell(), "crashed", "SIGSEGV; \x1b[31mred\nand more")])
    store = Store(run)
    store.save_run({**store.run, "plan": [asdict(cell()), asdict(cell(seed=1))]})
    assert give(store, "lines") == []
    ((_, name, tags, _),) = written(store)
    assert name == cell().key and tags["status"] == "crashed" and tags["reason"] == "SIGSEGV; \\x1b[31mred\\nand more"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("failing", "the disk of the tracker\\x1b[31m is full"), ("broken", "cannot start"), ("missing", "pip install it"),
        ("leaving", "has ended before the run"),
    ],
)  # fmt: skip
def test_a_sink_that_ends_is_given_up_and_the_others_go_on(store, name, reason):
    (said,) = give(store, name, "lines")
    assert said.startswith(f"warning: the sink {name} ") and reason in said and "the run goes on without it" in said
    assert len(written(store)) == 3


@pytest.mark.parametrize(
    ("name", "reason"), [("sleepy", "has not answered"), ("hanging", "has not answered"), ("endless", "has not ended")]
)
def test_a_sink_that_hangs_is_ended_in_time_with_all_that_it_has_started(store, name, reason):
    quick = Patience(3, 2, 2)
    start = time.monotonic()
    (said,) = give(store, name, patience=quick)
    assert reason in said and time.monotonic() - start < 12
    if name == "hanging":
        pids = [int(pid) for pid in (store.folder / "sinks/hanging/pids").read_text().split()]
        wait_for(lambda: not any(map(lives, pids)), 5)


def test_what_a_sink_prints_is_in_its_log_alone(store, capfd):
    assert give(store, "chatty") == []
    assert 500_000 < (store.folder / "sinks/chatty/log.txt").stat().st_size < 2_200_000, "a long log is cut"
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_run_ends_the_sinks_at_once(store):
    ended: list[float] = []

    def stop_a_run() -> None:
        with sinking(store, [Wanted("endless", None)], Silent().say) as log:
            log(store.plan()[0].key)
            ended.append(time.monotonic())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_a_run()
    assert time.monotonic() - ended[0] < 1


def test_a_sink_ends_with_a_runner_that_is_killed(tmp_path):
    import signal
    import subprocess

    process = subprocess.Popen(
        command("run", "--backend", "numpy", *SMALL, "--no-parity", "--seeds", 50, "--sink", "lines", "--out", tmp_path / "run"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: (tmp_path / "run/sinks/lines/lines.txt").exists())
        sinks = [pid for pid in map(str, os.listdir("/proc")) if pid.isdigit() and _runs_sink(pid, tmp_path)]
        assert sinks
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(lives(int(pid)) for pid in sinks), 10)


def _runs_sink(pid: str, folder: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return "harness.running.sink\0" in words and str(folder) in words


# The command line


def test_run_logs_to_sinks_and_a_failing_one_changes_nothing(tmp_path):
    run = tmp_path / "run"
    done = samebench(
        "run",
        "--backend",
        "numpy",
        *SMALL,
        "--no-parity",
        "--seeds",
        2,
        "--sink",
        "lines",
        "--sink",
        "failing",
        "--out",
        run,
    )
    assert done.returncode == 0 and "warning: the sink failing has failed" in done.stderr
    assert len(written(Store(run))) == 2 and "sinks" not in Store(run).run["config"]
    again = samebench(
        "run",
        "--backend",
        "numpy",
        *SMALL,
        "--no-parity",
        "--seeds",
        2,
        "--sink",
        f"lines={tmp_path}/all.txt",
        "--out",
        run,
    )
    assert again.returncode == 0 and len((tmp_path / "all.txt").read_text().splitlines()) == 2, (
        "an old run is logged too"
    )


def test_a_rerun_uses_no_sink_that_the_record_names(tmp_path):
    run = stored_run(
        tmp_path / "run",
        [finished(cell())],
        config={"sinks": [f"lines={tmp_path}/stolen.txt"], "tasks": ["scratch-cnn"], "backends": ["numpy"]},
    )
    done = samebench("rerun", run, "--out", tmp_path / "again", timeout=300)
    assert done.returncode == 0 and not (tmp_path / "stolen.txt").exists()


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["lines", "linse"], "unknown-name", "linse"), (["lines", "lines=x"], "given-twice", "lines"), (["lines="], "wrong-form", "PLACE"),
    ],
)  # fmt: skip
def test_wrong_sinks_are_refused_before_the_run(words, code, part):
    with refused(UsageError, code, part):
        wanted_sinks(words, load_plugins())


def test_the_list_names_sinks():
    found = json.loads(samebench("list", "sinks", "--json").stdout)["sinks"]
    assert {"tensorboard", "mlflow", "wandb", "lines"} <= {row["name"] for row in found}


# What a sink gets


CURVES = [
    Metric("curve", form="curve", over="epoch", parts=(("loss", "loss"),)),
    Metric("robust", form="curve", over="epsilon", parts=(("accuracy", "share"),)),
    Metric("confusion", form="confusion", of="x"),
]


def test_curves_over_whole_numbers_are_curves_and_others_are_numbers():
    metrics = {
        "curve": [{"epoch": 1, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}],
        "robust": [{"epsilon": 0.0, "accuracy": 0.9}, {"epsilon": 0.1, "accuracy": 0.5}], "confusion": [[1, 2], [3, 4]],
    }  # fmt: skip
    found = logged(finished(cell(), metrics=metrics), CURVES)
    assert found.curves == {"metrics.curve.loss": [(1, 0.5), (2, 0.25)]}
    assert found.numbers["metrics.robust.accuracy at epsilon 0.1"] == 0.5
    assert not [name for name in found.numbers if "confusion" in name]


def test_pictures_are_bytes(tmp_path):
    store = Store(stored_run(tmp_path / "run", []))
    found = logged_pictures(pictured(cell(), store), store.pictures)
    assert set(found) == {f"picture {number} {kind}" for number in range(1, 9) for kind in ("original", "made")}
    assert all(pixels.dtype == np.uint8 and pixels.shape == (8, 8, 1) for pixels in found.values())


@pytest.mark.parametrize("name", [*NASTY, "..", "../../etc", "", "x" * 500, "日本"], ids=ascii)
def test_names_and_texts_are_plain(name):
    options = {"epochs": 1, f"own.{name}": name, "list": [name]}
    result = replace(
        finished(cell(model=name, options=options)), reason=name, time=finished(cell()).time | {f"{name}_s": 1.0}
    )
    found = logged(result, [])
    for plain in (found.name, *found.parameters, *found.numbers):
        assert re.fullmatch(r"[\w -][\w. -]{0,199}", plain, re.ASCII), plain
    for text in (*found.tags.values(), *(value for value in found.parameters.values() if isinstance(value, str))):
        assert not re.search(r"[\x00-\x1f\x7f]", text)
