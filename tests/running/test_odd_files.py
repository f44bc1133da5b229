"""A run folder in which a file is a pipe, a link, a device or a folder: every command that reads it ends, without a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from command import SMALL, command, samebench

ODD = {
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "nothing": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(100)),
}
FILES = (
    "run.json",
    "cells/*/result.json",
    "cells/*/cell.json",
    "cells/*/artifacts/*",
    "certificates/*.json",
    "certificates/*/*",
)
"""The files of a run, of which each kind becomes odd."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "run"
    options = ["--backend", "numpy", *SMALL]
    assert samebench("run", *options, "--out", folder).returncode == 0
    return folder, options


@pytest.mark.parametrize("what", ODD)
def test_every_command_ends_whatever_a_file_is(run, tmp_path, what):
    original, options = run
    seen = 0
    for pattern in FILES:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)
        for file in copy.glob(pattern):
            seen += 1
            shutil.rmtree(file) if file.is_dir() else file.unlink()
            ODD[what](file)
        for arguments in (["report", copy], ["compare", original, copy], ["run", *options, "--out", copy]):
            done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)
            assert "Traceback" not in done.stderr + done.stdout, (pattern, arguments, done.stderr[-2000:])
            assert done.returncode in (0, 1, 2), (pattern, arguments, done.stderr[-500:])
    assert seen >= 4
