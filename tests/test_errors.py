"""Each error has a code. Codes are declared once, and each of them is used."""

from __future__ import annotations

import ast
import copy
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from messages import classes
from refusals import has, refused

import harness
from harness.errors import CODES, OutOfRange, SpecError, UsageError

ROOT = Path(harness.__file__).parents[1]
SOURCES = [file for folder in ("harness", "backends") for file in sorted((ROOT / folder).rglob("*.py"))]


def codes_in(tree: ast.AST) -> Iterator[str]:
    """The codes that a file gives to errors: arguments, defaults of arguments, and attributes of classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield from _results(node.value)
        elif isinstance(node, ast.arguments):
            for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                if argument.arg == "code" and default:
                    yield from _results(default)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                if isinstance(target, ast.Name) and target.id == "code" and line.value:
                    yield from _results(line.value)


def _results(value: ast.expr) -> Iterator[str]:
    """The strings that an expression may return."""
    if isinstance(value, ast.IfExp):
        yield from _results(value.body)
        yield from _results(value.orelse)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value


def test_every_code_is_declared_and_used():
    used = {code: file for file in SOURCES for code in codes_in(ast.parse(file.read_text()))}
    assert {code: file for code, file in used.items() if code not in CODES} == {}
    assert set(CODES) - set(used) == set()


def test_the_codes_of_a_file_are_found():
    text = "raise E('x', code='a' if y == 'no' else 'b')\nclass E: code = 'c'\ndef f(*, code='d'): ...\ncode = 'e'"
    assert sorted(codes_in(ast.parse(text))) == ["a", "b", "c", "d"]


def test_codes_are_words_with_hyphens_and_meanings_are_sentences():
    for code, meaning in CODES.items():
        assert all(word.isalpha() and word.islower() for word in code.split("-")), code
        assert meaning[0].isupper() and meaning.endswith("."), code


def test_an_error_has_the_code_of_its_class_or_its_own():
    assert UsageError("there is none").code == UsageError.code == "usage"
    assert UsageError("there is none", code="unknown-name").code == "unknown-name"
    assert all(kind.code in CODES for kind in classes()) and len(classes()) > 10


@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_a_copy_of_an_error_is_equal(copied):
    for kind in classes():
        error = kind("t", "lr", "is bad", code="not-finite") if kind is OutOfRange else kind("bad", code="not-finite")
        other = copied(error)
        assert (type(other), str(other), other.code, vars(other)) == (kind, str(error), "not-finite", vars(error))


def test_a_range_keeps_its_code_within_a_group():
    error = OutOfRange("Options", "lr", "is bad", code="not-finite").within("task.optimizer")
    assert str(error) == "task.optimizer.lr is bad" and error.code == "not-finite"


def test_the_helper_of_tests_fails_for_another_type_code_or_value():
    with refused(UsageError, "unknown-name", "lenet5"):
        raise UsageError("no model lenet6; did you mean lenet5?", code="unknown-name")
    for kind, code, value in ((UsageError, "usage", "lenet5"), (UsageError, "unknown-name", "lenet")):
        with pytest.raises(AssertionError), refused(kind, code, value):
            raise UsageError("no model lenet6; did you mean lenet5?", code="unknown-name")
    with pytest.raises(UsageError), refused(SpecError, "unknown-name"):
        raise UsageError("no model", code="unknown-name")
    with pytest.raises(pytest.fail.Exception), refused(UsageError, "unknown-name"):
        pass


@pytest.mark.parametrize("value", ["a.py", "/tmp/a.py", -1, 2, (3, 4), "'x'", "--out", "6.5"])
def test_a_value_is_a_whole_word_of_the_message(value):
    message = "/tmp/a.py: -1 of 2: (3, 4) 'x' --out 16.55 6.5"
    assert has(message, value) and not has("/tmp/aa.pyx -12 22 (3, 44) 'xx' --output 16.5 6.55", value)
