"""Pictures that were changed or made, side by side on all backends: one HTML page that needs no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from harness import Array, Report, Result, hookimpl, printable, report_experiments, report_notes

SHOWN = 8
"""Pictures of each experiment, at most."""

FEW = 64
"""Pictures of so many rows, at most, are shown pixel by pixel."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; } p, li { max-width: 46rem; } ul { margin-top: 2.5rem; font-size: .85rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th { font-weight: 600; text-align: left; }
th, td { padding: .35rem .6rem .35rem 0; vertical-align: top; } tbody tr { border-top: 1px solid var(--line); }
figure { margin: 0; width: 8.5rem; } figcaption { font-size: .8rem; color: var(--quiet); overflow-wrap: anywhere; }
img { width: 100%; display: block; background: #8882; } .few { image-rendering: pixelated; } .maps figure { width: 5.5rem; }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'none'"
"""What a browser may do with the page: show the pictures in it, by the style in it. Names come from strangers; if one
broke out of its place in spite of all, nothing would run and nothing would be fetched."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>"""


class Kept(NamedTuple):
    """What one backend has kept of an experiment."""

    result: Result
    arrays: Mapping[str, Array]

    @property
    def who(self) -> str:
        return self.result.who

    def caption(self, shares: str, row: int) -> str:
        """The class that the network sees in a picture, and its probability."""
        odds, classes = self.arrays[shares][row], self.arrays["classes"]
        return f"{classes[odds.argmax()]}, {odds.max():.1%}"


def as_gallery(report: Report) -> str:
    parts = [part for title, rows in report_experiments(report).items() for part in _section(report, title, rows)]
    nothing = "<p>No cell of this run has kept pictures: the tasks adversarial and ideal-image do.</p>"
    title = f"samebench: pictures of {report.run.get('id', 'a run')}"
    told = "".join(f"<li>{_text(line)}</li>" for lines in report_notes(report) for line in lines)
    return PAGE.format(
        policy=POLICY, title=_text(title), style=STYLE, body="\n".join([*(parts or [nothing]), f"<ul>{told}</ul>"])
    )


def _section(report: Report, title: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    of_these = [result for row in rows for result in report.results_of(row)]
    several = _best_kept(report, of_these)
    if not several:
        return
    yield f"<h2>{_text(title)}, seed {several[0].result.cell.seed}</h2>"
    if "plain" in several[0].arrays:
        yield _ideal(several)
        return
    yield _attacked(several)
    yield from _first_maps(report, several)


def _best_kept(report: Report, results: Sequence[Result]) -> list[Kept]:
    """What backends have kept of one seed, the first of those that the most of them have kept. No two seeds are mixed: they
    draw other pictures."""
    experiments_of_seeds: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.cell.seed):
        experiments_of_seeds.setdefault(result.cell.comparison_key, []).append(result)
    best: list[Kept] = []
    for together in experiments_of_seeds.values():
        if len(together) > len(best):  # or there is no need to read it
            best = max(best, _kept(report, together), key=len)
    return best


def _kept(report: Report, results: Sequence[Result]) -> list[Kept]:
    """What each backend has kept, if it has."""
    kept: dict[str, Kept] = {}
    for result in results:
        if result.status == "ok" and result.who not in kept:
            with suppress(LookupError):
                kept[result.who] = Kept(result, report.pictures(result))
    return list(kept.values())


def _attacked(kept: Sequence[Kept]) -> str:
    """Each picture as it was, and what each backend has added to it, magnified, and made of it."""
    first = kept[0].arrays
    largest = max(float(np.abs(one.arrays["made"] - one.arrays["original"]).max()) for one in kept)
    factor = max(1, int(0.5 / largest)) if largest else 1
    headers = ["original"]
    for one in kept:
        headers += [f"{one.who}: the change, {factor} times", f"{one.who}: adversarial"]
    lines = []
    for row in first["shown"][:SHOWN]:
        cells = [_figure(first["original"][row], kept[0].caption("before", row))]
        for one in kept:
            change = 0.5 + factor * (one.arrays["made"][row] - one.arrays["original"][row])
            cells += [_figure(change, ""), _figure(one.arrays["made"][row], one.caption("after", row))]
        lines.append(cells)
    told = f"A pixel has changed by {largest:.3g} at most, on a scale from 0 to 1; grey stands for no change. Pictures that fooled the network come first."
    return f"<p>{told}</p>{_table(headers, lines)}"


def _ideal(kept: Sequence[Kept]) -> str:
    """What each backend has made for each class, without and with the loss that holds neighbouring pixels together."""
    headers = ["class"]
    for one in kept:
        headers += [f"{one.who}: as it comes", f"{one.who}: with total variation"]
    lines = []
    for row, label in enumerate(kept[0].arrays["labels"][:SHOWN]):
        cells = [_text(f"{kept[0].arrays['classes'][label]} ({label})")]
        for one in kept:
            cells += [
                _figure(one.arrays["plain"][row], one.caption("plain_after", row)),
                _figure(one.arrays["made"][row], one.caption("after", row)),
            ]
        lines.append(cells)
    return f"<p>Made from the same noise. Below each: what the network sees in it.</p>{_table(headers, lines)}"


def _first_maps(report: Report, kept: Sequence[Kept]) -> Iterator[str]:
    """The feature maps of the first backend whose pictures have been looked into."""
    for one in kept:
        with suppress(LookupError):
            if maps := report.feature_maps(one.result):  # a network without windows has none
                yield _maps(maps, one)
            return


def _maps(maps: Mapping[str, Array], kept: Kept) -> str:
    """What single channels of some layers make of the first picture, before and after the attack."""
    row = kept.arrays["shown"][0]
    lines = []
    for name, values in maps.items():
        for which, channels in zip(("original", "adversarial"), values, strict=True):
            figures = [_figure(channels[..., place, None], "") for place in range(channels.shape[-1])]
            lines.append([_text(f"{name}, {which}"), *figures])
    headers = ["layer", *(f"channel {place + 1}" for place in range(max(map(len, lines)) - 1))]
    before, after = kept.caption("before", row), kept.caption("after", row)
    told = f"What the network sees in the first picture ({_text(before)}, then {_text(after)}): the channels that vary most, by the reference."
    return f'<p>{told}</p><div class="maps">{_table(headers, lines)}</div>'


def _table(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(header)}</th>" for header in headers)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _figure(picture: Array, caption: str) -> str:
    """A picture of values from 0 to 1, as part of the page."""
    values = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values[..., :3]).save(data, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
    few = ' class="few"' if len(values) <= FEW else ""
    return f'<figure><img{few} alt="{_text(caption)}" src="{source}"><figcaption>{_text(caption)}</figcaption></figure>'


def _text(text: str) -> str:
    return html.escape(printable(text))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"gallery": as_gallery}
