"""Configuration: profile, file, --set and other options, their order, and errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command import SMALL, report, samebench
from refusals import has, refused

from harness import SGD
from harness.errors import UsageError
from harness.plugins import load_plugins
from harness.result import Cell
from harness.running.config import Settings, Source, from_file, from_profile, from_words, seeds_of
from harness.running.experiments import experiments
from harness.running.plan import plan_cells

PLUGINS = load_plugins()
SCRATCH = {"backends": ["numpy"], "tasks": ["scratch-cnn"]}


def settings(*sources: dict, where: str = "here") -> Settings:
    return Settings.of(PLUGINS, [Source(where, source) for source in sources])


def planned(found: Settings, **options: bool) -> list[Cell]:
    return plan_cells(found, experiments(PLUGINS, found.config).chosen, **options)


def test_later_sources_override_earlier_ones():
    found = settings({"seeds": 2, "scratch-cnn": {"epochs": 4, "optimizer": {"lr": 0.5}}}, {"scratch-cnn.epochs": 3})
    assert found.config.seeds == 2
    assert (found.tasks["scratch-cnn"].epochs, found.tasks["scratch-cnn"].optimizer.lr) == (3, 0.5)


def test_a_file_is_toml(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('backends = ["numpy"]\nseeds = [0, 5]\n[scratch-cnn]\nepochs = 1\n[data]\nsize = 16\n')
    found = Settings.of(PLUGINS, [from_file(file), *from_words(["scratch-cnn.batch_size=16", "precision=float64"])])
    assert (found.config.backends, found.config.seed_numbers, found.data.size) == (("numpy",), (0, 5), 16)
    cells = planned(found.with_value("tasks", ["scratch-cnn"]))
    assert [cell.seed for cell in cells] == [0, 5]
    assert cells[0].options["batch_size"] == 16 and cells[0].options["data.size"] == 16
    assert cells[0].precision == "float64"


def test_an_optimiser_is_chosen_by_its_name_in_any_order():
    found = settings({"scratch-cnn": {"optimizer": {"momentum": 0.9, "name": "sgd"}}})
    assert found.tasks["scratch-cnn"].optimizer == SGD(momentum=0.9)
    (cell,) = planned(settings(SCRATCH, {"scratch-cnn.optimizer.name": "sgd"}))
    assert (cell.options["optimizer.name"], cell.options["optimizer.momentum"]) == ("sgd", 0.0)
    assert "optimizer.beta1" not in cell.options
    again = settings({"scratch-cnn.optimizer.lr": 0.5}, {"scratch-cnn.optimizer.name": "adam"})
    assert again.tasks["scratch-cnn"].optimizer.lr == 0.5, "the one it is already keeps what was set"


def test_profiles():
    quick, standard, rigorous = (
        Settings.of(PLUGINS, [from_profile(name)]) for name in ("quick", "standard", "rigorous")
    )
    plain = settings()
    assert quick == replace(plain, config=replace(plain.config, segment_s=0.3)), "short segments save minutes"
    assert (len(standard.config.seed_numbers), standard.config.dataset) == (6, "cifar10")
    assert standard.config.weights == rigorous.config.weights == "efficientnet-lite0"
    assert (len(rigorous.config.seed_numbers), rigorous.config.modes) == (10, ("default", "compiled"))


def test_seeds_as_typed():
    assert (seeds_of("3"), seeds_of("0,4")) == (3, [0, 4])


@pytest.mark.parametrize(
    ("source", "code", "values"),
    [
        ({"sedes": 3}, "unknown-option", ["sedes", "'seeds'"]),
        ({"scratch-cn": {"epochs": 3}}, "unknown-option", ["'scratch-cnn'"]),
        ({"scratch-cnn": {"lrr": 3}}, "unknown-option", ["scratch-cnn.lrr"]),
        ({"scratch-cnn": {"optimizer": {"ler": 3}}}, "unknown-option", ["scratch-cnn.optimizer.ler", "'scratch-cnn.optimizer.lr'"]),
        ({"scratch-cnn": {"lr": 3}}, "unknown-option", ["scratch-cnn.lr", "'scratch-cnn.optimizer.lr'", "scratch-cnn: augmentation"]),
        ({"scratch-cnn": {"optimizer": {"momentum": 0.9}}}, "unknown-option", ["scratch-cnn.optimizer.momentum", "scratch-cnn.optimizer: beta1"]),
        ({"scratch-cnn": {"optimizer": "sgd"}}, "wrong-type", ["scratch-cnn.optimizer", "'sgd'", "scratch-cnn.optimizer.name: adam, adamw, sgd"]),
        ({"scratch-cnn": {"augmentation": True}}, "wrong-type", ["scratch-cnn.augmentation", "scratch-cnn.augmentation.flip"]),
        ({"scratch-cnn": {"optimizer": {"lr": "1e-3"}}}, "wrong-type", ["scratch-cnn.optimizer.lr", "'1e-3'"]),
        ({"scratch-cnn": {"epochs": -1}}, "out-of-range", ["scratch-cnn.epochs", 1, -1]),
        ({"scratch-cnn": {"validation": 1.0}}, "out-of-range", ["scratch-cnn.validation", 0, 1, "1.0"]),
        ({"scratch-cnn": {"optimizer": {"name": "sdg"}}}, "unknown-name", ["scratch-cnn.optimizer.name", "'adam'", "'adamw'", "'sgd'", "'sdg'"]),
        ({"data": {"size": 0}}, "out-of-range", ["data.size", 1, 0]),
        ({"data": {"broken": "mend"}}, "unknown-name", ["data.broken", "'refuse'", "'skip'", "'mend'"]),
        ({"seeds": [1, 1]}, "given-twice", ["seeds", (1, 1)]),
        ({"seeds": 0}, "out-of-range", ["seeds", 1, 1048576, 0]),
        ({"seeds": []}, "missing-option", ["seeds", "()"]),
        ({"seeds": [0, -1]}, "out-of-range", ["seeds[1]", 0, 4294967295, -1]),
        ({"seeds": True}, "wrong-type", ["seeds", True]),
        ({"backends": "numpy"}, "wrong-type", ["backends", "'numpy'"]),
        ({"backends": ["numpy", 3]}, "wrong-type", ["backends[1]", 3]),
        ({"timeout": 0}, "out-of-range", ["timeout", 0]),
        ({"precision": "float16"}, "unknown-name", ["precision", "'float32'", "'float16'"]),
        ({"seeds.more": 1}, "wrong-type", ["seeds.more", "'seeds'"]),
    ],
)  # fmt: skip
def test_wrong_settings_are_errors_with_their_paths(source, code, values):
    with refused(UsageError, code, "here", *values):
        settings(source)


def test_a_large_run_must_be_confirmed():
    large = settings(SCRATCH, {"seeds": 1001})
    with refused(UsageError, "needs-confirmation", "1,001", "--yes"):
        planned(large)
    assert len(planned(large, yes=True)) == 1001


def test_a_record_is_a_configuration():
    found = settings(SCRATCH, {"seeds": [3, 1], "scratch-cnn": {"epochs": 2}, "data": {"size": 16}})
    again = Settings.of(PLUGINS, [Source("record", json.loads(json.dumps(found.as_record(planned(found)))))])
    assert planned(again) == planned(found)


def test_a_record_names_the_tasks_and_backends_that_were_run():
    """Another installation or a later version may have more tasks and backends, and its run would be a different one."""
    found = settings({"backends": ["numpy"], "dataset": "cifar10"})
    cells = planned(found)
    record = found.as_record(cells)
    assert record["tasks"] == ("scratch-cnn",) and record["backends"] == ("numpy",)
    everything = settings({})
    record = everything.as_record([*cells, replace(cells[0], backend="jax")])
    assert record["tasks"] == ("scratch-cnn",) and record["backends"] == ("numpy", "jax")


def test_a_folder_of_pictures_is_named_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats").mkdir()
    (cell,) = planned(settings(SCRATCH, {"dataset": "folder:cats"}))
    assert cell.dataset == f"folder:{Path(tmp_path, 'cats')}"


def test_the_command_line_overrides_the_file_and_its_profile(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('profile = "rigorous"\ndataset = "digits"\nbackends = ["numpy"]\nmodes = ["default"]\n')
    arguments = ["--no-parity", "--seeds", "1,3", "--out", tmp_path / "run", *SMALL]
    done = samebench("run", file, *arguments)
    assert done.returncode == 0, done.stderr
    assert [cell["seed"] for cell in report(tmp_path / "run")["cells"]] == [1, 3]
    file.write_text("seeds = ]")
    done = samebench("run", file)
    assert done.returncode == 2 and has(done.stderr, file) and has(done.stderr, "TOML")
    assert has(samebench("run", "none.toml").stderr, "none.toml")


def test_a_run_can_be_repeated_from_its_own_record(tmp_path):
    done = samebench("run", "--backend", "numpy", "--no-parity", "--seeds", "2", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 0
    again = samebench("rerun", tmp_path / "run", "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    first, second = report(tmp_path / "run"), report(tmp_path / "again")
    assert [cell["metrics"] for cell in first["cells"]] == [cell["metrics"] for cell in second["cells"]]
    assert first["run"]["config"] == second["run"]["config"]
    refused = samebench("rerun", tmp_path / "run", "--out", tmp_path / "run")
    assert refused.returncode == 2 and has(refused.stderr, tmp_path / "run") and has(refused.stderr, "--out")
