"""Exports are read back by the programs that they are for: data frames, Parquet, LaTeX, Markdown, SVG."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import needed
import pytest
from reports import CELL, DIFFERS, NASTY, REPORTERS, Kept, attacked, certified, ok, report

from harness.errors import Unavailable, UsageError
from harness.report.flat import long_rows, wide_rows
from harness.report.loaded import Run
from harness.result import Result
from harness.text import printable

TIME = {
    "first_step_s": 0.5, "train_s": 1.0, "total_s": 3.0, "rate": "training images", "images_per_s": [100.0, 110.0, 300.0],
}  # fmt: skip


def done(backend: str = "a", seed: int = 0, **changes) -> Result:
    metrics = {"test_accuracy": 0.9 + seed / 100, "confusion": [[4, 1], [0, 5]], "per_class": [
        {"class": name, "precision": 1.0, "recall": 0.5, "f1": 0.7, "count": 5} for name in ("cat", "dog")
    ], "curve": [{"epoch": 1.0, "training_loss": 0.5, "train_loss": 0.4, "train_accuracy": 0.8}]}  # fmt: skip
    cell = replace(CELL, **({"backend": backend, "seed": seed} | changes.pop("cell", {})))
    return ok(cell, **{"metrics": metrics, "time": TIME, "parity": certified()} | changes)


SIX = [done(name, seed) for name in "ab" for seed in range(3)]
FAILED = Result(replace(CELL, seed=9), "failed", 'it broke, "badly"; a|b\nand more')


# Rows


def test_a_wide_row_has_one_value_for_each_number():
    first, *_, last = wide_rows(report(*SIX, FAILED))
    assert (
        first["time.images_per_s"] == 110.0
        and first["metrics.test_accuracy"] == 0.9
        and first["parity.verdict"] == "equal"
    )
    assert first["row"] == 1 and first["row.test_accuracy.mean"] == pytest.approx(0.91) and first["options.epochs"] == 1
    assert last["status"] == "failed" and last["reason"] == FAILED.reason
    assert not [value for value in first.values() if isinstance(value, list | dict)]


def test_a_long_row_is_one_number_with_its_place():
    rows = {(row["name"], row["over"], row["place"]): row["value"] for row in long_rows(report(SIX[0]))}
    assert rows["metrics.test_accuracy", None, None] == 0.9 and rows["time.train_s", None, None] == 1.0
    assert rows["metrics.curve.train_accuracy", "epoch", "1.0"] == 0.8
    assert (
        rows["metrics.per_class.recall", "class", "dog"] == 0.5
        and rows["metrics.confusion", "truth 0, prediction", "1"] == 1.0
    )
    assert [rows["time.images_per_s", "segment", str(n)] for n in range(3)] == [100.0, 110.0, 300.0]


def test_both_forms_of_csv_have_the_same_numbers():
    found = report(*SIX)
    wide = list(csv.DictReader(io.StringIO(REPORTERS["csv"](found))))
    long = list(csv.DictReader(io.StringIO(REPORTERS["csv-long"](found))))
    for row in wide:
        (same,) = [
            one for one in long
            if (one["backend"], one["seed"], one["name"]) == (row["shown"], row["seed"], "metrics.test_accuracy")
        ]  # fmt: skip
        assert float(same["value"]) == float(row["metrics.test_accuracy"])


# Data frames and Parquet


def test_a_data_frame_has_the_cells():
    needed.package("pandas")
    run = Run(Kept([*SIX, FAILED]), Path("runs/mine"))
    wide, long = run.to_pandas(), run.to_pandas("long")
    assert wide.shape[0] == 7 and wide[wide.status == "ok"].groupby("shown")["metrics.test_accuracy"].mean().round(
        9
    ).to_dict() == {
        "a": 0.91,
        "b": 0.91,
    }
    assert (long[long.name == "metrics.test_accuracy"].value == wide["metrics.test_accuracy"].dropna().to_numpy()).all()
    with pytest.raises(UsageError, match="choose wide or long"):
        run.to_pandas("broad")


def test_parquet_keeps_types_and_values():
    needed.package("pyarrow")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(REPORTERS["parquet"](report(*SIX, FAILED))))
    columns = {field.name: str(field.type) for field in table.schema}
    assert (columns["seed"], columns["metrics.test_accuracy"], columns["status"]) == ("int64", "double", "string")
    rows = table.to_pylist()
    assert [row["metrics.test_accuracy"] for row in rows[:3]] == [0.9, 0.91, 0.92] and rows[-1][
        "reason"
    ] == FAILED.reason
    assert rows[-1]["metrics.test_accuracy"] is None


@pytest.mark.parametrize("results", [[], [FAILED], [done(), done("b", cell={"options": {"epochs": "many"}})]])
def test_parquet_can_hold_every_run(results):
    needed.package("pyarrow")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(REPORTERS["parquet"](report(*results))))
    assert table.num_rows == len(results)


# LaTeX


def pdf_text(latex: str, folder: Path) -> str:
    """The text of the PDF that pdflatex makes of these tables."""
    compiler = needed.program("pdflatex")
    document = (
        "\\documentclass{article}\\usepackage[expansion=false]{microtype}\\DisableLigatures{encoding=*, family=*}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\usepackage{graphicx}"
        "\\maxdeadcycles=1000 \\extrafloats{200}\\begin{document}\n"
        f"{latex}\n\\end{{document}}\n"
    )
    (folder / "tables.tex").write_text(document)
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "tables.tex"], cwd=folder, capture_output=True, text=True, timeout=120,
        errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:]
    return subprocess.run(
        [needed.program("pdftotext"), "-layout", "tables.pdf", "-"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_latex_prints_the_numbers(tmp_path):
    said = " ".join(
        pdf_text(REPORTERS["latex"](report(*SIX, done("c", 0, parity=certified(DIFFERS)))), tmp_path).split()
    )
    assert "91.00%" in said and "(88.52 to 93.48)" in said and "scratch-cnn: two-block-cnn on digits" in said
    assert "differs" in said and "equal" in said


NAMES = [
    *NASTY,
    "50% & more_of #1 {x} \\textbf{y} ^~",
    "한국어 and Łódź é",
    "\\input{/etc/passwd}",
    "--- ?` ``x''",
    "$\\sqrt{2}$",
]


def test_hostile_names_are_text_in_latex(tmp_path):
    results = [
        done(cell={"backend": f"n{number}", "model": name, "dataset": name}) for number, name in enumerate(NAMES)
    ]
    said = pdf_text(REPORTERS["latex"](report(*results)), tmp_path)
    plain = re.sub(r"\s+", "", said)
    for name in ("50%&more_of#1{x}\\textbf{y}^~", "\\input{/etc/passwd}", "<script>alert(1)</script>", "[U+D55C]"):
        assert re.sub(r"\s+", "", name) in plain, name
    assert "root:" not in said


# Markdown


class Cells(HTMLParser):
    """The texts of the cells of all tables of a page, row by row, and the tags that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._within = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._within = tag in ("td", "th") or (self._within and tag not in ("tr", "table", "p", "li"))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._within = self._within and tag not in ("td", "th")

    def handle_data(self, data):
        if self._within:
            self.rows[-1][-1] += data


def parsed(markdown: str) -> Cells:
    """What a parser of Markdown, with the tables and links of GitHub, makes of a text."""
    needed.package("markdown_it", "linkify_it")
    from markdown_it import MarkdownIt

    return Cells(MarkdownIt("gfm-like").render(markdown))


def test_markdown_has_the_means_of_the_cells():
    found = report(*SIX)
    heads, *rows = parsed(REPORTERS["markdown"](found)).rows[:3]
    means = {row["backend"]: f"{row['test_accuracy']['mean']:.2%}" for row in found.summary}
    assert (
        {row[0]: row[heads.index("test accuracy")].split()[0] for row in rows}
        == means
        == {"a": "91.00%", "b": "91.00%"}
    )


def test_hostile_names_are_text_in_markdown():
    names = [name for name in NASTY if name.strip()]
    cells = parsed(REPORTERS["markdown"](report(*(done(cell={"backend": name}) for name in names))))
    shown = {row[0] for row in cells.rows}
    assert {" ".join(printable(name).split()) for name in names} <= shown
    assert not cells.tags & {"script", "a", "img", "b", "input"}


# Figures


def test_figures_are_files_with_the_experiment_in_them():
    found = REPORTERS["svg"](report(*SIX))
    assert "scratch-cnn-speed.svg" in found and "deviations.svg" in found
    said = " ".join(
        part.text or ""
        for part in ET.fromstring(found["scratch-cnn-speed.svg"].decode()).iter("{http://www.w3.org/2000/svg}text")
    )
    assert "two-block-cnn on digits" in said and "numpy 2.0" in said


def test_figures_are_pictures_too():
    needed.package("matplotlib")
    from PIL import Image

    found = REPORTERS["png"](report(*SIX, *map(attacked, ("one", "two"))))
    sizes = [Image.open(io.BytesIO(data)).size for data in found.values()]
    assert len(sizes) >= 8 and all(width > 500 and height > 150 for width, height in sizes)


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_hostile_names_are_text_in_plots(name):
    needed.package("matplotlib")
    run = Run(Kept([done(cell={"backend": name}), done("b")]), Path("runs/mine"))
    assert run.plot.speed() and run.plot.phases()


def test_plots_are_found_by_their_names():
    needed.package("matplotlib")
    plots = Run(Kept([*SIX, attacked("one")]), Path("runs/mine")).plot
    assert {"speed", "phases", "deviations"} <= {*plots.names()}
    assert plots.speed() is not plots.speed(1)
    with pytest.raises(UsageError, match="did you mean 'speed'"):
        plots.chart("sped")
    with pytest.raises(UsageError, match="from 0 to 1"):
        plots.speed(2)


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    for name in ("pyarrow", "pandas", "matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    run = Run(Kept(SIX), Path("runs/mine"))
    for act, extra in (
        (lambda: REPORTERS["parquet"](run.report), "parquet"), (run.to_pandas, "pandas"), (run.plot.speed, "plot"),
    ):  # fmt: skip
        with pytest.raises(Unavailable, match=rf"pip install 'samebench\[{extra}\]'"):
            act()


# A run in a script


def test_a_run_prints_its_table_and_its_answer():
    run = Run(Kept(SIX), Path("runs/mine"))
    assert "91.00%" in str(run) and run.answer in str(run) and repr(run) == "Run('runs/mine')"
    shown = vars(Run)["_repr_html_"](run)  # as a notebook calls it
    assert run.is_ok and not Run(Kept([*SIX, FAILED]), Path("x")).is_ok
    assert "<table" in shown and "<script" not in shown and run.to_html().startswith("<!doctype html>")
    assert len(run.table(full=True)) > len(run.table())


# The badge


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (SIX, "the same on 2 backends"), ([SIX[0]], "a: equal"), ([*SIX, done("c", parity=certified(DIFFERS))], "c differs"),
        ([ok()], "not proven"), ([FAILED], "not proven"), ([], "not proven"),
        ([done(name, parity=certified(DIFFERS)) for name in "ab"], "2 backends differ"),
    ],
)  # fmt: skip
def test_a_badge_says_the_worst_verdict(results, said):
    root = ET.fromstring(REPORTERS["badge"](report(*results)))
    assert root.get("aria-label") == f"samebench: {said}"
    assert all(float(part.get("x", 0)) < float(root.get("width")) for part in root.iter())
