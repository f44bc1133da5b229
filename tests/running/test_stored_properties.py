"""Properties of stored runs, of configurations and of exports, tested with many inputs.

Whatever a file holds, reading it gives a result or one sentence; and whatever a result holds, every report can be written."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reports import CELL, REPORTERS, all_reports, ok, report
from runs import cell, finished, stored_run

from harness.errors import SamebenchError
from harness.plugins import load_plugins
from harness.result import Result
from harness.running.config import Settings, Source
from harness.running.store import RECORD, Store
from harness.storage.atomic import read_json
from harness.storage.sealed import read_sealed, write_json, write_sealed

settings.register_profile("samebench", derandomize=True, deadline=None, max_examples=80)
settings.load_profile("samebench")

PLUGINS = load_plugins()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | texts
plain = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
"""Values of JSON."""


@contextmanager
def stored(*results: Result) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        yield Store(stored_run(Path(folder) / "run", results))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all parts of a value."""
    if path:
        yield path
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    """A copy of a value with another part at this path; `...` removes the part."""
    found = copy.deepcopy(value)
    place = found
    for step in path[:-1]:
        place = place[step]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return found


def refusal(act: Callable[[], Any]) -> str | None:
    """The message if samebench refuses; None if it does not. Another exception is an error of the test."""
    try:
        act()
    except SamebenchError as error:
        return str(error)
    return None


# Stored runs


@given(
    st.dictionaries(texts, texts, max_size=3),
    st.lists(texts, max_size=3),
    st.lists(st.floats(0, 1e9), min_size=1, max_size=9),
    texts,
)
def test_a_stored_result_is_read_as_it_was(versions, warnings, speeds, reason):
    good = finished(cell(), versions=versions, warnings=warnings)
    good.time["images_per_s"] = speeds
    bad = Result(cell(seed=1), "failed", reason)
    with stored(good, bad) as store:
        assert [result.as_json() for result in store.results()] == [good.as_json(), bad.as_json()]


WHOLE = finished(cell(), settings={"threads": "2"}, memory={"peak_rss_bytes": 10**8}, warnings=["careful"]).as_json()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(places(WHOLE))), plain | st.just(...))
def test_a_result_with_any_other_part_is_refused_in_a_sentence_or_can_be_reported(path, value):
    with stored(finished(cell())) as store:
        write_sealed(store.cell_folder(cell()) / "result.json", changed(WHOLE, path, value))
        (result,) = store.results()
        assert result.status in ("ok", "invalid") or path[0] == "status"
        if result.status == "invalid" and path[0] != "status":
            assert "its stored result cannot be used: " in result.reason and "\n" not in result.reason
        assert all_reports(store)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), plain | st.just(...))
def test_a_record_with_any_other_part_is_refused_in_a_sentence_or_can_be_reported(data, value):
    with stored(finished(cell())) as store:
        record = read_json(store.folder / RECORD)
        path = data.draw(st.sampled_from(list(places(record))))
        write_json(store.folder / RECORD, changed(record, path, value))
        if said := refusal(lambda: all_reports(Store.open(store.folder))):
            assert str(store.folder) in said and len(said) < 2000


@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_a_result_with_any_other_bytes_is_invalid(junk, place):
    with stored(finished(cell())) as store:
        file = store.cell_folder(cell()) / "result.json"
        whole = file.read_bytes()
        cut = place % len(whole)
        file.write_bytes(whole[:cut] + junk + whole[cut + len(junk) :])
        if file.read_bytes() != whole:
            (result,) = store.results()
            assert result.status == "invalid" or read_sealed(file) == json.loads(whole)
        assert all_reports(store)


# Configurations

USUAL = Settings.of(PLUGINS, [])
PATHS = [
    "tasks", "backends", "modes", "model", "dataset", "weights", "seeds", "device", "precision", "semantics", "timeout",
    "segment_s", "threads", "memory_gb", "parity", "offline", "data.size", "data.steps", "data.train_limit",
    "scratch-cnn.epochs", "scratch-cnn.optimizer.lr", "scratch-cnn.optimizer.name", "adversarial.epsilon",
    "fine-tuning.batch_size", "python.pytorch", "no-such", "scratch-cnn.lrr", "data", "",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(PATHS), plain, max_size=4))
def test_any_configuration_is_refused_in_a_sentence_or_can_be_repeated_from_its_record(given_settings):
    source = Source("typed", given_settings)
    if said := refusal(lambda: Settings.of(PLUGINS, [source])):
        assert said.startswith("typed: ")
        return
    found = Settings.of(PLUGINS, [source])
    cells = [replace(CELL, task=task, backend="numpy") for task in PLUGINS.tasks]
    record = json.loads(json.dumps(found.as_record(cells)))
    again = Settings.of(PLUGINS, [Source("record", record, recorded=True)])
    assert again.as_record(cells) == found.as_record(cells)


# Exports


FORMS = ("table", "markdown", "evaluation", "csv", "json", "pytest-benchmark")
"""The formats that others read. tests/report/test_page.py has the page, and tests/reporters/test_exports.py has LaTeX."""


def in_reports(name: str) -> dict[str, str]:
    """Every report of a good and a failed cell with this name in all places that a stranger can choose."""
    of = replace(CELL, backend=f"{name or 'x'}.py", model=name, dataset=name, mode=name)
    good = ok(
        of, versions={name: name}, warnings=[name], evidence={"device": "cpu", "data_notes": [name], "notes": [name]}
    )
    bad = Result(replace(of, seed=1), "failed", name)
    return {form: REPORTERS[form](report(good, bad)) for form in FORMS}


@given(texts)
def test_any_name_keeps_every_export_well_formed(name):
    found = in_reports(name)
    rows = list(csv.reader(io.StringIO(found["csv"])))
    assert len(rows) == 3 and len({len(row) for row in rows}) == 1
    assert not [value for row in rows for value in row if value.startswith(("=", "+", "@", "＝", "\t", "\r"))]
    tables = [line for line in found["markdown"].splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables[:3]} == {tables[0].count("|")}
    assert json.loads(found["json"])["cells"][1]["reason"] == name
    assert json.loads(found["pytest-benchmark"])["benchmarks"]


@given(texts)
def test_no_name_acts_on_a_terminal(name):
    found = in_reports(name)
    for form in ("table", "markdown", "evaluation", "csv"):
        acting = {letter for letter in found[form] if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")}
        assert acting <= {"\n"}, form
