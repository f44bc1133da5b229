"""Documentation that can rot is tested: hooks, commands, rule counts, and the table of the README."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from click.testing import CliRunner

from harness import hookspecs
from harness.cli import COMMANDS, main
from harness.conformance import RULES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
RESULTS = ("digits", "cifar10", "cats-vs-dogs", "unlike", "attacks")
"""Runs whose tables stand in the README, in this order."""

BLOCK = r"<!-- (all|first \d+ tables): samebench report (.*?) -->\n```\n(.*?)\n```\n<!-- end -->"
"""What a command prints, in the README."""


def test_every_hook_is_documented_with_its_arguments():
    for name, hook in vars(hookspecs).items():
        if name.startswith("samebench_"):
            assert f"`{name}{inspect.signature(hook).replace(return_annotation=inspect.Signature.empty)}`" in README
            assert hook.__doc__


def test_every_command_in_the_readme_is_one_and_all_are_there():
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    shown = set(re.findall(r"samebench (\S+)", blocks))
    assert shown == set(COMMANDS)


def test_options_in_the_readme_exist():
    commands = [main.get_command(None, name) for name in COMMANDS]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r" (--[a-z][a-z-]*)", README)) <= known


def test_the_number_of_rules_is_right():
    assert f"{len(RULES)} rules" in README
    assert f"{len(RULES)} rules" in (ROOT / "CHANGELOG.md").read_text()


def test_files_that_the_readme_links_to_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_ci_runs_the_command_of_the_readme():
    command = next(line for line in README.splitlines() if line.endswith(".venv/bin/tox"))
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_tables_of_the_readme_are_those_of_the_stored_cells(monkeypatch):
    """Each is all that the command prints, or as many whole tables from its beginning as the comment says."""
    monkeypatch.chdir(ROOT)
    blocks = re.findall(BLOCK, README, re.DOTALL)
    assert [command.split()[0] for _, command, _ in blocks] == [f"results/{name}" for name in RESULTS]
    for extent, command, shown in blocks:
        printed = CliRunner().invoke(main, ["report", *command.split()]).output.rstrip("\n").split("\n\n")
        count = len(printed) if extent == "all" else int(extent.split()[1])
        assert shown == "\n\n".join(printed[:count])


def test_editors_and_type_checkers_see_the_public_names():
    import harness

    text = Path(harness.__file__).read_text()
    assert set(re.findall(r"import (\w+) as \1", text)) == set(harness.__all__)
    assert all(getattr(harness, name) is not None for name in harness.__all__)
