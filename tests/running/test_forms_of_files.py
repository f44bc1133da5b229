"""Every file that a command reads may be wrong: the command says which file, where in it, and what was expected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from runs import cell, run_here

import harness
from harness.cli import main
from harness.errors import DataError, UsageError
from harness.running.config import Settings, Source, from_file
from harness.running.store import Store
from harness.storage.sealed import SEAL, read_sealed, write_json, write_sealed

RESULTS = sorted(Path(harness.__file__).parents[1].glob("results/*/run.json"))


def report(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["report", str(folder)])
    assert done.exception is None or isinstance(done.exception, SystemExit), "no traceback"
    return done.exit_code, done.output


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


RECORDS = [
    (lambda record: without(record, "plan"), "plan is missing"),
    (lambda record: without(record, "config"), "config is missing"),
    (lambda record: without(record, "schema"), "schema is missing"),
    (lambda record: record | {"schema": "1"}, "schema is a whole number, not '1'"),
    (lambda record: record | {"schema": True}, "schema is a whole number, not True"),
    (lambda record: record | {"schema": 10**400}, "run.json: schema is too large"),
    (lambda record: record | {"plan": {}}, "plan is a list, not {}"),
    (lambda record: record | {"plan": [[]]}, "plan[0]: it is an object, not []"),
    (lambda record: record | {"plan": [without(record["plan"][0], "seed")]}, "plan[0]: seed is missing"),
    (
        lambda record: record | {"plan": [record["plan"][0] | {"options": None}]},
        "plan[0]: options is an object, not None",
    ),
    (lambda record: record | {"plan": [record["plan"][0] | {"precision": "x"}]}, "plan[0]: precision is one of"),
    (lambda record: record | {"plan": [record["plan"][0] | {"seed": 1.5}]}, "plan[0]: seed is a whole number, not 1.5"),
    (lambda record: record | {"config": []}, "config is an object, not []"),
    (lambda record: record | {"finished": 3}, "finished is a text or null, not 3"),
    (lambda record: record | {"metrics": {"x": {}}}, "metrics is an object of lists"),
    (
        lambda record: record | {"metrics": {"x": [{"name": "y", "form": "z"}]}},
        "metrics.x[0].form is one of value, curve",
    ),
    (
        lambda record: record | {"metrics": {"x": [{"name": "y"}, {"name": "y"}]}},
        "metrics.x: the metric y is declared twice",
    ),
    (lambda record: [record], "it is an object, not [{"),
]


@pytest.mark.parametrize(("change", "problem"), RECORDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_record_of_another_form_is_refused_in_one_sentence(tmp_path, monkeypatch, change, problem):
    run_here(tmp_path, [cell()], monkeypatch)
    (tmp_path / "run.json").write_text(json.dumps(change(json.loads((tmp_path / "run.json").read_text()))))
    code, said = report(tmp_path)
    assert code == 2 and f"{tmp_path}/run.json cannot be read: {problem}" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 200_000, '{"a":' * 200_000, "NaN", "1" * 10_000, "\ufeff{}"], ids=str.__len__
)
def test_a_record_that_is_not_json_is_refused_in_one_sentence(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    code, said = report(tmp_path)
    assert code == 2 and f"{tmp_path}/run.json cannot be read: run.json is " in said and said.count("\n") == 1


@pytest.mark.parametrize("value", ["\ud800", "a\udcffb", "\x1b[31m", "\u202e"])
def test_texts_that_a_terminal_must_not_see_are_harmless_in_every_report(tmp_path, monkeypatch, value):
    one = cell(model=value, options={"note": value})
    run_here(tmp_path, [one], monkeypatch)
    file = Store(tmp_path).cell_folder(one) / "result.json"
    data = read_sealed(file)
    write_sealed(file, data | {"warnings": [value], "evidence": data["evidence"] | {"note": value, value: 1}})
    for form in ("json", "csv", "table", "markdown"):
        done = CliRunner().invoke(main, ["report", str(tmp_path), "--format", form])
        assert done.exception is None, (form, done.exception)
        if form == "json":
            assert done.output.isascii() and value in json.loads(done.output)["cells"][0]["model"]


@pytest.mark.parametrize("record", RESULTS, ids=lambda path: path.parent.name)
def test_published_results_are_read_with_either_seal(tmp_path, record):
    """They were written by earlier versions. The same results with today's seal make the same reports."""
    shutil.copytree(record.parent, tmp_path / "new")
    files = list((tmp_path / "new").glob("*/*.json")) + list((tmp_path / "new").glob("cells/*/result.json"))
    sealed = [file for file in files if SEAL in json.loads(file.read_bytes())]
    for file in sealed:
        write_sealed(file, read_sealed(file))
    assert len(sealed) > 2
    before, after = (list(Store.open(folder).results()) for folder in (record.parent, tmp_path / "new"))
    assert before == after and all(result.status != "invalid" for result in before)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (".".join("a" * 3000) + " = 1", "cannot be read as TOML"),
        ("seeds = " + "[" * 5000 + "]" * 5000, "cannot be read as TOML"),
        ("[" * 200_000, "cannot be read as TOML"),
        ("seeds = 1\nseeds = 2", "cannot be read as TOML"),
        ("threads = 9223372036854775808", "threads must be smaller than 2**63, not 9223372036854775808"),
        (f"train_limits = [1, {10**30}]", "train_limits must be smaller than 2**63"),
        ("timeout = inf", "timeout must be a finite number, not inf"),
        ("timeout = nan", "timeout must be a finite number, not nan"),
        ("seeds = 2020-01-01", "seeds must be a whole number"),
        ("seeds = true", "seeds must be a whole number, not True"),
        ("[[seeds]]\na = 1", "seeds must be a whole number"),
        ("tasks = 3", "tasks must be a list"),
        ("tasks = [3]", "tasks[0] must be a word, not 3"),
        ('parity = "yes"', "parity must be true or false, not 'yes'"),
        ("[scratch-cnn]\nepochs = 1.5", "scratch-cnn.epochs must be a whole number, not 1.5"),
        ("[scratch-cnn]\noptimizer = 3", "scratch-cnn.optimizer is a group of options"),
    ],
    ids=lambda value: value[:30],
)
def test_a_configuration_of_another_form_is_refused_in_one_sentence(tmp_path, text, problem):
    from harness.plugins import load_plugins

    (file := tmp_path / "run.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        Settings.of(load_plugins(), [from_file(file)])
    assert str(error.value).startswith(str(file)) and problem in str(error.value)
    assert "\n" not in str(error.value).partition("cannot be read as TOML")[0]


def test_a_recorded_configuration_is_checked_like_a_file():
    from harness.plugins import load_plugins

    for config in ({"seeds": "x"}, {"threads": 2**63}, {"scratch-cnn.epochs": []}, {"tasks": {"a": {"b": 1}}}):
        with pytest.raises(UsageError, match="record: "):
            Settings.of(load_plugins(), [Source("record", config, recorded=True)])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "3", '{"0": 3}', '{"0": ["a"]}', '{"0": [1, 2]}', "[" * 200_000, '{"0": ["a", 1e400]}']
)
def test_names_of_the_classes_of_imagenet_of_another_form_are_refused(tmp_path, text):
    from harness.pretrained.imagenet import OWN, class_names
    from harness.storage.places import Places

    (tmp_path / OWN[0]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / OWN[0]).write_text(text)
    with pytest.raises(DataError, match=r"must name 1000 classes like") as error:
        class_names(Places(tmp_path, tmp_path / "cache", offline=True))
    assert "\n" not in str(error.value)


def test_an_answer_of_a_probe_of_another_form_is_named(tmp_path, monkeypatch):
    from harness.running import doctor
    from harness.running.process import Ended
    from harness.storage.places import Places

    works = {"reason": None, "modes": [], "precisions": [], "device": "cpu", "versions": {}, "settings": {}}
    places = Places(tmp_path, tmp_path / "cache")
    for answer, problem in (
        (works, None),
        (works | {"settings": {"threads": 4}}, "its answer.settings.threads is a text, not 4"),
        (without(works, "device"), "its answer.device is missing"),
        ({"reason": 3}, "its answer.reason is a text, not 3"),
        ([], "its answer is an object, not []"),
    ):

        def worker(request: Path, result: Path, log: Path, answer: Any = answer, **options: Any) -> Ended:
            write_json(result, answer)
            return Ended(0, 0.1, log)

        monkeypatch.setattr(doctor, "run_worker", worker)
        assert doctor.probe("numpy", places)["reason"] == (problem and f"invalid when it was started: {problem}")
        assert doctor.last_probe("numpy", places)["reason"] == (problem and f"invalid when it was started: {problem}")
