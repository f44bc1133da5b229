"""The verdict of a run as a badge: a small SVG for a README."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

from harness import Report, hookimpl, printable

COLOURS = {"equal": "#08694c", "differs": "#a1201a", "not-checked": "#6f5200"}
LETTER, PADDING, HEIGHT = 6.6, 8, 20
"""The width of a letter at the size of the text, the room beside a text, and the height of the badge."""


def as_badge(report: Report) -> str:
    kind, said = _verdict(report)
    label = "samebench"
    widths = [len(text) * LETTER + 2 * PADDING for text in (label, said)]
    middles = widths[0] / 2, widths[0] + widths[1] / 2
    whole, text = sum(widths), html.escape(printable(f"{label}: {said}"))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="{HEIGHT}" role="img" aria-label="{text}">
<title>{text}</title>
<rect width="{whole:.0f}" height="{HEIGHT}" rx="4" fill="#3d444d"/>
<path d="M{widths[0]:.0f} 0H{whole - 4:.0f}a4 4 0 0 1 4 4V16a4 4 0 0 1 -4 4H{widths[0]:.0f}Z" fill="{COLOURS[kind]}"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
<text x="{middles[0]:.1f}" y="14">{label}</text><text x="{middles[1]:.1f}" y="14">{html.escape(printable(said))}</text>
</g></svg>"""


def _verdict(report: Report) -> tuple[str, str]:
    """The worst verdict of the finished rows, and what the badge says."""
    rows = [row for row in report.summary if row["n"] or row["parity"].is_different]
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    if different := list(dict.fromkeys(row["backend"] for row in rows if row["parity"].is_different)):
        return "differs", (
            f"{different[0][:30]} differs" if len(different) == 1 else f"{len(different)} backends differ"
        )
    if not rows or any(not row["parity"].is_equal for row in rows):
        return "not-checked", "not proven"
    return "equal", f"the same on {len(backends)} backends" if len(backends) > 1 else f"{backends[0]}: equal"[:40]


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"badge": as_badge}
