"""Names of backends. The class of a backend file gives its name, and files with the same name are shown with paths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from command import FILE, SMALL, samebench, words
from refusals import refused
from reports import CELL, REPORTERS, Kept, attacked, ok

from harness.errors import UsageError
from harness.plugins import declared_modes, load_plugins, own_name, own_names
from harness.report.crosscheck import name_of
from harness.report.summary import Report
from harness.running import crosscheck as judging
from harness.running.config import Settings, Source
from harness.running.experiments import experiments
from harness.running.plan import plan_cells
from harness.running.process import Ended
from harness.running.store import Store
from harness.storage.sealed import PICTURES
from harness.text import shown_names

PLUGINS = load_plugins()
SCRATCH = {"backends": ["numpy"], "tasks": ["scratch-cnn"]}
HOOK = "@hookimpl\ndef samebench_backend():\n    return Mine\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"class Mine(Backend):\n    name = 'one'\n{HOOK}", "one"),
        (f"class Mine(Backend):\n    name: str = 'one'\n{HOOK}", "one"),
        (f"class Other:\n    name = 'other'\nclass Mine(Backend):\n    name = 'one'\n{HOOK}", "one"),
        (f"class Base(Backend):\n    name = 'base'\nclass Mine(Base):\n    pass\n{HOOK}", "base"),
        ("class Some(Backend):\n    name = 'some'\ndef samebench_backend():\n    return make()\n", "some"),
        (f"class Mine(Mine):\n    pass\n{HOOK}", "file"),
        (f"class Mine(Backend):\n    name = make()\n{HOOK}", "file"),
        (f"class Mine(Backend):\n    name = 'no/name'\n{HOOK}", "file"),
        (f"class Mine(NumPy):\n    pass\n{HOOK}", "file"),
        ("class One:\n    name = 'one'\nclass Two:\n    name = 'two'\n", "file"),
        ("class (", "file"),
        ("", "file"),
        ("(" * 5000, "file"),
        ("raise SystemExit('it was run')\nclass Mine:\n    name = 'one'\n", "one"),
    ],
)
def test_the_name_of_a_file_is_found_without_running_it(tmp_path, text, name):
    file = tmp_path / "file.py"
    file.write_text(text)
    assert own_name(file) == name


def test_the_path_names_a_file_that_does_not_exist_or_holds_no_text(tmp_path):
    (tmp_path / "bytes.py").write_bytes(b"\0\xff\xfe")
    assert own_name(tmp_path / "none.py") == "none" and own_name(tmp_path / "bytes.py") == "bytes"


@pytest.mark.parametrize(
    ("backends", "own", "shown"),
    [
        (["numpy", "jax"], {}, ["numpy", "jax"]),
        (["jax", "some/mine.py"], {}, ["jax", "mine"]),
        (["some/mine.py"], {"some/mine.py": "theirs"}, ["theirs"]),
        (["g1/mine.py", "g2/mine.py"], {}, ["mine (g1/mine.py)", "mine (g2/mine.py)"]),
        (["a/x/mine.py", "b/x/mine.py"], {}, ["mine (a/x/mine.py)", "mine (b/x/mine.py)"]),
        (["/a/mine.py", "mine.py"], {}, ["mine (a/mine.py)", "mine (mine.py)"]),
        (["a.py", "b.py"], {"a.py": "mine", "b.py": "mine"}, ["mine (a.py)", "mine (b.py)"]),
        (["g1/mine.py", "g2/mine.py"], {"g1/mine.py": "one", "g2/mine.py": "two"}, ["one", "two"]),
        (["pytorch", "g/pytorch.py"], {}, ["pytorch", "pytorch (pytorch.py)"]),
        (["fast.py"], {"fast.py": "numpy"}, ["numpy (fast.py)"]),
        (["pytorch"], {"pytorch": "jax"}, ["pytorch"]),
        (["a.py"], {"a.py": ["no", "word"]}, ["a"]),
        (["a.py"], {"a.py": "\x1b[31mred"}, ["\\x1b[31mred"]),
        (["./a.py", "a.py"], {}, ["a (./a.py)", "a (a.py)"]),
        (["a.py", "b.py", "c.py"], {"a.py": "x", "b.py": "x", "c.py": "x (a.py)"}, ["a.py", "x (b.py)", "c.py"]),
    ],
)
def test_backends_are_shown_with_different_names(backends, own, shown):
    assert list(shown_names(backends, own).values()) == shown
    assert len(set(shown)) == len(backends)


def test_a_file_with_the_name_of_an_installed_backend_is_shown_with_its_path(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(FILE.replace('"mine"', '"jax"').replace("FAULT", "pass"))
    assert own_names([str(file), "numpy"], ["jax", "numpy"]) == {str(file): "jax (mine.py)"}


def test_different_paths_of_a_file_are_the_same_backend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    (tmp_path / "link.py").symlink_to("mine.py")
    named = ["mine.py", "./mine.py", str(tmp_path / "mine.py"), "link.py", "numpy", "numpy"]
    settings = Settings.of(PLUGINS, [Source("here", {**SCRATCH, "backends": named})])
    cells = plan_cells(settings, experiments(PLUGINS, settings.config).chosen)
    assert [cell.backend for cell in cells] == [str(tmp_path / "mine.py"), "numpy"]


def test_keys_of_installed_backends_are_stable():
    assert CELL.key == "scratch-cnn.numpy.default.seed0.e9b91ca8c0"
    assert CELL.configuration == "scratch-cnn.numpy.default.476292592c"
    assert CELL.comparison_key == "scratch-cnn.seed0.e2535242de"
    assert name_of(CELL) == "numpy/default", "stored cross-checks are found again"


# Two files with the same name, in a whole report

PATHS = ("g1/mine.py", "g2/mine.py")
SHOWN = ("mine (g1/mine.py)", "mine (g2/mine.py)")


class Recorded(Kept):
    """A run with stored names of its backends."""

    def __init__(self, *given, names=(), **kept) -> None:
        super().__init__(*given, **kept)
        self.run = self.run | {"names": dict(names)}


def cross_checked(results) -> dict:
    """The stored cross-check of these results. Every backend makes and classifies pictures."""
    keys = [result.cell.key for result in results]
    judges = {
        name_of(judge.cell): {"scores": {key: {"accuracy": 0.1 * place, "probability": 0.5} for key in keys}}
        for place, judge in enumerate(results)
    }
    files = {result.cell.key: result.artifacts[PICTURES] for result in results}
    return {results[0].cell.comparison_key: {"files": files, "judges": judges}}


def test_two_files_with_the_same_name_have_separate_rows_and_scores():
    results = [attacked(path) for path in PATHS]
    report = Report.of(Kept(results, judged=cross_checked(results)))
    assert [row["backend"] for row in report.summary] == list(SHOWN)
    assert report.agreements[0].backends == tuple(f"{name}/default" for name in SHOWN)
    (found,) = report.judgements
    assert found["judges"] == list(found["scores"]) == [f"{name}/default" for name in SHOWN]
    assert [score["accuracy"] for score in found["scores"]["mine (g1/mine.py)/default"].values()] == [0.0, 0.1]
    page = REPORTERS["table"](report)
    assert all(name in page for name in SHOWN)


def test_both_of_two_files_with_the_same_name_are_in_the_cross_check(tmp_path, monkeypatch):
    store, started, messages = Store(tmp_path), [], []

    def start(folder, request, backend):
        started.append((backend, folder.name))
        score = {"accuracy": 1.0, "probability": 1.0}
        answers = {name: {"scores": dict.fromkeys(case["pictures"], score)} for name, case in request["cases"].items()}
        (folder / "result.json").write_text(json.dumps(answers))
        return Ended(0, 0.1, folder / "log.txt")

    monkeypatch.setattr(judging, "code_if_there", lambda backend: backend)
    found = judging.cases([attacked(path) for path in PATHS], named=PATHS)
    judging.judge(store, found, start, messages.append)
    assert [backend for backend, _ in started] == ["numpy", *PATHS] and len({folder for _, folder in started}) == 3
    assert list(store.judgement(found[0].name)["judges"]) == ["numpy", *(f"{path}/default" for path in PATHS)]
    started.clear()
    judging.judge(store, found, start, messages.append)
    assert not started, "the scores of both are stored"


def test_a_report_uses_the_stored_names_of_the_run():
    cells = [replace(CELL, backend=path) for path in PATHS]
    report = Report.of(Recorded([ok(cell) for cell in cells], names=zip(PATHS, ("one", "two"))))
    assert [row["backend"] for row in report.summary] == ["one", "two"]
    assert [cell["backend"] for cell in report.as_json()["cells"]] == list(PATHS), "cells hold the paths"
    failed = [replace(result, status="failed", reason="it broke") for result in report.results]
    text = REPORTERS["table"](Report.of(Recorded(failed, names=zip(PATHS, ("one", "two")))))
    assert "one/default" in text and "g1/mine.py" not in text
    odd = Kept([ok(cells[0])])
    odd.run = odd.run | {"names": ["no", "names"]}
    assert Report.of(odd).summary[0]["backend"] == "mine"


def test_a_run_and_its_reports_show_the_paths_of_two_files_with_the_same_name(tmp_path):
    for number, place in enumerate(("g1", "g2")):
        (tmp_path / place).mkdir()
        weights = f"weights = {{name: tensor * {1 + number} for name, tensor in weights.items()}}"
        (tmp_path / place / "other.py").write_text(FILE.replace("FAULT", weights))
    command = ["run", "--backend", "g1/other.py", "--backend", "g2/other.py", *SMALL, "--no-parity", "--out", "run"]
    done = samebench(*command, cwd=tmp_path)
    names = ["mine (g1/other.py)", "mine (g2/other.py)"]
    assert all(f"scratch-cnn {name}/default seed 0: ok" in done.stderr for name in names)
    there = samebench("report", "run", "--full", cwd=tmp_path).stdout
    for place in ("g1", "g2"):
        (tmp_path / place / "other.py").unlink()
    assert samebench("report", Path(tmp_path, "run"), "--full", cwd="/").stdout == there
    assert all(name in words(there) for name in names)


def test_the_cell_of_a_long_file_name_can_be_stored(tmp_path):
    long = replace(CELL, backend=f"{tmp_path}/{'é' * 120}.py")
    for name in (long.key, long.configuration):
        (tmp_path / f"{name}.json").write_text("{}")
    assert replace(long, backend=f"{tmp_path}/{'é' * 121}.py").key != long.key


MODES = {
    'class Mine(Backend):\n    modes = ("default", "fast")': ("default", "fast"),
    'class Mine(Backend):\n    modes: ClassVar = ("default", "fast")': ("default", "fast"),
    'class Mine(Backend["Net"]):\n    pass': ("default",),
    "class Mine(h.Backend[Net]):\n    pass": ("default",),
    "class Base(NumPy):\n    pass\n\nclass Mine(Base):\n    pass": ("default",),
    'class Base(NumPy):\n    modes = ("default", "slow")\n\nclass Mine(Base):\n    pass': ("default", "slow"),
    'class Mine(Backend):\n    modes = ("default", *MORE)': None,
    'class Mine(Backend):\n    modes = "default"': None,
    'class Mine(Backend):\n    modes = ("default", 1)': None,
    "class Mine(Elsewhere):\n    pass": None,
    "class Mine(Mine):\n    pass": None,
    "class Mine(:": None,
}
IMPORTS = """
import harness as h
from harness import Backend, hookimpl
from harness.reference.backend import NumPy
from nowhere_to_be_found import Elsewhere

"""


@pytest.mark.parametrize("written", MODES)
def test_modes_are_found_without_running_the_file(tmp_path, written):
    (tmp_path / "mine.py").write_text(f"{IMPORTS}{written}\n\n{HOOK}")
    assert declared_modes(str(tmp_path / "mine.py")) == MODES[written]


def test_modes_of_installed_backends():
    assert declared_modes("numpy") == declared_modes("jax") == ("default",)
    assert declared_modes("pytorch") == declared_modes("keras") == ("default", "compiled")
    assert declared_modes("nowhere") is None


def planned(*backends: str, mode: str, others: Sequence[str] = ()) -> list[str]:
    modes = [*others, mode]
    settings = Settings.of(PLUGINS, [Source("here", SCRATCH | {"backends": list(backends), "modes": modes})])
    return [cell.mode for cell in plan_cells(settings, experiments(PLUGINS, settings.config).chosen)]


def test_a_mode_of_a_backend_file_is_planned(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f"{IMPORTS}class Mine(NumPy):\n    name = 'mine'\n    modes = ('default', 'fast')\n\n{HOOK}")
    assert planned(str(file), "numpy", mode="fast") == ["fast", "fast"], "numpy's cell will be unsupported"
    with refused(UsageError, "unknown-name", "mine, numpy", "'fats'", "'fast'", "default, fast"):
        planned(str(file), "numpy", mode="fats")
    file.write_text(file.read_text().replace("('default', 'fast')", "tuple(MODES)"))
    assert planned(str(file), mode="fats") == ["fats"], "the source does not show the modes, so the worker checks"


def test_a_mode_of_another_backend_is_unsupported_beside_a_mode_that_the_backend_has():
    assert planned("numpy", mode="compiled", others=["default"]) == ["default", "compiled"]
    for others, mode in (([], "compiled"), (["default"], "compild")):
        with refused(UsageError, "unknown-name", mode):
            planned("numpy", mode=mode, others=others)


def test_a_backend_file_is_known_by_its_full_path(tmp_path, monkeypatch):
    """So the run can be resumed from another folder, and all its pictures are judged."""
    (tmp_path / "mine.py").write_text(FILE.replace("FAULT", ""))
    (tmp_path / "sub").mkdir()
    for folder, file in ((tmp_path, "mine.py"), (tmp_path / "sub", "../mine.py")):
        monkeypatch.chdir(folder)
        source = Source("typed", {"backends": [file, "numpy"], "python": {file: "/usr/bin/python3"}})
        full = str(tmp_path / "mine.py")
        assert source.by_path == {"backends": [full, "numpy"], f"python.{full}": "/usr/bin/python3"}
        assert source.named == {full, "numpy"}


def test_a_run_can_be_resumed_from_another_folder(tmp_path):
    (tmp_path / "mine.py").write_text(FILE.replace("FAULT", ""))
    (tmp_path / "sub").mkdir()
    run = ["run", "--no-parity", "--out", tmp_path / "run", *SMALL]
    assert samebench(*run, "--backend", "mine.py", cwd=tmp_path).returncode == 0
    again = samebench(*run, "--backend", "../mine.py", cwd=tmp_path / "sub")
    assert again.returncode == 0 and "seed 0: ok" not in again.stderr
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 1
