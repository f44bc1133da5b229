"""Options that are given once or twice, and the exit code of a run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from refusals import has, refused
from reports import CELL, ok

from harness.cli import COMMANDS, GROUPS, main
from harness.commands.ending import Demands, shortfalls
from harness.commands.launching import typed_sources
from harness.errors import UsageError
from harness.result import Result
from harness.running import plan
from harness.running.config import Source, each_once, from_file, from_words

CONTEXT = click.Context(main)
TYPED = {"sets": (), "pythons": (), "seeds": None, "no_parity": False}


def command(name: str) -> click.Command:
    """A command, or a command of a group: "cache clean"."""
    first, _, rest = name.partition(" ")
    found = main.get_command(CONTEXT, first)
    assert found
    return found.commands[rest] if rest else found


COMMAND_NAMES = [
    f"{name} {inner}".strip() for name in COMMANDS for inner in getattr(command(name), "commands", {"": None})
]
SINGLE = [
    (name, option)
    for name in COMMAND_NAMES
    for option in command(name).params
    if isinstance(option, click.Option) and not option.is_flag and not option.multiple
]


def values(option: click.Option) -> tuple[str, str]:
    """Two values of the type that the option takes."""
    if isinstance(option.type, click.Choice):
        return option.type.choices[0], option.type.choices[1]
    return ("1", "2") if option.type.name in ("float", "integer range") else ("one", "two")


def test_the_commands_have_options_with_a_single_value():
    assert len(SINGLE) > 30 and {name for name, _ in SINGLE} == set(COMMAND_NAMES) - {
        "doctor", "list", "completion", "cache list", "results",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "option"), SINGLE, ids=lambda value: getattr(value, "name", value))
def test_an_option_with_one_value_is_refused_if_it_is_given_twice(name, option):
    first, second = values(option)
    for flag in option.opts:
        with refused(UsageError, "given-twice", option.opts[-1], 2, first, second):
            command(name).make_context(name, [flag, first, option.opts[-1], second])


def test_a_repeated_option_is_a_usage_error():
    done = CliRunner().invoke(main, ["show", "lenet5", "--classes", "2", "--classes", "3"])
    assert done.exit_code == 2 and re.fullmatch("Error: .*\n", done.stderr)
    assert all(has(done.stderr, value) for value in ("--classes", 2, 3))


def test_options_with_several_values_can_be_repeated():
    with command("run").make_context(
        "run", ["--task", "a", "--task", "b", "--seeds", "2", "--yes", "--yes"]
    ) as context:
        assert context.params["task"] == ("a", "b") and context.params["seeds"] == "2" and context.params["yes"]
        assert context.params["model"] is None
    with command("check").make_context("check", ["numpy"]) as context:
        assert context.params["device"] == "auto", "defaults are what they were"


@pytest.mark.parametrize(
    ("typed", "code", "values"),
    [
        ({"sets": ("seeds=1", "seeds=2")}, "given-twice", ["seeds", "--set seeds=1", "--set seeds=2"]),
        (
            {"sets": ("scratch-cnn.epochs=1", 'scratch-cnn={"epochs": 2}')},
            "given-twice",
            ["scratch-cnn.epochs", "--set scratch-cnn.epochs=1", '--set scratch-cnn={"epochs": 2}'],
        ),
        ({"sets": ('scratch-cnn={"epochs": 1, "epochs": 2}',)}, "given-twice", ["epochs", "{epochs, epochs}"]),
        (
            {"sets": ('scratch-cnn={"optimizer": {"lr": 1}, "optimizer.lr": 2}',)},
            "given-twice",
            ["scratch-cnn.optimizer.lr", 1, 2],
        ),
        ({"sets": ("seeds=1",), "seeds": "2"}, "given-twice", ["seeds", "--set seeds=1", "--seeds 2"]),
        ({"sets": ("model=a",), "model": "b"}, "given-twice", ["model", "--set model=a", "--model b"]),
        (
            {"sets": ('backends=["a"]',), "backend": ("b", "c")},
            "given-twice",
            ["backends", '--set backends=["a"]', "--backend b c"],
        ),
        ({"sets": ("parity=true",), "no_parity": True}, "given-twice", ["parity", "--set parity=true", "--no-parity"]),
        ({"pythons": ("numpy=a", "numpy=b")}, "given-twice", ["python.numpy", "--python numpy=a", "--python numpy=b"]),
        (
            {"pythons": ("numpy=a",), "sets": ("python.numpy=b",)},
            "given-twice",
            ["python.numpy", "--python numpy=a", "--set python.numpy=b"],
        ),
        ({"sets": ("scratch-cnn={}",)}, "missing-option", ["--set scratch-cnn={}"]),
    ],
)
def test_a_setting_that_is_given_twice_is_refused_in_any_spelling(typed, code, values):
    with refused(UsageError, code, *values):
        typed_sources(TYPED | typed)


def test_a_file_that_gives_a_setting_twice_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('"scratch-cnn.epochs" = 1\n[scratch-cnn]\nepochs = 2\n')
    with refused(UsageError, "given-twice", file, "scratch-cnn.epochs", 1, 2):
        each_once([from_file(file)])


def test_each_option_is_a_source():
    typed = TYPED | {"model": "", "timeout": 0.0, "offline": False, "backend": (), "seeds": "0,1", "sets": ("x.y=1",)}
    assert typed_sources(typed) == [
        Source("--set x.y=1", {"x.y": 1}),
        Source("--model ''", {"model": ""}),
        Source("--timeout 0.0", {"timeout": 0.0}),
        Source("--seeds 0,1", {"seeds": [0, 1]}),
    ], "0 and no letters are values too"


def test_the_named_backends():
    assert Source("--backend a", {"backends": ("a", "b")}).named == {"a", "b"}
    assert Source("--python a=/b", {"python.a": "/b"}).named == {"a"}
    assert Source("run.json", {"backends": ["a"]}, recorded=True).named == set(), "a record names what was run"
    assert from_words(["seeds=3"])[0].named == set()


CURVE = ("--backend", "numpy", "--precision", "float64", "--task", "scratch-cnn", "--no-parity")


@pytest.mark.parametrize(
    "typed",
    [
        ["learning-curve", "--counts", "64,128", "--set", "scratch-cnn.train_limit=32"],
        ["learning-curve", "--set", "scratch-cnn.train_limit=32"],
        ["run", "--set", "train_limits=[64]", "--set", "scratch-cnn.train_limit=32"],
    ],
    ids=" ".join,
)
def test_two_numbers_of_training_pictures_are_refused(typed, tmp_path):
    done = CliRunner().invoke(main, [*typed, *CURVE, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    assert all(has(done.stderr, value) for value in ("scratch-cnn.train_limit", 32, "--counts")), done.stderr


# Exit codes

GOOD, OTHER = ok(), ok(replace(CELL, seed=1))
DIFFERS = ok(parity=GOOD.parity | {"verdict": "differs: logits of net: 1.0e+00, limit 1e-09"})
STATUSES = (
    "failed", "crashed", "oom", "timeout", "diverged", "invalid", "wrong-device", "unavailable", "interrupted",
)  # fmt: skip


def said(*results: Result, cells=None, **demands) -> list[str]:
    asked = [result.cell for result in results] if cells is None else cells
    return list(shortfalls(Path("runs/1"), asked, results, Demands(**demands)))


def test_a_good_run_has_no_shortfalls():
    assert said(GOOD, OTHER) == []


def test_a_verdict_that_differs_is_a_shortfall_unless_it_is_allowed():
    (line,) = said(DIFFERS, OTHER)
    assert line == (
        "1 cell differs from the reference or from the other backends: scratch-cnn numpy/default seed 0: logits of net: "
        "1.0e+00, limit 1e-09. See: samebench report runs/1. If you expect this, add --allow-differs"
    )
    assert said(DIFFERS, allow_differs=True) == []
    assert said(ok(parity=GOOD.parity | {"verdict": "not-checked: too large"})) == []


@pytest.mark.parametrize("status", STATUSES)
def test_only_ok_and_unsupported_are_good_statuses(status):
    bad = Result(CELL, status, "because")
    (line,) = said(bad, OTHER, allow_differs=True)
    assert line.startswith(f"1 cell is not ok: scratch-cnn numpy/default seed 0: {status}: because. See: ")
    assert said(bad, OTHER, cells=[OTHER.cell]) == [], "it was not asked for this time"


def test_a_cell_that_is_missing_in_the_report_is_not_ok():
    (line,) = said(GOOD, cells=[GOOD.cell, OTHER.cell])
    assert "1 cell is not ok" in line and "interrupted: it has no result" in line


def test_unsupported_is_good_only_if_the_backend_was_not_named():
    declined = Result(CELL, "unsupported", "it has no precision 'float32'; it has float64")
    assert said(declined) == [] and said(declined, named={"another"}) == []
    (line,) = said(declined, named={CELL.backend})
    assert "1 cell is unsupported, and the backend was named" in line and "it has float64" in line
    assert "--strict requires all" in said(declined, strict=True)[0]


def test_many_cells_are_counted_and_some_are_named():
    (line,) = said(*(Result(replace(CELL, seed=seed), "failed", "why") for seed in range(5)))
    assert line.startswith("5 cells are not ok: ") and line.count("failed: why") == 3 and "; and 2 more. See" in line


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["run", "--epochs", "3"], ["--set scratch-cnn.epochs=VALUE", "--set fine-tuning.epochs=VALUE"]),
        (["run", "--batch-size=3"], ["--set scratch-cnn.batch_size=VALUE"]),
        (["learning-curve", "--lr", "3"], ["--set scratch-cnn.optimizer.lr=VALUE"]),
        (["prepare", "--size", "3"], ["--set data.size=VALUE"]),
        (["run", "--backnd", "numpy"], ["--backend"]),
        (["show", "lenet5", "--epochs", "3"], []),
    ],
)
def test_an_option_of_a_task_on_the_command_line_suggests_how_to_set_it(words, settings):
    done = CliRunner().invoke(main, words)
    assert (
        done.exit_code == 2
        and f"No such option '{words[-1 if '=' in words[-1] else -2].partition('=')[0]}'" in done.stderr
    )
    assert all(setting in done.stderr for setting in settings)
    assert ("--set" in done.stderr) == any("--set" in setting for setting in settings)
    assert "fine-tuning.head" not in done.stderr, "only the shortest paths are suggested"


def test_a_run_without_backends_has_its_own_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHIPPED", ())
    done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "run")])
    assert done.exit_code == 5 and "samebench list backends" in done.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [*COMMAND_NAMES, "cache"])
def test_the_help_of_every_command_has_an_example_that_can_be_parsed(name):
    done = CliRunner().invoke(main, [*name.split(), "--help"])
    assert done.exit_code == 0 and f"samebench {name}" in done.output.partition("Example: ")[2]
    assert "  Show this message and exit." in done.output


def test_help_lists_every_command_in_its_group():
    text = CliRunner().invoke(main, ["--help"]).output
    for title, names in GROUPS.items():
        section = text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        shown = [line.split()[0] for line in section.splitlines() if line.startswith("  ") and line[2] != " "]
        assert shown == list(names)
