"""`samebench check` counts the rules: a backend that ends its process has not passed the rules that did not run."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from command import backend
from mutants import wrap

from harness.cli import main
from harness.conformance import RULES, check, conforms
from harness.conformance.kit import Outcome, check_rule
from harness.errors import SamebenchError, Unavailable, UsageError
from harness.reference.backend import NumPy
from harness.running.checking import Held, check_apart

ALL = len(RULES)
FIRST, SECOND, *_ = RULES


def ends(error: BaseException) -> type:
    def build(self, model, weights):
        raise error

    return wrap(NumPy, build=build)


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("bye"), GeneratorExit(), BaseException("odd")])
def test_whatever_a_rule_raises_is_a_failure_of_that_rule(error):
    outcome = check_rule("dense", ends(error))
    assert outcome.status == "failed" and type(error).__name__ in outcome.message


def test_a_check_goes_on_after_a_rule_that_exits():
    outcomes = list(check(ends(SystemExit(0))))
    assert [outcome.rule for outcome in outcomes] == list(RULES)
    assert {outcome.rule for outcome in outcomes if outcome.status == "passed"} == {"self_description"}


def test_pytest_sees_a_rule_that_exits_fail():
    mark = conforms(ends(SystemExit(0)))
    (run,) = (case.values[0] for case in mark.args[1] if case.id == "dense")
    with pytest.raises(AssertionError, match="SystemExit: 0"):
        run()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Unavailable("no such device")])
def test_errors_of_samebench_itself_end_the_check(error):
    with pytest.raises(type(error)):
        check_rule("dense", ends(error))


def test_a_file_that_exits_during_its_import_passes_no_rule(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import os\nos._exit(0)\n")
    done = CliRunner().invoke(main, ["check", str(file)])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == f"{file}: 0 of {ALL} rules ran"
    assert f"{file} ended its process before every rule had run (exit code 0)" in done.stderr


@pytest.mark.parametrize(("fault", "how"), [("os._exit(0)", "exit code 0"), ("os.kill(os.getpid(), 11)", "SIGSEGV")])
def test_a_rule_in_which_the_process_ends_has_failed_and_the_others_have_not_run(tmp_path, fault, how):
    file = backend(tmp_path, fault)
    done = CliRunner().invoke(main, ["check", str(file)])
    lines = done.stdout.splitlines()
    assert done.exit_code == 1
    assert f"{'failed':<16}{FIRST}: the process ended while this rule ran: {how}" in lines
    assert lines[-1] == f"mine: 1 failed; 1 of {ALL} rules ran"
    assert sum(line.startswith("not run") for line in lines) == ALL - 1
    assert f"before every rule had run ({how})" in done.stderr


def test_a_backend_that_removes_the_rules_does_not_pass(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from harness import hookimpl\nfrom harness.conformance import RULES\nfrom harness.reference.backend import NumPy\n"
        "RULES.clear()\n@hookimpl\ndef samebench_backend():\n    return NumPy\n"
    )
    held = check_apart(str(file), "auto", "default", lambda outcome: None)
    assert (held.name, held.code, held.missing) == ("numpy", 0, list(RULES))


def test_messages_of_the_process_are_received():
    told: list[Outcome] = []
    held = Held(told.append)
    held.hear(b'{"name": "mine"}')
    held.hear(f'{{"begins": "{FIRST}"}}'.encode())
    held.hear(f'{{"outcome": ["{FIRST}", "passed", ""]}}'.encode())
    held.hear(f'{{"begins": "{SECOND}"}}'.encode())
    held.ended(-9)
    assert [(outcome.rule, outcome.status) for outcome in told] == [(FIRST, "passed"), (SECOND, "failed")]
    assert "SIGKILL" in told[1].message and held.missing == list(RULES)[2:]


def test_an_error_keeps_its_message_and_fails_no_rule():
    for usage, kind in ((True, UsageError), (False, SamebenchError)):
        held = Held(lambda outcome: None)
        held.hear(f'{{"begins": "{FIRST}"}}'.encode())
        held.hear(json.dumps({"error": "no such thing", "usage": usage}).encode())
        held.ended(0)
        assert type(held.error) is kind and str(held.error) == "no such thing" and not held.outcomes


@pytest.mark.parametrize(
    "line", [b"", b"{", b"3", b"[" * 200_000, b"\xff", b'{"name": 3}', b'{"outcome": ["x"]}', b'{"outcome": ["x", "y", ""]}',
             b'{"usage": "yes"}', b'{"error": null}'],
    ids=lambda line: repr(line[:40]),
)  # fmt: skip
def test_a_message_of_another_form_is_an_error_in_one_sentence(line):
    held = Held(lambda outcome: None)
    held.hear(line + b"\n")
    assert "has sent a message that samebench cannot read" in str(held.error) and "\n" not in str(held.error)
    assert not held.outcomes
