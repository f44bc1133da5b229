"""The report as a page: what it shows, what a browser may do with it, and that names in it are inert.

tests/browser/ looks at it in a real browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from reports import CELL, DIFFERS, NASTY, Kept, attacked, certified, judged, kept_pictures, measured, report

from harness.report.page import html_page, pictures_page
from harness.report.page.baselines import ratios_of
from harness.report.page.markup import Column, Line, Markup, element, sort_value, table, text
from harness.report.page.repeat import settings
from harness.report.summary import Report
from harness.report.text.results import report_experiments
from harness.result import Result

HTML = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "javascript:alert(1)",
    "<!--",
    "]]>",
]


SIX = [measured(name, seed, speed + seed % 3) for name, speed in (("a", 100.0), ("b", 200.0)) for seed in range(6)]


class Page(HTMLParser):
    """The tags of a page with their attributes, and its texts by the identifier of their section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._quiet = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._quiet = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._quiet = False

    def handle_data(self, data):
        if not self._quiet:
            self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def packed(page: str) -> list[dict]:
    blocks = re.findall(r'<script type="application/octet-stream" class="data" data-run="\d+">([^<]*)</script>', page)
    return [json.loads(gzip.decompress(base64.b64decode(block))) for block in blocks]


# What it shows


def test_the_answer_stands_above_one_table_and_everything_else():
    page = html_page(report(*SIX))
    said = Page(page).said
    assert (
        said.index("Both backends computed the same; b was the fastest.")
        < said.index("test accuracy")
        < said.index("Where the time of a cell goes")
    )
    for part in (
        "90.00%",
        "yes",
        "300 MiB",
        "Sameness",
        "All 12 cells",
        "samebench run experiment.toml",
    ):
        assert part in said, part


def test_sections_without_contents_are_left_out_and_no_section_is_empty():
    sections = {attributes["id"] for attributes in Page(html_page(report(*SIX))).of("section")}
    assert sections == {"results", "experiments", "x0", "sameness", "cells", "repeat"}
    assert {a["id"] for a in Page(html_page(report())).of("section")} == {"results", "repeat"}
    links = [a["href"] for a in Page(html_page(report(*SIX))).of("a") if a["href"].startswith("#")]
    assert {link.removeprefix("#") for link in links} <= sections


@pytest.mark.parametrize(
    "results",
    [
        [], [measured()], [Result(CELL, "failed", "it broke")], [measured(), Result(replace(CELL, seed=1), "crashed", "SIGSEGV")],
        [Result(replace(CELL, seed=n), "interrupted", "not finished") for n in range(3)], [measured(parity=certified(DIFFERS))],
    ],
)  # fmt: skip
def test_every_run_has_a_page(results):
    said = Page(html_page(report(*results))).said
    for result in results:
        assert result.status == "ok" or (f"{result.status}" in said and str(result.reason) in said)


def test_a_failed_cell_has_its_reason_and_its_log():
    page = html_page(report(measured(), Result(replace(CELL, seed=1), "crashed", "SIGSEGV; its log ends: oh")))
    assert "1 of 2 cells are not ok" in Page(page).said and "SIGSEGV; its log ends: oh" in Page(page).said
    (data,) = packed(page)
    assert list(data["logs"]) == ["1", "0"], "logs of failed cells come first"
    assert data["logs"]["1"].startswith("the log of scratch-cnn")


def test_the_stored_cells_are_in_the_page():
    found = report(*SIX)
    (data,) = packed(html_page(found))
    assert data["report"] == json.loads(json.dumps(found.as_json()))


def test_several_runs_are_on_one_page_with_places_of_their_own():
    page = html_page(report(*SIX), report(*SIX[:2]))
    identifiers = [a["id"] for _, a in Page(page).tags if a.get("id")]
    assert len(identifiers) == len({*identifiers}) and {"r0-results", "r1-results", "r1-x0"} <= {*identifiers}
    assert len(packed(page)) == 2


def test_a_long_log_is_cut_to_its_end(monkeypatch):
    monkeypatch.setattr(Kept, "log", lambda self, result: "x" * 10**6 + "the end")
    (data,) = packed(html_page(report(*SIX)))
    assert all(len(log) <= 16 * 1024 and log.endswith("the end") for log in data["logs"].values())


def test_a_usual_run_is_small_and_a_thousand_cells_are_quick():
    assert len(html_page(report(*SIX))) < 150_000
    many = [measured(name, seed, 100.0 + seed % 7) for name in "abcde" for seed in range(200)]
    found, start = report(*many), time.process_time()
    page = html_page(found)
    assert time.process_time() - start < 6 and len(page) < 2_500_000


# Baselines


def test_every_number_has_a_ratio_to_every_baseline():
    found = report(*SIX)
    (ratios,) = ratios_of(found, report_experiments(found))
    assert ratios["a"]["b"]["images_per_s"][1] == "faster" and ratios["b"]["a"]["images_per_s"][1] == "slower"
    assert ratios["a"]["b"]["images_per_s"][0].startswith("1.99×")
    assert ratios["a"]["b"]["test_accuracy"][:2] == ("+0.00 (+0.00 to +0.00)", "equivalent")
    assert ratios["a"]["a"] == {}


def test_a_longer_first_step_is_not_called_faster():
    slow = [
        replace(r, time=r.time | {"first_step_s": 2.0 + r.cell.seed / 100}) if r.cell.backend == "b" else r for r in SIX
    ]
    slow = [
        replace(r, time=r.time | {"first_step_s": 0.5 + r.cell.seed / 90}) if r.cell.backend == "a" else r for r in slow
    ]
    found = report(*slow)
    (ratios,) = ratios_of(found, report_experiments(found))
    assert ratios["a"]["b"]["first_step_s"][1] == "longer" and ratios["b"]["a"]["first_step_s"][1] == "shorter"


def test_too_few_seeds_are_undecided():
    found = report(*[result for result in SIX if result.cell.seed < 3])
    (ratios,) = ratios_of(found, report_experiments(found))
    said = ratios["a"]["b"]["images_per_s"]
    assert said[1] == "undecided" and "at least 6 are needed" in said[2]


def test_one_backend_has_nothing_to_be_compared_with():
    found = report(*SIX[:6])
    assert ratios_of(found, report_experiments(found)) == [{}]


# Pictures


def pictured(*results: Result) -> Report:
    return report(*results, judged=judged(results), pictures={r.cell.key: kept_pictures() for r in results})


def test_pictures_have_their_classes_and_probabilities():
    page = Page(pictures_page(pictured(attacked("one"), attacked("two"))))
    assert len(page.of("img")) == 3 * (1 + 2 * 2) and all(a["alt"] for a in page.of("img"))
    assert "two: adversarial" in page.said and "a, 60.0%" in page.said and "robust accuracy" in page.said
    assert "Pictures of seed 0" in Page(html_page(pictured(attacked("one")))).said


# Safety


def policy_of(page: str) -> dict[str, str]:
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found and found.start() < page.index("<style"), "it counts for what follows it"
    return dict(rule.split(maxsplit=1) for rule in found[1].split("; "))


def hashed(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


@pytest.mark.parametrize(
    "page", [html_page(report(*SIX)), pictures_page(pictured(attacked()))], ids=["report", "pictures"]
)
def test_a_browser_runs_only_the_own_script_and_fetches_nothing(page):
    rules = policy_of(page)
    styles, scripts = (
        re.findall("<style[^>]*>(.*?)</style>", page, re.DOTALL),
        re.findall("<script>(.*?)</script>", page, re.DOTALL),
    )
    assert rules == {
        "default-src": "'none'", "style-src": " ".join(map(hashed, styles)), "script-src": hashed(scripts[0]), "img-src": "data:",
        "connect-src": "'none'", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert len(scripts) == 1 and " style=" not in page
    assert not [
        value
        for _, a in Page(page).tags
        for name, value in a.items()
        if name.startswith("on") or "://" in (value or "")
    ]
    assert {a["src"].partition(":")[0] for a in Page(page).of("img")} <= {"data"}


def test_a_live_page_may_ask_its_own_server_only():
    assert policy_of(html_page(report(*SIX), live="abc"))["connect-src"] == "'self'"
    assert "data-live" in html_page(report(*SIX), live="abc").partition(">")[2][:60]


def tags_of(name: str) -> list[tuple[str, list[str]]]:
    """The tags of a page in which everything that a stranger can choose has this name."""
    cell = replace(CELL, backend=name, model=name, dataset=name, mode=name)
    good = measured(cell={"backend": name, "model": name, "dataset": name, "mode": name}, versions={name: name}, warnings=[name],
                evidence={"device": name, "data_notes": [name], "host": {"processor": name}})  # fmt: skip
    pictures = replace(attacked(), cell=replace(attacked().cell, backend=name, model=name))
    found = report(
        good,
        Result(replace(cell, seed=1), "failed", name),
        pictures,
        pictures={pictures.cell.key: kept_pictures((name, f"{name}2"))},
    )
    found.run["id"] = name
    return [(tag, sorted(attributes)) for tag, attributes in Page(html_page(found)).tags]


DRAWN = ("g", "path", "rect", "text")
"""Elements of charts. Their number depends on the lengths of labels."""

DRAWN_BY = {"class", "d", "data-text", "data-who", "fill-opacity", "height", "transform", "width", "x", "y"}


@pytest.mark.parametrize("name", [*NASTY, *HTML], ids=ascii)
def test_names_are_inert(name):
    found, plain = tags_of(name), tags_of("plain")
    assert {tag for tag, _ in found} == {tag for tag, _ in plain}
    assert [tag for tag in found if tag[0] not in DRAWN] == [tag for tag in plain if tag[0] not in DRAWN]
    assert {attribute for tag, attributes in found if tag in DRAWN for attribute in attributes} <= DRAWN_BY


def test_no_text_ends_the_block_of_data():
    found = report(*[replace(r, warnings=["</script><b>"]) for r in SIX])
    page = html_page(found)
    assert page.count("</script>") == len(Page(page).of("script"))
    assert packed(page)[0]["report"]["cells"][0]["warnings"] == ["</script><b>"]


# Elements


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("98.24% (97.73 to 98.75)", 98.24), ("23,454 (n = 3)", 23454.0), ("1.5 min", 90.0), ("2.0 h", 7200.0), ("10 GiB", 10240.0),
        ("-3e-09", -3e-9), ("100*", 100.0), ("-", None), ("yes", None), ("", None), ("0.02 s", 0.02),
    ],
)  # fmt: skip
def test_a_text_is_sorted_by_its_number(said, value):
    assert sort_value(said) == value


def test_texts_are_escaped_and_markup_is_not():
    assert text("<b>&") == "&lt;b&gt;&amp;" and text(Markup("<b>")) == "<b>"
    assert element("a", "x<", href='"') == '<a href="&quot;">x&lt;</a>'
    found = table(
        [Column("name"), Column("speed", "higher", "images_per_s")],
        [Line(["<i>", "1,200 (n = 1)"], "who")],
        "t",
        "Caption",
    )
    assert (
        'data-v="1200" data-m="images_per_s"' in found and "&lt;i&gt;" in found and 'title="higher is better"' in found
    )


def test_the_settings_are_toml():
    import tomllib

    said = settings(
        {"tasks": ["a"], "seeds": 3, "model": None, "parity": True, "data.size": 64, "scratch-cnn.optimizer.lr": 0.1,
         "python./a b.py": "/usr/bin/python3", "dataset": 'folder:"x"', "data_dir": "/home/me"}
    )  # fmt: skip
    assert tomllib.loads(said) == {
        "tasks": ["a"], "seeds": 3, "parity": True, "data": {"size": 64}, "scratch-cnn": {"optimizer": {"lr": 0.1}},
        "python": {"/a b.py": "/usr/bin/python3"}, "dataset": 'folder:"x"',
    }  # fmt: skip
