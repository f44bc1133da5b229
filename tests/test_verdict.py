"""Verdicts are values with an order, and with a text that files hold and that is read back."""

from __future__ import annotations

import ast
import itertools
from dataclasses import fields
from pathlib import Path

import pytest

import harness
from harness.forms import certificate_problems
from harness.parity import Certificate
from harness.verdict import DEVIATIONS, KINDS, TIMED, Verdict, no_certificate, verdict_in, worst

TEXTS = {
    "equal": Verdict.equal(),
    "not-checked": Verdict.not_checked(),
    "not-checked: a: b": Verdict.not_checked("a: b"),
    "differs: its batch order did not match the other backends": Verdict.differs(
        "its batch order did not match the other backends"
    ),
    "differs: logits of net: 1.0e+00, limit 1e-09": Verdict.differs("logits of net", 1.0, 1e-9),
    "differs: in float32, losses of a: b: 2.5e-03, limit 1e-04": Verdict.differs(
        "in float32, losses of a: b", 2.5e-3, 1e-4
    ),
    "differs: logits of net: inf, limit 1e-09": Verdict.differs("logits of net", float("inf"), 1e-9),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_verdict_is_stored_as_text(text):
    assert TEXTS[text].text == str(TEXTS[text]) == text
    assert Verdict.from_text(text) == TEXTS[text]


@pytest.mark.parametrize(
    "text", ["differs: 1e-3, limit 1e-9", "differs: x: 1.2.3, limit 1e-09", "differs: x: 1, limit 1e-09", "differs:x"]
)
def test_a_text_in_another_form_is_the_reason(text):
    verdict = Verdict.from_text(text)
    assert verdict.is_different and verdict.found is None
    assert verdict.reason == text.removeprefix("differs:").strip()


@pytest.mark.parametrize("text", ["", "fine", "Equal", " equal", "different: x"])
def test_a_text_without_a_verdict_is_refused(text):
    with pytest.raises(ValueError, match="there is no verdict"):
        Verdict.from_text(text)
    assert any(
        "parity.verdict" in problem for problem in certificate_problems({**no_certificate(), "verdict": text}, "parity")
    )


def test_the_number_in_the_text_is_read_back():
    found = Verdict.differs("logits of net", 1.04e-3, 1e-9)
    assert Verdict.from_text(found.text).found == 1.0e-3
    assert Verdict.from_text(found.text).text == found.text


def test_the_worst_verdict_counts_and_keeps_its_reason():
    differs, unknown, equal = Verdict.differs("here"), Verdict.not_checked("no reference"), Verdict.equal()
    for order in itertools.permutations([differs, unknown, equal]):
        assert worst(order) == differs
    assert worst([equal, unknown]) == unknown and worst([equal, equal]) == equal
    assert worst([differs, Verdict.differs("there")]) == differs
    assert worst([]) == Verdict.not_checked(), "no certificate proves nothing"


def test_every_kind_has_an_answer():
    assert [Verdict(kind).answer for kind in KINDS] == ["no", "not proven", "yes"]
    assert [Verdict(kind).is_checked for kind in KINDS] == [True, False, True]


def test_a_certificate_and_a_missing_certificate_have_the_same_fields():
    made = Certificate(Verdict.equal(), dict.fromkeys(DEVIATIONS, 0.0), 1, dict.fromkeys(TIMED, 0.0), []).as_json()
    assert made.keys() == no_certificate().keys()
    assert not list(certificate_problems(made)) and not list(certificate_problems(no_certificate("too large")))
    assert verdict_in(made).is_equal and verdict_in(no_certificate("too large")) == Verdict.not_checked("too large")
    assert {field.name for field in fields(Certificate)} - {"deviations"} == made.keys() - {*DEVIATIONS}


def texts_of_verdicts(tree: ast.AST) -> list[str]:
    """Strings in code that reads or makes the text of a verdict: comparisons, tests of prefixes, and f-strings."""
    found = []
    for node in ast.walk(tree):
        parts = {
            ast.Compare: lambda node: [node.left, *node.comparators],
            ast.Call: lambda node: (
                node.args if getattr(node.func, "attr", "") in ("startswith", "removeprefix") else []
            ),
            ast.JoinedStr: lambda node: node.values[:1],
        }.get(type(node), lambda node: [])(node)
        words = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        found += [word for word in words if any(word == kind or word.startswith(f"{kind}:") for kind in KINDS)]
    return found


def test_no_other_module_reads_or_makes_the_text_of_a_verdict():
    for code in ('x == "equal"', 'x.startswith("differs: ")', 'f"not-checked: {x}"'):
        assert texts_of_verdicts(ast.parse(code))
    home = Path(harness.__file__).parent
    for file in (*home.rglob("*.py"), *(home.parent / "backends").rglob("*.py")):
        if file.name != "verdict.py":
            assert not texts_of_verdicts(ast.parse(file.read_text())), file
