"""Draws docs/digits.svg from the stored cells of results/digits. A test compares the two.

python docs/make_picture.py
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Report
from harness.report.charts.plots import COLOURS as PALETTE
from harness.running.store import Store

FOLDER = Path(__file__).parent
FILE, RUN = FOLDER / "digits.svg", FOLDER.parent / "results" / "digits"
COLOURS = dict(zip(("pytorch", "keras", "jax"), PALETTE, strict=False))
"""The same colours as on the page of this run."""
WIDTH, TOP, ROW, PANEL, GAP, LEFT = 960, 84, 34, 240, 36, 84
LEAST = 1e-16
"""The left end of the scale of deviations; a deviation of 0 is drawn there."""


def picture() -> str:
    report = Report.of(Store.open(RUN))
    rows = list(report.summary)
    height = TOP + ROW * len(rows) + 64
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            '<text x="16" y="28" font-size="17" font-weight="bold">One experiment on three frameworks: the same '
            "network, data, batches and optimiser</text>",
            *(_name(row, number) for number, row in enumerate(rows)),
            *_deviations(report, rows),
            *_accuracies(report, rows),
            *_speeds(rows),
            f'<text x="16" y="{height - 12}" fill="#555">results/digits: scratch-cnn, two-block-cnn on digits, '
            f"6 seeds each, {_cpu(report)}. A hollow bar: a disturbed speed (docs/results.md).</text>",
            "</svg>\n",
        ]
    )


def _cpu(report: Report) -> str:
    host = report.run["host"]
    return f"{host['cores']} cores of an {host['processor'].replace('(R)', '')}"


def _name(row: dict[str, Any], number: int) -> str:
    return (
        f'<text x="16" y="{_y(number) + 5}" font-weight="bold" fill="{COLOURS[row["backend"]]}">{row["backend"]}</text>'
    )


def _y(number: int) -> int:
    return TOP + ROW * number + ROW // 2


def _panel(place: int, title: str, low: str, high: str, rows: int) -> Iterator[str]:
    x, bottom = LEFT + place * (PANEL + GAP), TOP + ROW * rows
    yield f'<text x="{x}" y="64" fill="#222">{title}</text>'
    yield f'<rect x="{x}" y="{TOP}" width="{PANEL}" height="{bottom - TOP}" fill="#f6f6f6"/>'
    yield f'<text x="{x}" y="{bottom + 16}" fill="#555">{low}</text>'
    yield f'<text x="{x + PANEL}" y="{bottom + 16}" fill="#555" text-anchor="end">{high}</text>'


def _deviations(report: Report, rows: list[dict[str, Any]]) -> Iterator[str]:
    """The largest deviation of each backend from the reference in float64, on a logarithmic scale up to the limit."""
    yield from _panel(0, "Deviation from the NumPy reference", "1e-16", "limit 1e-9", len(rows))
    for number, row in enumerate(rows):
        found = [one.parity for one in report.results if one.cell.configuration == row["subject"]]
        largest = max(parity[name] for parity in found for name in ("logits", "gradients", "trajectory"))
        x = LEFT + PANEL * math.log10(max(largest, LEAST) / LEAST) / 7
        yield f'<circle cx="{x:.1f}" cy="{_y(number)}" r="6" fill="{COLOURS[row["backend"]]}"/>'
        yield f'<text x="{x + 12:.1f}" y="{_y(number) + 5}">{largest:.0e}</text>'


def _accuracies(report: Report, rows: list[dict[str, Any]]) -> Iterator[str]:
    """The test accuracy of every seed."""
    found = {
        row["backend"]: [
            one.metrics["test_accuracy"] for one in report.results if one.cell.configuration == row["subject"]
        ]
        for row in rows
    }
    low = math.floor(100 * min(map(min, found.values()))) / 100
    high = math.ceil(100 * max(map(max, found.values()))) / 100
    yield from _panel(1, "Test accuracy, a dot for each seed", f"{low:.0%}", f"{high:.0%}", len(rows))
    for number, (backend, values) in enumerate(found.items()):
        for value in sorted(values):
            x = LEFT + PANEL + GAP + PANEL * (value - low) / (high - low)
            yield f'<circle cx="{x:.1f}" cy="{_y(number)}" r="6" fill="{COLOURS[backend]}" fill-opacity="0.45"/>'


def _speeds(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The speed, with its interval where it has one."""
    most = max(row["images_per_s"]["high"] or row["images_per_s"]["median"] for row in rows)
    start = LEFT + 2 * (PANEL + GAP)
    yield from _panel(2, "Training images per second", "0", f"{most:,.0f}", len(rows))
    for number, row in enumerate(rows):
        speed, colour = row["images_per_s"], COLOURS[row["backend"]]
        fill = "none" if "disturbed" in row else colour
        width = PANEL * speed["median"] / most
        yield (
            f'<rect x="{start}" y="{_y(number) - 8}" width="{width:.1f}" height="16" fill="{fill}" stroke="{colour}" fill-opacity="0.8"/>'
        )
        if speed["low"] is not None:
            left, right = (start + PANEL * speed[end] / most for end in ("low", "high"))
            yield f'<path d="M{left:.1f} {_y(number)}H{right:.1f}" stroke="black" stroke-width="2"/>'
        yield f'<text x="{start + 6}" y="{_y(number) + 5}" font-size="12">{speed["median"]:,.0f}</text>'


if __name__ == "__main__":
    FILE.write_text(picture(), encoding="utf-8")
