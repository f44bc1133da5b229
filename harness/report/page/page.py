"""The whole page: one file with its style, its script and its data, and a policy that lets a browser load nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.report.charts.of_report import charts_of_run, who_of
from harness.report.charts.svg import SHAPES, Palette, palette_of, style
from harness.report.page.baselines import ratios_of
from harness.report.page.cells import all_cells, data_blocks, failed
from harness.report.page.experiments import experiment, figure, plain_table, results
from harness.report.page.markup import Markup, element, join, link, listing, text
from harness.report.page.overview import overview
from harness.report.page.pictures import closer_look, pictures_of
from harness.report.page.repeat import repeat
from harness.report.summary import Report
from harness.report.text.notes import report_notes
from harness.report.text.overview import report_overview
from harness.report.text.results import proofs, report_experiments
from harness.report.text.waterfall import waterfalls

SECTIONS = (
    ("results", "Results"), ("experiments", "Experiments"), ("sameness", "Sameness"), ("pictures", "Pictures"),
    ("failed", "Not ok"), ("cells", "Cells"), ("repeat", "Repeat this"),
)  # fmt: skip


def html_page(*reports: Report, live: str = "") -> str:
    """The page of one run, or of several below one another. `live` is its version, if a server keeps it up to date."""
    palette = palette_of([who_of(row) for report in reports for row in report.summary] or [""])
    parts = [
        join(
            _run(
                report,
                f"r{number}-" if len(reports) > 1 else "",
                palette,
                "" if number else _controls(reports, palette),
            )
        )
        for number, report in enumerate(reports)
    ]
    ratios = [ratio for report in reports for ratio in ratios_of(report, report_experiments(report))]
    title = " and ".join(_title(report) for report in reports)
    blocks = [_json("ratios", ratios), *data_blocks(reports)]
    return _page(f"samebench: {title}", parts, blocks, live)


def pictures_page(report: Report) -> str:
    """The page of the pictures of a run, with their numbers."""
    parts: list[Markup] = []
    for number, (title, rows) in enumerate(report_experiments(report).items()):
        if found := list(pictures_of(report, rows)):
            parts += [element("h2", title), results(report, title, rows, f"x{number}"), *found]
    nothing = element("p", "No cell of this run has kept pictures: the tasks adversarial and ideal-image do.")
    heading = element("header", element("h1", f"Pictures of {_title(report)}"))
    notes = listing((line for lines in report_notes(report) for line in lines), class_="quiet")
    return _page(f"samebench: pictures of {_title(report)}", [heading, *(parts or [nothing]), notes], [])


def closer_page(report: Report, title: str) -> str:
    """The page of one picture on all backends, large enough for a projector."""
    parts: list[Markup] = []
    for number, (about, rows) in enumerate(report_experiments(report).items()):
        parts += [*closer_look(report, rows), element("h2", "Numbers"), results(report, about, rows, f"x{number}")]
    if bad := failed(report, ""):
        parts.append(bad)
    header = element("header", element("h1", title), element("p", report_overview(report).answer, class_="about"))
    return _page(title, [header, *parts], [])


def _run(report: Report, prefix: str, palette: Palette, controls: Markup | str) -> Iterator[Markup]:
    """All sections of a run. Sections that have nothing to show are left out. The answer comes first, then the controls."""
    found = report_experiments(report)
    places = {title: f"{prefix}x{number}" for number, title in enumerate(found)}
    of_rows = {id(row): places[title] for title, rows in found.items() for row in rows}
    sections: dict[str, list[Markup]] = {"results": list(overview(report, report_overview(report), prefix, of_rows))}
    sections["experiments"] = [
        element(
            "section",
            *experiment(report, title, rows, places[title], f"{prefix}cells", palette),
            id=places[title],
            data_x=places[title],
        )
        for title, rows in found.items()
    ]
    sections["sameness"] = list(_sameness(report, prefix, palette))
    sections["pictures"] = [
        join([element("h3", title), *pictures])
        for title, rows in found.items()
        if (pictures := list(pictures_of(report, rows)))
    ]
    sections["failed"] = [bad] if (bad := failed(report, prefix)) else []
    sections["cells"] = [all_cells(report, prefix)] if report.results else []
    sections["repeat"] = list(repeat(report, prefix))
    shown = [(name, title) for name, title in SECTIONS if sections[name]]
    menu = element(
        "nav", *(link(f"{prefix}{name}", title) for name, title in shown), aria_label=f"Sections of {_title(report)}"
    )
    yield element("header", element("h1", _title(report)), menu)
    for name, title in shown:
        yield element("section", element("h2", title), *sections[name], id=f"{prefix}{name}", class_=f"part-{name}")
        if name == "results":
            yield Markup(controls)


def _sameness(report: Report, prefix: str, palette: Palette) -> Iterator[Markup]:
    """The proofs that all backends computed the same, with the largest deviations; and the steps from aligned to native."""
    for chart in charts_of_run(report):
        yield element("div", figure(chart, palette, f"{prefix}run"), class_="charts")
    for number, found in enumerate((*proofs(report.results), *waterfalls(report))):
        yield plain_table(found, f"{prefix}proof-{number}")


def _title(report: Report) -> str:
    return str(report.run.get("id") or "a run")


def _controls(reports: Sequence[Report], palette: Palette) -> Markup:
    """What the reader can choose. It is shown only if the script runs."""
    shapes = [
        element(
            "label",
            Markup(f'<input type="checkbox" checked data-hide="{text(who)}">'),
            Markup(
                f'<svg class="key b{number}" viewBox="-8 -8 16 16" aria-hidden="true"><path class="shape" d="{_key(number)}"/></svg>'
            ),
            who,
        )
        for who, number in palette.items()
    ]
    names = dict.fromkeys(who_of(row) for report in reports for row in report.summary)
    options = [element("option", "none", value=""), *(element("option", who, value=who) for who in names)]
    return element(
        "form",
        element("fieldset", element("legend", "Backends"), *shapes),
        element("label", "Baseline ", element("select", *options, id="baseline")),
        element("label", "Filter ", Markup('<input type="search" id="filter" placeholder="task, backend, status">')),
        element("span", element("button", "JSON", type="button", id="save-json"), element("button", "CSV", type="button", id="save-csv"), class_="saves"),
        id="controls", hidden="",
    )  # fmt: skip


def _key(number: int) -> str:
    return SHAPES[number].format(r="5", q="6.5", h="2.5")


def _json(name: str, value: Any) -> Markup:
    """Data for the script. `<` is escaped, so that no text can end the block."""
    said = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{name}">{said}</script>')


DIALOG = element(
    "dialog",
    Markup('<form method="dialog"><button aria-label="Close">×</button></form>'),
    element("h2", "", id="cell-title"), element("p", "", id="cell-status"), element("div", "", id="cell-parts"),
    id="cell", aria_labelledby="cell-title",
)  # fmt: skip


def _page(title: str, parts: Sequence[Markup], blocks: Sequence[Markup], live: str = "") -> str:
    charts, own, script = style(), _file("page.css"), _file("page.js")
    policy = "; ".join([
        "default-src 'none'", f"style-src {_allow(charts)} {_allow(own)}", f"script-src {_allow(script)}", "img-src data:",
        f"connect-src {chr(39)}self{chr(39)}" if live else "connect-src 'none'", "base-uri 'none'", "form-action 'none'",
    ])  # fmt: skip
    body = join([element("main", join(parts)), DIALOG if blocks else "", *blocks])
    return f"""<!doctype html>
<html lang="en"{f' data-live="{text(live)}"' if live else ""}><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<style id="chart-style">{charts}</style>
<style>{own}</style></head>
<body>
{body}
<script>{script}</script>
</body></html>
"""


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _allow(inline: str) -> str:
    """The source of a policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
