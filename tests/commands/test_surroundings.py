"""Unusual users: other encodings, paths with any characters, no home, no terminal, no colours."""

from __future__ import annotations

import os
import re

import pytest
from command import SMALL, on_a_terminal, samebench

NO_UTF8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SURROUNDINGS = {
    "the locale of C": {"LC_ALL": "C", **NO_UTF8},
    "Latin letters only": {"PYTHONIOENCODING": "iso-8859-1", **NO_UTF8},
    "no home": {"HOME": "/proc/nobody"},
    "a home that is a file": {"HOME": "/dev/null"},
}
STRANGE, LONG = "spaces, Übung und 실험", "/".join(["x" * 200] * 8)
"""Names of folders."""

COMMANDS = [
    ["report", "run"],
    ["report", "run", "--full"],
    ["report", "run", "--format", "markdown", "-o", "report.md"],
    ["report", "run", "--format", "gallery", "-o", "gallery.html"],
    ["report", "run", "--format", "csv"],
    ["report", "run", "--format", "json"],
    ["compare", "run", "run"],
    ["list"],
    ["show", "lenet5"],
    ["cache", "list"],
]


CASES = {name: (name, STRANGE) for name in SURROUNDINGS} | {"a long path": ("no home", LONG)}


@pytest.mark.parametrize(("name", "folder"), CASES.values(), ids=CASES)
def test_every_command_works(tmp_path, name, folder):
    (place := tmp_path / folder).mkdir(parents=True)
    unset = ("SAMEBENCH_CACHE_DIR", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"TMPDIR": str(tmp_path)}
    run = ["run", "--backend", "numpy", "--no-parity", "--out", place / "run", *SMALL]
    for arguments in (run, *COMMANDS):
        done = samebench(
            *arguments, cwd=place, env=environment | SURROUNDINGS[name], encoding="utf-8", errors="replace"
        )
        assert done.returncode == 0, (arguments, done.stderr)
        assert "Traceback" not in done.stderr and "\x1b" not in done.stdout + done.stderr
    assert (place / "report.md").stat().st_size and (place / "gallery.html").stat().st_size


def test_no_colour_is_printed_if_the_user_wants_none(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)

    def colours(name: str, **environment: str) -> bool:
        code, said = on_a_terminal(
            "run", "--backend", "numpy", "--no-parity", "--out", tmp_path / name, *SMALL, **environment
        )
        assert code == 0
        return any(re.search(r"(^|;)(3\d|9\d)(;|$)", style) for style in re.findall(r"\x1b\[([\d;]*)m", said))

    assert colours("colours") and not colours("none", NO_COLOR="1")
