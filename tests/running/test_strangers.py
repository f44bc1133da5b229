"""Folders that may come from a stranger: a run changes only its own files, and executes no file of the folder."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from command import SMALL, samebench
from PIL import Image
from refusals import refused
from runs import HASH, answer, cell, certificate, finished, pictured, run_here, unchanged

from harness.cli import main
from harness.commands import launching
from harness.errors import UsageError
from harness.result import Result
from harness.running.process import run_worker
from harness.running.store import Store
from harness.storage.sealed import write_json

EVIL = """
import pathlib
from harness import hookimpl
from harness.reference.backend import NumPy

pathlib.Path(__file__).with_suffix(".ran").touch()

class Evil(NumPy):
    name = "evil"

@hookimpl
def samebench_backend():
    return Evil
"""


pytestmark = pytest.mark.usefixtures("nothing_hangs")


@pytest.fixture
def other(tmp_path) -> Path:
    """A folder that does not belong to a run."""
    (folder := tmp_path / "other").mkdir()
    (folder / "precious.txt").write_text("precious")
    return folder


@pytest.mark.parametrize(
    "record", ["{}", "[]", "", '{"schema": 1}', '{"schema": 1, "plan": []}', '{"schema": true}', "[" * 100_000]
)
def test_a_folder_with_another_run_json_is_not_changed(tmp_path, monkeypatch, record):
    (tmp_path / "run.json").write_text(record)
    for name in (".settings.json.bak", ".a.npz.1", ".weights.safetensors.old", ".run.json.0123456789ab.samebench-part"):
        (tmp_path / name).write_text("x")
    with unchanged(tmp_path), refused(UsageError, "unreadable-file", tmp_path / "run.json"):
        run_here(tmp_path, [cell()], monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [{"task": "../../evil"}, {"mode": ".."}, {"seed": "0"}, {"options": []}, {"backend": ".."}, {"backend": 3}],
)
def test_a_plan_with_paths_as_names_is_refused(tmp_path, monkeypatch, changes):
    run_here(tmp_path, [cell()], monkeypatch)
    record = json.loads((tmp_path / "run.json").read_text())
    record["plan"][0] |= changes
    write_json(tmp_path / "run.json", record)
    with unchanged(tmp_path), refused(UsageError, "unreadable-file", f"plan[0]: {next(iter(changes))}"):
        run_here(tmp_path, [cell()], monkeypatch)
    with refused(UsageError, "unreadable-file", "plan[0]"):
        list(Store.open(tmp_path).results())


def test_only_the_temporary_files_of_the_run_itself_are_removed(tmp_path, monkeypatch, other):
    out, one = tmp_path / "out", cell()
    run_here(out, [one], monkeypatch)
    part, key = "0123456789ab.samebench-part", f"cells/{one.key}"
    (out / key / "artifacts").mkdir()
    run_here(out / "nested", [one], monkeypatch)
    own = [
        ".run.json", f"{key}/.cell.json", f"{key}/.result.json", f"{key}/artifacts/.pictures.npz",
        f"certificates/.{one.configuration}.json", f"judgements/.{one.comparison_key}.json", "judgements/asked/numpy/.result.json",
    ]  # fmt: skip
    strangers = [
        ".settings.json.bak", ".notes.json.1", f".letter.txt.{part}", f"{key}/.notes.json.123", f"{key}/.mine.npz.1",
        f"nested/.run.json.{part}", f"nested/{key}/.result.json.{part}", "nested/.result.json.77", f"deep/er/.run.json.{part}",
        f"certificates/.other.json.{part}",
    ]  # fmt: skip
    for name in (*(f"{name}.{part}" for name in own), *strangers):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("begun")
    (out / f"cells/.result.json.{part}").symlink_to(other / "precious.txt")
    with unchanged(other):
        run_here(out, [one], monkeypatch)
    assert not [name for name in own if (out / f"{name}.{part}").exists()]
    assert [name for name in strangers if not (out / name).exists()] == []


@pytest.mark.parametrize("place", ["cells", "certificates", "judgements", "cells/KEY"])
@pytest.mark.parametrize("known", [True, False])
def test_a_run_does_not_write_through_a_linked_folder(tmp_path, monkeypatch, other, place, known):
    """The run may know the cell already or not: a stranger can predict its key."""
    out, one = tmp_path / "out", cell()
    run_here(out, [one if known else cell(seed=7)], monkeypatch)
    path = out / place.replace("KEY", one.key)
    if path.is_dir():
        path.rename(tmp_path / "was")
    path.symlink_to(other)
    with unchanged(other, out), refused(UsageError, "not-a-regular-file", path):
        run_here(out, [one], monkeypatch, parity=True)


@pytest.mark.parametrize(
    "kind", [os.symlink, os.link, lambda target, path: os.mkfifo(path)], ids=["soft", "hard", "pipe"]
)
def test_a_lock_that_is_another_file_is_not_written_to(tmp_path, monkeypatch, other, kind):
    out = tmp_path / "out"
    run_here(out, [cell()], monkeypatch)
    (out / ".lock").unlink()
    kind(other / "precious.txt", out / ".lock")
    with unchanged(other):
        if kind is os.link:
            assert run_here(out, [cell()], monkeypatch) == {"numpy": ("ok", None)}
        else:
            with refused(UsageError, "not-a-regular-file", out / ".lock"):
                run_here(out, [cell()], monkeypatch)


@pytest.mark.parametrize(
    "kind", [os.symlink, os.link, lambda target, path: os.mkfifo(path)], ids=["soft", "hard", "pipe"]
)
def test_files_of_a_cell_that_are_other_files_are_replaced(tmp_path, monkeypatch, other, kind):
    out, one = tmp_path / "out", cell()
    names = ("log.txt", "cell.json", "result.json", "artifacts")
    run_here(out, [cell(seed=7)], monkeypatch)
    (folder := out / "cells" / one.key).mkdir()
    for name in names:
        kind(other / "precious.txt", folder / name)

    def work(request, result):
        log, environment = folder / "log.txt", dict(os.environ)
        run_worker(result.with_name("none"), result, log, environment=environment, timeout=60, python="/bin/echo")
        answer(request, result)

    with unchanged(other):
        run_here(out, [one], monkeypatch, work)
    assert all((folder / name).stat().st_nlink == 1 and not (folder / name).is_symlink() for name in names[:3])
    assert (folder / "log.txt").read_text().startswith("-P -m harness.worker.cell")
    assert not (folder / "artifacts").exists()


def test_a_folder_that_the_user_has_linked_is_the_run(tmp_path, monkeypatch, other):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    (tmp_path / "disk/.run.json.0123456789ab.samebench-part").write_text("begun")
    assert run_here(tmp_path / "out", [cell()], monkeypatch) == {"numpy": ("ok", None)}
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [".lock", "cells", "run.json"]


def test_names_in_answers_do_not_become_paths(tmp_path, monkeypatch):
    out, one = tmp_path / "a/b/c/out", cell()
    evil = ("../../../../evil", "../evil", f"{tmp_path}/evil", "evil")

    def work(request, result):
        answer(request, result)
        if "subjects" in request:
            write_json(result, {name: certificate() for name in (*request["subjects"], *evil)})

    run_here(out, [one], monkeypatch, work, parity=True)
    assert [path.name for path in tmp_path.rglob("*") if "evil" in path.name] == []
    assert Store(out).certificate(one)["verdict"] == "equal"


@pytest.mark.parametrize(
    "artifacts",
    [{"pictures.npz": "sha256:../../../x"}, {"../pictures.npz": HASH}, {"pictures.npz": 3}, {"": HASH}],
)
def test_names_of_artifacts_do_not_become_paths(artifacts):
    with pytest.raises(ValueError, match="artifacts"):
        Result.from_json(finished(cell()).as_json() | {"artifacts": artifacts})


def test_the_lock_of_another_program_is_not_that_of_a_run(tmp_path, monkeypatch):
    (tmp_path / ".lock").write_text("12345")
    with unchanged(tmp_path), refused(UsageError, "not-a-run", tmp_path):
        run_here(tmp_path, [cell()], monkeypatch)


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> Path:
    """A run of a backend file, which writes a file when it is executed."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "evil.py").write_text(EVIL)
    Image.new("L", (8, 8)).save(folder / "picture.png")
    done = samebench("run", "--backend", "evil.py", "--no-parity", "--out", "run", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def quiet(strange, monkeypatch) -> Path:
    """The same run, without the file that shows an execution."""
    (strange / "evil.ran").unlink(missing_ok=True)
    monkeypatch.chdir(strange)
    return strange


def invoke(monkeypatch, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["samebench", *words])
    done = CliRunner().invoke(main, words)
    return done.exit_code, done.output


def shown(output: str) -> list[str]:
    """The command in an error message."""
    return shlex.split(output.partition("again: samebench ")[2].partition(";")[0])


def test_a_rerun_executes_a_backend_file_only_if_it_is_named_again(quiet, monkeypatch):
    code, said = invoke(monkeypatch, "rerun", "run", "--out", "again")
    assert code == 2 and f"a rerun would execute: {quiet}/evil.py" in said
    assert not (quiet / "evil.ran").exists() and not (quiet / "again").exists()
    assert shown(said) == ["rerun", "run", "--out", "again", "--backend", f"{quiet}/evil.py"]
    code, wrong = invoke(monkeypatch, "rerun", "run", "--backend", "numpy")
    assert code == 2 and f"There are: {quiet}/evil.py" in wrong
    done = samebench(*shown(said), cwd=quiet)
    assert done.returncode == 0, done.stderr
    assert (quiet / "evil.ran").exists()


def test_a_rerun_executes_an_interpreter_only_if_it_is_named_again(tmp_path, monkeypatch):
    python = tmp_path / "py.sh"
    python.write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    run_here(tmp_path / "run", [cell()], monkeypatch)
    record = json.loads((tmp_path / "run/run.json").read_text())
    ran = []
    monkeypatch.setattr(launching, "run_sources", lambda layers, typed: ran.append(layers[-1].settings))
    for config in ({"python.numpy": str(python)}, {"python": {"numpy": str(python)}}):
        write_json(tmp_path / "run/run.json", record | {"config": {"backends": ["numpy"], **config}})
        code, said = invoke(monkeypatch, "rerun", str(tmp_path / "run"))
        assert code == 2 and not ran and not (tmp_path / "ran").exists()
        assert shown(said) == ["rerun", str(tmp_path / "run"), "--python", f"numpy={python}"]
        assert invoke(monkeypatch, *shown(said))[0] == 0
        assert ran.pop() == {"python.numpy": str(python)}
        assert invoke(monkeypatch, "rerun", str(tmp_path / "run"), "--python", f"numpy={sys.executable}")[0] == 0
        assert ran.pop() == {"python.numpy": sys.executable}


@pytest.mark.parametrize("name", ["a\0.py", "\ud800.py"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, monkeypatch, name):
    run_here(tmp_path / "run", [cell()], monkeypatch)
    record = json.loads((tmp_path / "run/run.json").read_text())
    for config in ({"backends": [name]}, {"python.numpy": name}, {"weights": name}):
        write_json(tmp_path / "run/run.json", record | {"config": {"backends": ["numpy"], **config}})
        code, said = invoke(monkeypatch, "rerun", str(tmp_path / "run"))
        assert code == 2 and f"{next(iter(config))} cannot be" in said


def test_predict_executes_a_backend_file_only_if_it_is_named_again(quiet, monkeypatch):
    code, said = invoke(monkeypatch, "predict", "picture.png", "--run", "run")
    assert code == 2 and "/evil.py, which would be executed" in said
    assert not (quiet / "evil.ran").exists()
    assert invoke(monkeypatch, "predict", "picture.png", "--run", "run", "--backend", "numpy")[0] == 0
    assert not (quiet / "evil.ran").exists()
    code, seen = invoke(monkeypatch, *shown(said))
    assert code == 0, seen
    assert (quiet / "evil.ran").exists()


def test_a_backend_file_that_this_command_does_not_name_judges_nothing(tmp_path, monkeypatch):
    options = {"task": "adversarial", "weights": "two-block-cnn-digits"}
    evil, mine = cell("/else/evil.py", **options), cell("numpy", **options)
    asked = []

    def work(request, result):
        if "judge" in request:
            asked.append(request["judge"]["backend"])
        answer(request, result)
        if "cell" in request:
            store = Store(tmp_path)
            store.save(pictured(mine if request["cell"]["backend"] == "numpy" else evil, store))

    run_here(tmp_path, [evil], monkeypatch, work)
    run_here(tmp_path, [mine], monkeypatch, work, parity=True)
    assert set(asked) == {"numpy"}
    judgement = Store(tmp_path).judgement(mine.comparison_key)
    assert set(judgement["files"]) == {evil.key, mine.key}, "its pictures are judged"


def test_a_report_executes_nothing(quiet, monkeypatch):
    for form in ("table", "json", "evaluation", "gallery"):
        assert invoke(monkeypatch, "report", "run", "--format", form)[0] == 0
    assert not (quiet / "evil.ran").exists()


KILLED = """
import os, pathlib
pathlib.Path.rename = lambda *names: os.kill(os.getpid(), 9)
from harness.cli import main
main()
"""


def test_a_run_that_was_killed_before_its_record_can_be_resumed(tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ["run", "--backend", "numpy", "--no-parity", "--out", str(out), *SMALL]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    left = sorted(path.name for path in out.iterdir())
    assert len(left) == 2 and left[0] == ".lock", "the lock, and a record that was being written"
    assert run_here(out, [cell()], monkeypatch) == {"numpy": ("ok", None)}
    assert sorted(path.name for path in out.iterdir()) == [".lock", "cells", "run.json"]


def test_a_run_that_could_write_no_byte_can_be_resumed(tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = [sys.executable, "-m", "harness", "run", "--backend", "numpy", "--no-parity", "--out", str(out), *SMALL]
    done = subprocess.run(["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and "To resume when this is repaired: samebench run " in done.stderr, done.stderr
    assert run_here(out, [cell()], monkeypatch) == {"numpy": ("ok", None)}


@pytest.mark.parametrize("size", [1, 5, 8, 100])
def test_a_run_that_could_write_a_few_bytes_can_be_resumed(tmp_path, monkeypatch, size):
    """Files may have only a few bytes, so even the text of the lock may be incomplete."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            run_here(tmp_path / "out", [cell()], monkeypatch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run_here(tmp_path / "out", [cell()], monkeypatch) == {"numpy": ("ok", None)}


def test_a_run_on_a_full_disk_can_be_resumed(tmp_path, monkeypatch):
    (disk := tmp_path / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with pytest.raises(OSError, match="No space left"):
            run_here(disk / "out", [cell()], monkeypatch)
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        assert run_here(disk / "out", [cell()], monkeypatch) == {"numpy": ("ok", None)}
    finally:
        subprocess.run(["umount", disk], check=True)
