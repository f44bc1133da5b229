"""Charts: the scales of their axes, the charts that a report has, and their drawings."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import CELL, NASTY, Kept, attacked, certified, ok, report

from harness.report.charts.of_report import charts_of_experiment, charts_of_run, labels, who_of
from harness.report.charts.scales import mark_text, scale_of
from harness.report.charts.svg import COLOURS, SHAPES, as_file, draw, palette_of
from harness.report.charts.values import (
    Axis,
    Chart,
    Dot,
    Interval,
    Lines,
    Matrix,
    Point,
    Series,
    Stacked,
    Strip,
    StripRow,
)
from harness.report.summary import Report
from harness.report.text.results import report_experiments
from harness.result import Result

settings.register_profile("samebench", derandomize=True, deadline=None, max_examples=80)
settings.load_profile("samebench")


# Scales


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=8))
def test_a_scale_shows_every_value_between_its_ends_and_in_its_order(values):
    scale = scale_of(Axis("x"), values)
    little = 1e-6 * (scale.high - scale.low)
    assert scale.low - little <= min(values) and max(values) <= scale.high + little and 2 <= len(scale.marks) <= 12
    places = [scale.place(value, 10.0, 90.0) for value in sorted(values)]
    assert places == sorted(places) and all(10.0 <= place <= 90.0 for place in places)


@given(st.lists(st.floats(1e-18, 1e12), min_size=1, max_size=8))
def test_a_scale_of_logarithms_shows_every_value_between_its_ends(values):
    scale = scale_of(Axis("x", log=True), values)
    assert scale.low <= min(values) * (1 + 1e-9) and max(values) <= scale.high * (1 + 1e-9)
    assert 1 <= len(scale.marks) <= 14 and all(mark > 0 for mark in scale.marks)


def test_a_scale_shows_what_it_must_hold_and_its_limit():
    scale = scale_of(Axis("x", holds=(0.0,), limit=50.0), [20.0])
    assert scale.low == 0.0 and scale.high >= 50.0
    assert scale_of(Axis("x", log=True), [0.0, math.inf]).marks, "there may be no value that can be shown"


@pytest.mark.parametrize(
    ("value", "format", "text"),
    [
        (0.985, "share", "98.5%"), (20_000, "rate", "20k"), (2_500, "rate", "2500"), (3e6, "count", "3M"), (0.05, "size", "0.05"),
        (1e-9, "number", "1e-9"), (0, "number", "0"), (-0.02, "difference", "-2%"),
    ],
)  # fmt: skip
def test_a_mark_is_short(value, format, text):
    assert mark_text(value, Axis("x", format)) == text


# Charts of a report

CURVE = [{"epoch": n, "train_accuracy": 0.5 + n / 10, "train_loss": 1 - n / 10, "training_loss": 1.0} for n in range(4)]


def trained(backend: str, seed: int, speed: float = 100.0, **changes) -> Result:
    time = {
        "import_s": 1.0, "build_s": 0.1, "first_step_s": 0.5, "train_s": 2.0, "total_s": 4.0, "rate": "training images",
        "images_per_s": [speed] * 5,
    }  # fmt: skip
    metrics = {"test_accuracy": 0.9 + seed / 100, "curve": CURVE, "confusion": [[4, 1], [0, 5]], "per_class": [
        {"class": name, "precision": 1.0, "recall": 1.0, "f1": 1.0, "count": 5} for name in ("cat", "dog")
    ]}  # fmt: skip
    memory = {"peak_rss_bytes": 300 * 2**20, "peak_device_bytes": None}
    cell = replace(CELL, backend=backend, seed=seed, options={"epochs": 1, "batch_size": 32})
    return ok(cell, time=time, metrics=metrics, memory=memory, parity=certified(), **changes)


def charts(found: Report) -> dict[str, Chart]:
    every = [chart for rows in report_experiments(found).values() for chart in charts_of_experiment(found, rows)]
    return {chart.name: chart for chart in (*every, *charts_of_run(found))}


TWO = [trained(backend, seed, speed + seed) for backend, speed in (("a", 100.0), ("b", 200.0)) for seed in range(6)]


def test_a_training_has_charts_of_its_speed_time_memory_curves_and_confusions():
    found = charts(report(*TWO))
    assert {
        "speed",
        "result-by-time",
        "phases",
        "memory",
        "cost",
        "curve-share",
        "curve-loss",
        "deviations",
    } <= found.keys()
    assert {"confusion-a", "confusion-b"} <= found.keys()
    speed = found["speed"]
    assert [row.label for row in speed.rows] == ["a", "b"] and [len(row.dots) for row in speed.rows] == [6, 6]
    assert speed.rows[0].mean.low < 102.5 < speed.rows[0].mean.high and "seed 3: 103/s" in speed.rows[0].dots[3].text
    assert found["phases"].bars[0][2]["train"] == 2.0 and sum(found["phases"].bars[0][2].values()) == pytest.approx(3.6)
    assert found["confusion-a"].counts == [[24, 6], [0, 30]], "the sum over the seeds"
    assert {series.who for series in found["curve-share"].series} == {"a", "b"}


def test_an_attack_has_a_chart_of_its_accuracy_by_epsilon():
    found = charts(report(attacked("one"), attacked("two", robust=0.4)))
    (chart,) = [chart for name, chart in found.items() if name.startswith("robust_accuracy")]
    assert [(p.x, p.y) for p in chart.series[1].points] == [(0.0, 0.9), (0.1, 0.4)]
    assert "cost" not in found, "an attack has no steps of training"


def test_the_number_of_training_pictures_has_a_chart_if_it_varies():
    results = [
        ok(replace(CELL, options={"train_limit": count}, seed=seed), metrics={"test_accuracy": count / 1000})
        for count in (100, 200, 400) for seed in range(3)
    ]  # fmt: skip
    chart = charts(report(*results))["by-pictures"]
    assert [(p.x, round(p.y, 9)) for p in chart.series[0].points] == [(100, 0.1), (200, 0.2), (400, 0.4)]


def test_failed_cells_have_no_charts():
    assert charts(report(Result(CELL, "failed", "it broke"))) == {} == charts(report())


def test_disturbed_speeds_are_marked_in_the_chart():
    busy = trained("a", 0, evidence={"device": "cpu", "disturbed": "others were busy"})
    (row,) = charts(report(busy))["speed"].rows
    assert row.label == "a (disturbed)" and "others were busy" in row.dots[0].text and row.mean.low is None


def test_a_mode_and_what_tells_rows_apart_are_in_the_label():
    compiled = trained("a", 0)
    compiled = replace(compiled, cell=replace(compiled.cell, mode="compiled"))
    found = report(trained("a", 0), compiled)
    assert labels(found.summary) == ["a/default", "a/compiled"] and [who_of(r) for r in found.summary] == [
        "a",
        "a/compiled",
    ]


# Drawings

AXIS = Axis("images per second", "rate", better="higher", holds=(0.0,))
CHARTS: list[Chart] = [
    Strip("s", "Speed", AXIS, [StripRow("a", "a", [Dot(1.0, "one"), Dot(3.0, "two")], Interval(2.0, 1.0, 3.0), "mean")]),
    Strip("d", "Deviation", Axis("size", log=True, limit=1e-9), [StripRow("b", "b: logits", [Dot(1e-12, "tiny")])]),
    Lines("l", "Lines", Axis("x"), Axis("y", "share"), [
        Series("a", "a", [Point(0, 0.5, "first"), Point(1, 0.7, "second", Interval(0.7, 0.6, 0.8))]),
        Series("b", "b", [Point(0.5, 0.4, "third")], "points"), Series("b", "b, test", [Point(0, 0.1, "x"), Point(1, 0.2, "y")], "dashed"),
    ]),
    Stacked("t", "Time", Axis("seconds", "size"), [("a", "a", {"train": 2.0, "eval": 1.0}), ("b", "b", {"train": 1.0})]),
    Matrix("m", "Confusion", "a", ["cat", "dog"], [[4, 1], [0, 5]]),
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_drawing_is_a_picture_with_a_name_whose_marks_have_texts(chart):
    palette = palette_of(["a", "b"])
    root = ET.fromstring(draw(chart, palette))
    assert root.tag == "svg" and root.get("role") == "img" and root.get("aria-label") == chart.title
    marks = [part for part in root.iter() if "mark" in (part.get("class") or "").split()]
    assert marks and all(mark.get("data-text") for mark in marks)
    assert not re.search(r'[="\s(](?:nan|inf)[\s,")]', draw(chart, palette))
    width, height = map(float, root.get("viewBox").split()[2:])
    for mark in marks:
        for name, most in (("x", width), ("y", height)):
            assert 0 <= float(mark.get(name, 0)) <= most


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_file_has_its_own_background_title_and_caption(chart):
    text = as_file(chart, palette_of(["a", "b"]), "digits, torch 2.13, on a machine")
    root = ET.fromstring(text)
    said = [part.text for part in root.iter(f"{SVG}text")]
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}rect").get("class") == "paper"
    assert chart.title in said and "digits, torch 2.13, on a machine" in said
    assert "http://www.w3.org/2000/svg" in text and text.count("://") == 1, "nothing is loaded from elsewhere"


@pytest.mark.parametrize("nasty", [*NASTY, "</svg><script>alert(1)</script>", '" onload="alert(1)'], ids=ascii)
def test_names_are_text_in_a_drawing(nasty):
    chart = Strip("s", nasty, Axis(nasty), [StripRow(nasty, nasty, [Dot(1.0, nasty)], Interval(1.0), nasty)])
    root = ET.fromstring(as_file(chart, palette_of([nasty]), nasty))
    assert {part.tag.removeprefix(SVG) for part in root.iter()} <= {
        "svg",
        "style",
        "rect",
        "text",
        "title",
        "g",
        "path",
    }
    assert not [name for part in root.iter() for name in part.attrib if name.startswith("on")]


def test_every_backend_keeps_its_colour_and_its_shape():
    palette = palette_of(["a", "b", "a", "c"])
    assert palette == {"a": 0, "b": 1, "c": 2} and len(SHAPES) == COLOURS
    assert palette_of([str(n) for n in range(20)])["19"] < COLOURS


def test_the_charts_of_a_thousand_cells_stay_small():
    results = [trained(backend, seed, 100.0 + seed % 7) for backend in "abcde" for seed in range(200)]
    found = Report.of(Kept(results))
    drawn = [draw(chart, palette_of(list("abcde"))) for chart in charts(found).values()]
    assert sum(map(len, drawn)) < 1_500_000
