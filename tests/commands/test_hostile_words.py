"""Command lines, configurations and environments that make no sense: each ends at once, with a sentence and no traceback."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from command import samebench

RUN = ("run", "--task", "scratch-cnn", "--backend", "numpy", "--precision", "float64", "--out", "run")

COMMANDS = {
    "too many seeds": (*RUN, "--seeds", "100000000000"),
    "many seeds": (*RUN, "--seeds", "20000000"),
    "a seed with 5,000 digits": (*RUN, "--seeds", "0," + "9" * 5000),
    "a number with 5,000 digits": (*RUN, "--set", f"scratch-cnn.epochs={'9' * 5000}"),
    "5,000 nested lists": (*RUN, "--set", f"backends={'[' * 5000}"),
    "no user of this name": (*RUN, "--data-dir", "~nosuchuser/data"),
    "a dataset of no user": (*RUN, "--dataset", "folder:~nosuchuser/pictures"),
    "a network of no user": (*RUN, "--weights", "~nosuchuser/x.safetensors", "--task", "fine-tuning"),
    "no modes": (*RUN, "--set", "modes=[]"),
    "a NUL": (*RUN, "--set", "model=\\u0000"),
    "a surrogate": (*RUN, "--set", 'model="\\ud800"'),
    "too many pixels": (*RUN, "--dataset", "synthetic:9999x9999x3"),
    "a backend file that is gone": ("run", "--backend", "gone.py", "--out", "run"),
    "a run folder of no user": ("report", "~nosuchuser/run"),
    "a folder that is no run": ("report", "."),
    "no such folder": ("compare", "a", "b"),
    "a folder whose name is too long": ("report", "x" * 5000),
    "a run whose name is too long": (*RUN[:-1], "x" * 5000),
    "a dry run whose name is too long": (*RUN[:-1], "x" * 5000, "--dry-run"),
    "a folder that nobody can write to": (*RUN[:-1], "/proc/run"),
    "a file that is no configuration": ("run", "/dev/null/x.toml"),
    "a folder as configuration": ("run", "."),
    "a picture that is no picture": ("predict", "words.txt", "--weights", "two-block-cnn-digits", "--backend", "numpy"),
}

CONFIGURATIONS = {
    "profile": "profile = 5\n",
    "digits": f"seeds = {'9' * 5000}\n",
    "deep": f"backends = {'[' * 5000}{']' * 5000}\n",
    "nul": "tasks = ['a\0b']\n",
    "not text": b"\xff\xfe\x00",
    "not toml": "seeds = = 3\n",
    "twice": "seeds = 1\nseeds = 2\n",
    "date": "seeds = 1979-05-27\n",
    "huge float": "timeout = 1e999\n",
    "nan": "timeout = nan\n",
    "table for a value": "[seeds]\nx = 1\n",
    "list of tables": "[[python]]\nkeras = 'x'\n",
}


def is_refused(done, limit: int = 2) -> None:
    said = done.stderr + done.stdout
    assert "Traceback" not in said and "Exception" not in said, said[-2000:]
    assert 1 <= done.returncode <= limit, (done.returncode, said[-2000:])
    assert "Error: " in said, said[-2000:]
    assert len(said) < 3000, "the sentence is not a copy of the whole input"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_makes_no_sense_ends_with_a_sentence(tmp_path, name):
    (tmp_path / "words.txt").write_text("these are words")
    start = time.monotonic()
    is_refused(samebench(*COMMANDS[name], cwd=tmp_path, timeout=60))
    assert time.monotonic() - start < 10
    assert not (tmp_path / "run").exists(), "nothing is left of it"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_that_makes_no_sense_ends_with_a_sentence(tmp_path, name):
    text = CONFIGURATIONS[name]
    (tmp_path / "config.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    is_refused(samebench("run", "config.toml", "--out", "run", cwd=tmp_path, timeout=60))
    assert not (tmp_path / "run").exists()


PROXIES = ["http://proxy.example:", "http://:8080", "http://proxy.example:port", "::::", "http://[::1", "\x1b[31m"]


@pytest.mark.parametrize("proxy", PROXIES, ids=ascii)
def test_a_proxy_that_makes_no_sense_ends_with_a_sentence(tmp_path, proxy):
    environment = os.environ | {"https_proxy": proxy, "SAMEBENCH_CACHE_DIR": str(tmp_path / "cache")}
    done = samebench("prepare", "--dataset", "cifar10", cwd=tmp_path, env=environment | {"SAMEBENCH_DATA_DIR": ""})
    is_refused(done)
    assert "\x1b" not in done.stderr


def test_a_closed_stderr_is_no_error(tmp_path):
    import subprocess

    from command import command

    words = " ".join(command("list", "backends"))
    for closed in ("2>&-", "1>&-", "1>&- 2>&-", "0<&-"):
        done = subprocess.run(
            ["sh", "-c", f"{words} {closed}"], capture_output=True, text=True, cwd=tmp_path, timeout=60
        )
        assert done.returncode in (0, 1), (closed, done)
        assert "Traceback" not in done.stderr + done.stdout
        assert Path(tmp_path).is_dir()
