"""Attacked and ideal pictures of all backends, side by side, and feature maps, as parts of a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from PIL import features

from harness.report.galleries import FEW, SHOWN, Card, Kept, as_file, best_kept, explanation, gallery_rows
from harness.report.page.markup import Column, Line, Markup, element, table
from harness.report.summary import Report
from harness.spec import Array

QUALITY = {"picture": 76, "noisy": 55, "change": 28}
"""The quality of larger pictures of each kind, from 0 to 100. The exact pixels are in the run."""


def pictures_of(report: Report, rows: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    """The pictures of an experiment, for one seed; nothing if it has none."""
    several = best_kept(report, [result for row in rows for result in report.results_of(row)])
    if not several:
        return
    yield element("h4", f"Pictures of seed {several[0].result.cell.seed}")
    yield from _gallery(several)
    if not several[0].is_ideal:
        yield from _first_maps(report, several)


def closer_look(report: Report, rows: Sequence[Mapping[str, Any]], most: int = 5) -> Iterator[Markup]:
    """One picture, large, on all backends: the picture, the change, the result, and the most probable classes of each backend."""
    several = best_kept(report, [result for row in rows for result in report.results_of(row)])
    if not several:
        return
    if several[0].is_ideal:
        yield from _gallery(several, "pictures large")
        yield _most_probable(several, {"without total variation": "plain_after", "with total variation": "after"}, most)
        return
    targets = several[0].arrays["wanted"] if "wanted" in several[0].arrays else several[0].arrays["labels"]
    row = int(several[0].arrays["shown"][0])
    goal = int(targets[row])
    if goal != int(several[0].arrays["labels"][row]):
        yield element("p", f"The attack should make the network see: {several[0].name_of(goal)} (class {goal}).")
    yield from _gallery(several, "pictures large", 1)
    yield _most_probable(several, {"original": "before", "adversarial": "after"}, most, row)
    yield from _first_maps(report, several)


def _most_probable(kept: Sequence[Kept], seen: Mapping[str, str], most: int, row: int = 0) -> Markup:
    """A table of the most probable classes of a picture, for each backend and each of its pictures."""
    columns = [Column("rank"), *(Column(f"{maker.who}: {what}", is_text=True) for maker in kept for what in seen)]
    shares = [maker.arrays[name][row] for maker in kept for name in seen.values()]
    orders = [odds.argsort()[::-1][:most] for odds in shares]
    lines = [
        Line([str(rank + 1), *(
            f"{kept[0].name_of(int(order[rank]))}, {odds[order[rank]]:.2%}" if rank < len(order) else "-"
            for odds, order in zip(shares, orders, strict=True)
        )])
        for rank in range(min(most, len(shares[0])))
    ]  # fmt: skip
    return table(columns, lines, "classes", "The most probable classes")


def _gallery(kept: Sequence[Kept], look: str = "pictures", most: int = SHOWN) -> Iterator[Markup]:
    yield element("p", explanation(kept, most))
    for row in gallery_rows(kept, most):
        if row.title:
            yield element("h5", row.title)
        yield element("div", *map(picture, row.cards), class_=look)


def _first_maps(report: Report, kept: Sequence[Kept]) -> Iterator[Markup]:
    """The feature maps of the first backend that has them."""
    for maker in kept:
        with suppress(LookupError):
            if maps := report.feature_maps(maker.result):  # a network without windows has none
                yield _maps(maps, maker)
            return


def _maps(maps: Mapping[str, Array], kept: Kept) -> Markup:
    """Channels of some layers for the first picture, before and after the attack."""
    row = kept.arrays["shown"][0]
    before, after = kept.caption("before", row), kept.caption("after", row)
    parts = [
        element(
            "p",
            f"Feature maps of the first picture ({before}, then {after}), computed by the reference: the channels that vary most.",
        )
    ]
    for name, values in maps.items():
        for which, channels in zip(("original", "adversarial"), values, strict=True):
            figures = [
                picture(Card(channels[..., place, None], f"channel {place + 1}")) for place in range(channels.shape[-1])
            ]
            parts += [element("h5", f"{name}, {which}"), element("div", *figures, class_="pictures maps")]
    return element("details", element("summary", "Feature maps"), *parts)


def picture(card: Card) -> Markup:
    few = "few" if len(card.values) <= FEW else None
    image = element("img", alt=f"{card.what}. {card.seen}".strip(), src=_source(card), class_=few, loading="lazy")
    lines = [element("b", card.what), *([element("span", card.seen)] if card.seen else [])]
    return element("figure", Markup(image.removesuffix("</img>")), element("figcaption", *lines))


def _source(card: Card) -> str:
    """The picture as a part of the page."""
    form = "PNG" if len(card.values) <= FEW else _small_form()
    data = as_file(card, form, QUALITY[card.kind])
    return f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"


@cache
def _small_form() -> str:
    """The format with the smallest files that this Pillow writes and every browser reads."""
    return "WEBP" if features.check("webp") else "JPEG"
