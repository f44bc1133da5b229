"""A gallery of attacked and ideal pictures of all backends, side by side: an HTML page that needs no other file."""

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
"""The largest number of pictures of an experiment."""

FEW = 64
"""Pictures with at most this many rows are enlarged without smoothing."""

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
"""The content security policy of the page: a browser may only show its pictures with its style. Names in a run may come from
strangers, so even a name with HTML in it must not run or fetch anything."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>"""


class Kept(NamedTuple):
    """The pictures of an experiment on one backend."""

    result: Result
    arrays: Mapping[str, Array]

    @property
    def who(self) -> str:
        return self.result.who

    def caption(self, shares: str, row: int) -> str:
        """The predicted class of a picture, and its probability."""
        odds, classes = self.arrays[shares][row], self.arrays["classes"]
        return f"{classes[odds.argmax()]}, {odds.max():.1%}"


def as_gallery(report: Report) -> str:
    parts = [part for title, rows in report_experiments(report).items() for part in _section(report, title, rows)]
    nothing = "<p>No cell of this run has kept pictures: the tasks adversarial and ideal-image do.</p>"
    title = f"samebench: pictures of {report.run.get('id', 'a run')}"
    notes = "".join(f"<li>{_text(line)}</li>" for lines in report_notes(report) for line in lines)
    return PAGE.format(
        policy=POLICY, title=_text(title), style=STYLE, body="\n".join([*(parts or [nothing]), f"<ul>{notes}</ul>"])
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
    """The pictures of all backends for one seed: the first seed for which the most backends have pictures. Seeds are not mixed,
    because they choose different pictures."""
    experiments_of_seeds: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.cell.seed):
        experiments_of_seeds.setdefault(result.cell.comparison_key, []).append(result)
    best: list[Kept] = []
    for together in experiments_of_seeds.values():
        if len(together) > len(best):  # otherwise its pictures need not be read
            best = max(best, _kept(report, together), key=len)
    return best


def _kept(report: Report, results: Sequence[Result]) -> list[Kept]:
    """The pictures of each backend that has any."""
    kept: dict[str, Kept] = {}
    for result in results:
        if result.status == "ok" and result.who not in kept:
            with suppress(LookupError):
                kept[result.who] = Kept(result, report.pictures(result))
    return list(kept.values())


def _attacked(kept: Sequence[Kept]) -> str:
    """For each picture the original, and for each backend the magnified change and the adversarial picture."""
    first = kept[0].arrays
    largest = max(float(np.abs(maker.arrays["made"] - maker.arrays["original"]).max()) for maker in kept)
    factor = max(1, int(0.5 / largest)) if largest else 1
    headers = ["original"]
    for maker in kept:
        headers += [f"{maker.who}: the change, {factor} times", f"{maker.who}: adversarial"]
    lines = []
    for row in first["shown"][:SHOWN]:
        cells = [_figure(first["original"][row], kept[0].caption("before", row))]
        for maker in kept:
            change = 0.5 + factor * (maker.arrays["made"][row] - maker.arrays["original"][row])
            cells += [_figure(change, ""), _figure(maker.arrays["made"][row], maker.caption("after", row))]
        lines.append(cells)
    text = (
        f"The largest change of a pixel is {largest:.3g}, on a scale from 0 to 1; grey means no change. Pictures that fooled "
        "the network come first."
    )
    return f"<p>{text}</p>{_table(headers, lines)}"


def _ideal(kept: Sequence[Kept]) -> str:
    """The pictures of each backend for each class, without and with the loss of total variation."""
    headers = ["class"]
    for maker in kept:
        headers += [f"{maker.who}: without total variation", f"{maker.who}: with total variation"]
    lines = []
    for row, label in enumerate(kept[0].arrays["labels"][:SHOWN]):
        cells = [_text(f"{kept[0].arrays['classes'][label]} ({label})")]
        for maker in kept:
            cells += [
                _figure(maker.arrays["plain"][row], maker.caption("plain_after", row)),
                _figure(maker.arrays["made"][row], maker.caption("after", row)),
            ]
        lines.append(cells)
    return f"<p>All pictures start from the same noise. Below each: the predicted class.</p>{_table(headers, lines)}"


def _first_maps(report: Report, kept: Sequence[Kept]) -> Iterator[str]:
    """The feature maps of the first backend that has them."""
    for maker in kept:
        with suppress(LookupError):
            if maps := report.feature_maps(maker.result):  # a network without windows has none
                yield _maps(maps, maker)
            return


def _maps(maps: Mapping[str, Array], kept: Kept) -> str:
    """Channels of some layers for the first picture, before and after the attack."""
    row = kept.arrays["shown"][0]
    lines = []
    for name, values in maps.items():
        for which, channels in zip(("original", "adversarial"), values, strict=True):
            figures = [_figure(channels[..., place, None], "") for place in range(channels.shape[-1])]
            lines.append([_text(f"{name}, {which}"), *figures])
    headers = ["layer", *(f"channel {place + 1}" for place in range(max(map(len, lines)) - 1))]
    before, after = kept.caption("before", row), kept.caption("after", row)
    text = (
        f"Feature maps of the first picture ({_text(before)}, then {_text(after)}), computed by the reference: the channels "
        "that vary most."
    )
    return f'<p>{text}</p><div class="maps">{_table(headers, lines)}</div>'


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
