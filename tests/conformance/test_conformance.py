"""Mutants test the conformance kit: each rule fails on at least one of them, and its message names the fault."""

import re

import numpy as np
import pytest
from mutants import FAULTS, Bfloat16, wrap

from harness.conformance import RULES, check, conforms
from harness.conformance.kit import check_rule
from harness.conformance.suspects import SUSPECTS
from harness.errors import Unsupported
from harness.reference.backend import NumPy


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_its_text_and_a_mutant(name):
    assert RULES[name].__doc__
    assert name in SUSPECTS or name in FAULTS, f"no mutant breaks the rule {name}"


@conforms(NumPy)
def test_the_reference_conforms(rule):
    rule()


@pytest.mark.parametrize(("rule", "cause"), [(rule, cause) for rule, causes in SUSPECTS.items() for cause in causes])
def test_a_suspect_is_caught_by_its_rule_and_named(rule, cause):
    outcome = check_rule(rule, SUSPECTS[rule][cause])
    assert outcome.status == "failed"
    assert cause in outcome.message
    assert "the reference" in outcome.message


@pytest.mark.parametrize(
    ("rule", "number"), [(rule, number) for rule, faults in FAULTS.items() for number in range(len(faults))]
)
def test_a_fault_is_caught_by_its_rule_and_explained(rule, number):
    mutant, message = FAULTS[rule][number]
    outcome = check_rule(rule, mutant)
    assert outcome.status == "failed"
    assert re.search(message, outcome.message), outcome.message


@pytest.mark.parametrize("name", ["bfloat16", "bfloat16_training"])
def test_the_reference_with_products_in_bfloat16_passes_the_rules_about_bfloat16(name):
    assert check_rule(name, Bfloat16).status == "passed"
    assert check_rule(name, NumPy)[1:] == ("declined", "numpy has no precision 'bfloat16'; it has float64")


def test_known_failures_and_unexpected_passes():
    broken = SUSPECTS["flatten"][next(iter(SUSPECTS["flatten"]))]
    known = wrap(broken, known_failures={"flatten": "NCHW", "dense": "already repaired"})
    assert check_rule("flatten", known)[1:] == ("known failure", "NCHW")
    assert check_rule("dense", known).status == "unexpected pass" and check_rule("dense", known).bad


def test_a_backend_may_decline_an_optional_rule_with_a_reason():
    def build(self, model, weights):
        raise Unsupported("no networks")

    outcome = check_rule("l1", wrap(NumPy, build=build))
    assert outcome[1:] == ("declined", "no networks")
    assert not outcome.bad
    assert check_rule("dense", wrap(NumPy, build=build)).status == "failed", "dense layers are not optional"


def test_numbers_that_are_not_finite_have_no_suspect():
    def forward(self, net, batches, *, upto="logits"):
        return NumPy.forward(self, net, batches, upto=upto) * np.nan

    outcome = check_rule("batch_norm", wrap(NumPy, forward=forward))
    assert outcome.status == "failed"
    assert "what you get from" not in outcome.message


def test_any_exception_of_a_backend_is_a_failure():
    outcome = check_rule("dense", wrap(NumPy, build=lambda self, model, weights: 1 / 0))
    assert outcome.status == "failed" and "ZeroDivisionError" in outcome.message


def test_check_yields_all_rules():
    assert [outcome.rule for outcome in check(NumPy)] == list(RULES)
