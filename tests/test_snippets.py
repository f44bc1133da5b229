"""Executes every command and every snippet of the README and of docs/, in the order of each page.

The blocks of a page share a folder. It holds a few pictures, the repository's `results`, and the files that earlier
blocks have written. HTML comments above a block are instructions for the test:

    <!-- file: NAME -->          the block is a file with this name; a pyproject.toml is installed as by pip
    <!-- not run: REASON -->     commands are only parsed; a run is also planned, unless REASON starts with "your"
    <!-- exit: 1 -->             the commands end with this exit code, or with one of several: 0 or 3
    <!-- prints: TEXT -->        the commands print this text
    <!-- seeds: kept -->         a quick run uses as many seeds as the page
    <!-- tasks: all -->          a quick run uses all tasks; without this comment, scratch-cnn if it names none

A workflow of CI (yaml) is written, and its steps are executed, each as its own script.

Quick versions of `samebench run` and `learning-curve` use only the reference, one seed, an epoch and few pictures.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from harness.cli import COMMANDS, main
from harness.options import flatten
from harness.plugins import load_plugins

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"((?:^<!--[^\n]*-->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- ([a-z ]+): (.*?) -->")
LANGUAGES = {"sh", "python", "toml", "yaml", "json", "text", ""}
QUICK = ("run", "learning-curve")
OWN = ("mine", "my_")
"""The names of backends of the pages themselves start with these; they remain in quick runs."""

BACKEND = ("--backend", "numpy", "--precision", "float64", "--no-parity")
DROPPED = {"--backend": 1, "--seeds": 1, "--mode": 1, "--precision": 1, "--no-parity": 0}
"""Options that a quick run leaves out, with the number of their values."""

SETTINGS = {
    "epochs": "1", "train_limit": "96", "head.epochs": "1", "steps": "2", "pictures": "8", "classes": "[1]",
}  # fmt: skip
"""Options of tasks in a quick run. A task without such an option ignores it."""


MY_BACKEND = """
from harness import hookimpl
from harness.reference.backend import NumPy

class Mine(NumPy):
    name = "mine"

@hookimpl
def samebench_backend():
    return Mine
"""


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: Path
    line: int
    language: str
    text: str
    comments: dict[str, list[str]] = field(default_factory=dict)
    """The texts of the comments above the block by name."""

    def comment(self, name: str) -> str | None:
        return self.comments.get(name, [None])[0]

    @property
    def commands(self) -> list[list[str]]:
        """The command lines of the block, without comments. A backslash joins lines."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        comments: dict[str, list[str]] = {}
        for name, value in COMMENT.findall(found[1]):
            comments.setdefault(name, []).append(value)
        yield Block(page, text[: found.start(2)].count("\n") + 1, found[2], found[3], comments)


def quick(words: list[str], every_task: bool, seeds: bool = False) -> tuple[list[str], list[str]]:
    """The words of a command that remain, and the words that make it quick. `seeds`: whether the seeds remain."""
    if words[:2] not in [["samebench", name] for name in QUICK] or "--dry-run" in words:
        return words, []
    kept, rest = [], iter(words)
    for word in rest:
        if word not in DROPPED or (seeds and word == "--seeds"):
            kept.append(word)
            continue
        for _ in range(DROPPED[word]):
            if not Path(value := next(rest)).stem.startswith(OWN):
                continue
            kept += [word, value]
    own = any(word == "--backend" for word in kept)
    added = list(BACKEND[2:] if own else BACKEND)
    if "parity=true" in words:
        added.remove("--no-parity")
    if (
        "--task" not in words
        and words[1] == "run"
        and not any(word.endswith(".toml") for word in words)
        and not every_task
    ):
        added += ["--task", "scratch-cnn"]
    given = {word.partition("=")[0] for before, word in pairwise(kept) if before == "--set"}
    plugins = load_plugins()
    settings = [
        f"{task}.{path}={value}"
        for task in plugins.tasks
        for path, value in SETTINGS.items()
        if path in flatten(plugins.tasks[task].options()) and f"{task}.{path}" not in given
    ]
    if "learning-curve" in kept or any("train_limit" in word for word in kept):
        settings = [text for text in settings if "train_limit" not in text]
    settings += [] if "segment_s" in given or "rerun" in kept else ["segment_s=0"]
    return kept, [*added, *(word for text in settings for word in ("--set", text))]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What a page finds: pictures, stored results, two checkouts with a backend, and an empty cache."""
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 128, (16, 16, 3)) + (100 if name == "cats" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    Image.fromarray(random.integers(0, 256, (32, 32), np.uint8)).save(tmp_path / "cat.jpg")
    (tmp_path / "results").symlink_to(ROOT / "results")
    for name in ("base", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my_backend.py").write_text(MY_BACKEND)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("SAMEBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SAMEBENCH_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_and_snippet_works(page, folder):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.where}: no such language"
        if name := block.comment("file"):
            write(folder, name, block.text)
            for step in steps(block) if block.language == "yaml" else ():
                parse(step)
                execute(step)
        elif block.language == "sh":
            parse(block)
            if not block.comment("not run"):
                execute(block)
        elif block.language == "python":
            done = subprocess.run([sys.executable, "-c", block.text], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, f"{block.where}: {done.stderr}"
            printed(block, done.stdout)
        elif block.language == "toml":
            tomllib.loads(block.text)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    if name == "pyproject.toml":
        install(folder, tomllib.loads(text)["project"])


def install(folder: Path, project: dict) -> None:
    """Install the entry points of a project, as `pip install -e .` does."""
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


def parse(block: Block) -> None:
    """Check the names and options of every samebench command of a block. Runs that are not executed are planned."""
    for words in block.commands:
        if words[0] != "samebench":
            continue
        command, rest = main, words[1:]
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found, f"{block.where}: there is no command {rest[0]}"
            command, rest = found, rest[1:]
        try:
            command.make_context(words[1], list(rest))
        except click.exceptions.Exit:  # --help
            continue
        except click.ClickException as error:
            pytest.fail(f"{block.where}: {shlex.join(words)}: {error.format_message()}")
        reason = block.comment("not run")
        if reason and words[1] == "run" and not reason.startswith("your"):
            more = [] if "--dry-run" in words else ["--dry-run"]
            planned = "pytorch" if "--mode" in words else "numpy"  # no framework need be installed for a dry run
            more += [] if {"--backend", "--aa"} & {*words} else ["--backend", planned]
            done = CliRunner().invoke(main, [*words[1:], *more])
            assert done.exit_code == 0, f"{block.where}: {shlex.join(words)}: {done.output}"


def steps(block: Block) -> Iterator[Block]:
    """The scripts of a workflow of GitHub: what follows `- run:`, on the same line or below it. `>-` joins the lines."""
    found = re.findall(r"^( *)- run: (.*)\n((?:\1  +.*\n)*)", block.text, re.MULTILINE)
    for indent, first, below in found:
        lines = [line[len(indent) + 4 :] for line in below.splitlines()]
        text = {"|": "\n".join(lines), ">-": " ".join(lines)}.get(first, first)
        yield Block(block.page, block.line, "sh", f"{text}\n", block.comments)


def execute(block: Block) -> None:
    lines = block.text.replace("\\\n", " ").splitlines()
    script = "\n".join(_quick_line(line, block) for line in lines)
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", script], capture_output=True, text=True, timeout=300,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in map(int, (block.comment("exit") or "0").split(" or ")), (
        f"{block.where}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )
    printed(block, done.stdout + done.stderr)


def _quick_line(line: str, block: Block) -> str:
    words = shlex.split(line, comments=True)
    kept, added = quick(words, block.comment("tasks") == "all", block.comment("seeds") == "kept")
    text = line if kept == words and "#" not in line else shlex.join(kept)  # keeps special characters of the shell
    return f"{text} {shlex.join(added)}"


def printed(block: Block, output: str) -> None:
    for text in block.comments.get("prints", ()):
        assert " ".join(text.split()) in " ".join(output.split()), (
            f"{block.where}: {text!r} is not in\n{output[-3000:]}"
        )


def test_there_are_snippets_and_most_are_run():
    found = [block for page in PAGES for block in blocks(page)]
    used = [block for block in found if block.language in ("sh", "python") or block.comment("file")]
    left = [block for block in used if block.comment("not run")]
    assert len(used) > 40 and len(left) < len(used) / 3
    assert all(len(block.comment("not run").split()) >= 2 for block in left), "each says why"


def test_comments_about_blocks_are_known():
    known = {"file", "seeds", "tasks", "not run", "exit", "prints", "all", "first tables"}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        names = {re.sub(r" \d+", "", name) for name in re.findall(r"^<!-- ([a-z0-9 ]+): .* -->$", text, re.MULTILINE)}
        assert names <= known, f"{page.name}: {names - known}"
        assert not re.search(r"^<!-- not run(?!: )", text, re.MULTILINE), page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("samebench rum", "no command rum"),
        ("samebench run --epochs 3", "No such option"),
        ("samebench cache wipe", "no command wipe"),
        ("samebench list networks", "networks"),
        ("samebench run --set scratch-cnn.epoch=3", "scratch-cnn.epoch"),
        ("samebench run --model lenet6 --backend numpy", "lenet6"),
    ],
)
def test_a_wrong_command_is_noticed_without_running_it(line, message, folder):
    block = Block(ROOT / "README.md", 1, "sh", line, {"not run": ["it needs a GPU"]})
    with pytest.raises((AssertionError, pytest.fail.Exception), match=re.escape(message)):
        parse(block)


def test_a_command_that_fails_is_noticed(folder):
    block = Block(ROOT / "README.md", 1, "sh", "samebench show lenet6\n", {})
    with pytest.raises(AssertionError, match="lenet6"):
        execute(block)


def test_the_documentation_shows_every_command():
    text = "".join(block.text for page in PAGES for block in blocks(page) if block.language == "sh")
    shown = set(re.findall(r"^(?:.*\()?samebench ([a-z-]+)", text, re.MULTILINE))
    assert shown == set(COMMANDS)
