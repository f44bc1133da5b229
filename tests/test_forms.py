"""The forms of stored data: each wrong part is named in one sentence, with its path and what was expected."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields as struct_fields
from runs import HASH, certificate, finished
from runs import cell as made

from harness.forms import (
    NAMED,
    AnswerForm,
    AtLeast0,
    CaseForm,
    EqualCertificateForm,
    FinishedEvidenceForm,
    Number,
    Plain,
    ProvenanceForm,
    Share,
    answer_problems,
    case_problems,
    certificate_problems,
    has_form,
    is_plain,
    problems,
)
from harness.metric import Metric
from harness.result import Cell, CellForm, FinishedForm, Result, ResultForm, cell_of
from harness.running.doctor import FailedForm, WorksForm
from harness.running.store import RecordForm

settings.register_profile("samebench", derandomize=True, deadline=None, max_examples=80)
settings.load_profile("samebench")


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = [
    None,
    True,
    3,
    -1,
    1.5,
    10**400,
    "",
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"": {}},
    [None] * 100,
    deep(90),
    {"a": deep(90)},
]

FORMS = [
    AnswerForm, CaseForm, CellForm, EqualCertificateForm, FailedForm, FinishedEvidenceForm, FinishedForm,
    ProvenanceForm, RecordForm, ResultForm, WorksForm,
]  # fmt: skip

RECORD = {"schema": 1, "id": "x", "started": "x", "finished": None, "host": {}, "config": {}, "plan": []}
SCORES = {"KEY": {"accuracy": 1, "probability": 0.0}}
WORKS = {"reason": None, "modes": ["default"], "precisions": [], "device": "cpu", "versions": {}, "settings": {}}
EVIDENCE = {
    "device": "cpu", "weights": "w", "first_losses": [1, 0.5], "first_segment_loss": None, "notes": ["x"],
    "features": {"scale": 1, "sample": [[1.0, 2], [3, 4]]}, "own_ways": {"a": "b"}, "host": {"cores": 2},
    "start": dict.fromkeys(("name", "variant", "preprocessing", "source", "licence", "trained_on", "hash"), "x"),
}  # fmt: skip
GOOD: dict[Any, dict[str, Any]] = {
    AnswerForm: {"scores": SCORES, "beside": {"apart": {"largest": 1.0, "visible": 0}}, "code": "x"},
    CaseForm: {
        "files": {"KEY": HASH},
        "judges": {"numpy": {"scores": SCORES}},
        "apart": {"largest": 1, "visible": 0.5},
    },
    CellForm: {field.name: getattr(made(), field.name) for field in fields(Cell)},
    EqualCertificateForm: certificate(about={"versions": {"numpy": "2"}}),
    FailedForm: {"reason": "x"},
    FinishedEvidenceForm: EVIDENCE,
    FinishedForm: finished(made(), evidence=EVIDENCE).as_json(),
    ProvenanceForm: {"samebench": {"version": "1", "commit": "x", "changed": False}, "environment": {"A": "b"}},
    RecordForm: RECORD,
    ResultForm: Result(made(), "failed", "it broke").as_json(),
    WorksForm: WORKS,
}


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to each part of a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places_in(part, (*path, key)))]


def with_part(value: Any, place: tuple[Any, ...], part: Any) -> Any:
    if not place:
        return part
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[place[0]] = with_part(value[place[0]], place[1:], part)
    return copied


def path_of(place: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).removeprefix(".")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_wrong_part_of_a_file_is_named_with_its_path(form):
    """Each part of a good value is replaced by each hostile value in turn: the form accepts it, or names just this part."""
    good, refused = GOOD[form], 0
    assert not list(problems(good, form, "it"))
    for place in places_in(good):
        for value in HOSTILE:
            found = list(problems(with_part(good, place, value), form))
            refused += bool(found)
            for problem in found:
                start = path_of(place) or "it"
                assert problem.startswith((start, "it is ") if place else "") and "\n" not in problem, (place, value)
                assert len(problem) < 400 and (" is " in problem), problem
            assert bool(found) != has_form(with_part(good, place, value), form)
    assert refused > len(HOSTILE) // 2


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_missing_part_that_is_needed_is_named(form):
    good = GOOD[form]
    needed = [field.encode_name for field in struct_fields(form) if field.required]
    for name in needed:
        less = {key: value for key, value in good.items() if key != name}
        assert list(problems(less, form, "file")) == [f"file.{name} is missing"]
    assert len(list(problems({}, form))) == min(len(needed), NAMED)


def test_every_wrong_part_of_a_stored_metric_is_refused_in_one_sentence():
    good, refused = Metric("x", form="curve", over="y", parts=(("z", "share"),)).as_json(), 0
    for place in places_in(good):
        for value in HOSTILE:
            try:
                Metric.from_json(with_part(good, place, value), "metrics.mine[0]")
            except ValueError as error:
                refused += 1
                message = str(error)
                assert message.startswith("metrics.mine[0]") and "\n" not in message and len(message) < 400
    assert refused > 100


def test_a_key_of_a_later_version_is_allowed_except_in_a_result():
    for form in FORMS:
        found = list(problems(GOOD[form] | {"colour": 1}, form))
        assert found == (["colour is unknown"] if form in (ResultForm, FinishedForm) else []), form


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        (1.7, Share, "x is a share from 0 to 1, not 1.7"),
        (-0.1, AtLeast0, "x is a number of at least 0, not -0.1"),
        (float("nan"), Number, "x is a number, not nan"),
        (float("inf"), Number, "x is a number, not inf"),
        (10**400, Number, f"x is a number, not {'1' + '0' * 17}...{'0' * 19}"),
        (True, int, "x is a whole number, not True"),
        (True, float, "x is a number, not True"),
        ("1", int, "x is a whole number, not '1'"),
        ("c", Literal["a", "b"], "x is one of a, b, not 'c'"),
        (3, str | None, "x is a text or null, not 3"),
        ({"a": [1, "b"]}, dict[str, list[int]], "x.a[1] is a whole number, not 'b'"),
        (["a"], list[tuple[str, str]], "x[0] is a list of 2 values, not 'a'"),
        ([["a", 1]], list[tuple[str, str]], "x[0][1] is a text, not 1"),
        ({}, list[int] | None, "x is a list or null, not {}"),
        ([3, "a"], list[int] | None, "x[1] is a whole number, not 'a'"),
    ],
)
def test_a_problem_says_what_was_expected(value, form, said):
    assert list(problems(value, form, "x")) == [said]


def test_the_forms_of_a_cell_and_a_result_have_the_fields_of_their_classes():
    cell, result = ({field.name for field in fields(kind)} for kind in (Cell, Result))
    assert {field.encode_name for field in struct_fields(CellForm)} == cell
    for form in (ResultForm, FinishedForm):
        assert {field.encode_name for field in struct_fields(form)} == cell | result - {"cell"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (certificate(verdict="fine"), "certificate.verdict starts with one of differs, not-checked, equal, not 'fine'"),
        (certificate(verdict="equal", logits="nan"), "certificate.logits is a number or null, not 'nan'"),
        (
            certificate(verdict="differs: x", logits="small"),
            "certificate.logits is one of nan, inf, -inf or a number or null",
        ),
        (certificate(timed={"logits": 1e-7}), "certificate.timed.losses is missing"),
        (deep(50), "certificate is an object"),
    ],
)
def test_a_wrong_certificate_is_refused(data, said):
    assert next(certificate_problems(data)).startswith(said)


@pytest.mark.parametrize("verdict", ["differs: x", "not-checked", "not-checked: x"])
def test_a_certificate_that_is_not_equal_may_have_words_for_numbers(verdict):
    assert not list(
        certificate_problems(certificate(verdict=verdict, logits="nan", attack="-inf", timed={"losses": "inf"}))
    )


def test_an_answer_has_a_problem_or_a_score_for_each_cell():
    assert not list(answer_problems({"scores": SCORES}, ["KEY"])) and not list(
        answer_problems({"problem": "x"}, ["KEY"])
    )
    assert list(answer_problems({}, [])) == ["its answer.scores is missing"]
    assert list(answer_problems({"scores": SCORES}, ["KEY", "OTHER"])) == ["its answer.scores.OTHER is missing"]
    case = {"files": {"OTHER": HASH}, "judges": {"numpy": {"scores": SCORES}}}
    assert list(case_problems(case)) == ["judgement.judges.numpy.scores.OTHER is missing"]


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(1 - 2**63, 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | st.text() | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(plain)
def test_plain_data_is_recognised(value):
    assert is_plain(value) == has_form(value, Plain)
    assert is_plain(value) or len(str(value)) > 14, "only data with many levels is not"
    for odd in (float("nan"), float("inf"), 2**63, -(2**63), object()):
        assert not is_plain([value, odd]) and not is_plain({"a": odd})


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**63, -(10**400)])
def test_an_option_that_no_file_can_store_is_refused_with_its_path(value):
    data = GOOD[CellForm]
    with pytest.raises(ValueError, match=r"options.lr\[1\] must be"):
        cell_of(data | {"options": {"lr": [1, value]}})
