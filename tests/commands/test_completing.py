"""Completion by a shell: the scripts are those of click, and names are completed without importing a framework."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from harness.cli import main

FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "flax")


def completed(*words: str) -> list[str]:
    *typed, last = words
    return [
        item.value for item in ShellComplete(main, {}, "samebench", "_SAMEBENCH_COMPLETE").get_completions(typed, last)
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_samebench_for_completions(shell):
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0 and f"_SAMEBENCH_COMPLETE={shell}_complete" in done.output


def test_another_shell_is_refused():
    assert CliRunner().invoke(main, ["completion", "tcsh"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cac"], ["cache"]),
        (["cache", "cl"], ["clean"]),
        (["run", "--backend", "num"], ["numpy"]),
        (["run", "--model", "resnet"], ["resnet50", "resnet50-v1.5"]),
        (["run", "--dataset", "cif"], ["cifar10"]),
        (["run", "--task", "ide"], ["ideal-image"]),
        (["run", "--weights", "vgg"], ["vgg16-imagenet", "vgg19-imagenet"]),
        (["run", "--dry"], ["--dry-run"]),
        (["show", "len"], ["lenet5"]),
        (["check", "num"], ["numpy"]),
        (["prepare", "--dataset", "digi"], ["digits"]),
        (["predict", "cat.jpg", "--weights", "eff"], ["efficientnet-lite0"]),
        (["report", "run", "--format", "mark"], ["markdown"]),
    ],
)
def test_names_are_completed(words, expected):
    assert completed(*words) == expected


def test_a_backend_may_also_be_a_file():
    [item] = ShellComplete(main, {}, "samebench", "_SAMEBENCH_COMPLETE").get_completions(["check"], "mine.p")
    assert (item.value, item.type) == ("mine.p", "file")


def test_the_shell_gets_names_and_no_framework_is_imported():
    code = (
        "import atexit, sys; from harness.cli import main; "
        f"atexit.register(lambda: print('imported', [name for name in {FRAMEWORKS} if name in sys.modules])); main()"
    )
    asked = {"_SAMEBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "samebench run --backend ", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code.replace("main()", "main(prog_name='samebench')")],
        env=os.environ | asked, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = done.stdout.split("\n")
    assert "plain,numpy" in lines and "plain,pytorch" in lines, done.stderr
    assert "imported []" in lines
