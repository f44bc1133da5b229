"""Output that has no room: the command says so in one line, and what was written before stays whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command import SMALL, cells, command, samebench
from runs import STEADY, stored_run, timed

FULL = Path("/dev/full")
COMMANDS = {"report": ["report", "run"], "list": ["list"], "--help": ["--help"], "compare": ["compare", "run", "run"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a run."""
    folder = tmp_path_factory.mktemp("full")
    stored_run(folder / "run", timed(STEADY))
    return folder


def to_a_full_disk(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    with FULL.open("w") as full:
        return subprocess.run(
            command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, **options
        )


def is_one_line(said: str) -> bool:
    return said.startswith("Error: ") and said.count("\n") == 1


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a full disk for tests")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_room_for_its_output_ends_with_a_sentence(folder, name):
    done = to_a_full_disk(*COMMANDS[name], cwd=folder)
    assert done.returncode == 1 and is_one_line(done.stderr), done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a full disk for tests")
def test_a_run_without_room_for_its_report_is_stored(tmp_path):
    done = to_a_full_disk("run", "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert cells(tmp_path / "run") == {"numpy": ("ok", None)}


def test_a_report_without_room_leaves_the_old_one(folder):
    (file := folder / "report.json").write_text("old")
    limited = [
        "sh",
        "-c",
        'ulimit -f 1; exec "$@"',
        "sh",
        *command("report", "run", "--format", "json", "-o", file.name),
    ]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 2 and is_one_line(done.stderr) and file.name in done.stderr
    assert file.read_text() == "old" and sorted(path.name for path in folder.iterdir()) == ["report.json", "run"]
    assert samebench("report", "run", "--format", "json", "-o", file.name, cwd=folder).returncode == 0
    assert file.read_text().startswith("{")


def test_a_report_can_be_written_through_a_link_and_to_a_device(folder, tmp_path):
    (link := tmp_path / "link.csv").symlink_to("file.csv")
    assert samebench("report", folder / "run", "--format", "csv", "-o", link).returncode == 0
    assert link.is_symlink() and (tmp_path / "file.csv").read_text().startswith("task,")
    done = samebench("report", folder / "run", "--format", "csv", "-o", "/dev/stdout")
    assert done.stdout == link.read_text()
