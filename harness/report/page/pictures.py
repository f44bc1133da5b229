"""Attacked and ideal pictures of all backends, side by side, and feature maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, features

from harness.report.page.markup import Column, Line, Markup, element, table
from harness.report.summary import Report
from harness.result import Result
from harness.spec import Array

SHOWN = 8
"""The largest number of pictures of an experiment."""

FEW = 64
"""Pictures with at most this many rows are stored without loss, and enlarged without smoothing."""

QUALITY, NOISY, ROUGH = 76, 55, 28
"""The quality of larger pictures, from 0 to 100; of ideal pictures, which have much noise; and of changes, which are noise. The exact
pixels are in the run."""


class Kept(NamedTuple):
    """The pictures of an experiment on one backend."""

    result: Result
    arrays: Mapping[str, Array]

    @property
    def who(self) -> str:
        return self.result.shown if self.result.cell.mode == "default" else self.result.who

    def caption(self, shares: str, row: int) -> str:
        """The predicted class of a picture, and its probability."""
        odds, classes = self.arrays[shares][row], self.arrays["classes"]
        return f"{classes[odds.argmax()]}, {odds.max():.1%}"

    def name_of(self, number: int) -> str:
        classes = self.arrays["classes"]
        return str(classes[number]) if 0 <= number < len(classes) else str(number)


def pictures_of(report: Report, rows: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    """The pictures of an experiment, for one seed; nothing if it has none."""
    several = _best_kept(report, [result for row in rows for result in report.results_of(row)])
    if not several:
        return
    yield element("h4", f"Pictures of seed {several[0].result.cell.seed}")
    if "plain" in several[0].arrays:
        yield from _ideal(several)
    else:
        yield from _attacked(several)
        yield from _first_maps(report, several)


def closer_look(report: Report, rows: Sequence[Mapping[str, Any]], most: int = 5) -> Iterator[Markup]:
    """One picture, large, on all backends: the picture, the change, the result, and the most probable classes of each backend."""
    several = _best_kept(report, [result for row in rows for result in report.results_of(row)])
    if not several:
        return
    if "plain" in several[0].arrays:
        yield from _ideal(several, "pictures large")
        yield _most_probable(several, {"without total variation": "plain_after", "with total variation": "after"}, most)
        return
    targets = several[0].arrays["wanted"] if "wanted" in several[0].arrays else several[0].arrays["labels"]
    row = int(several[0].arrays["shown"][0])
    goal = int(targets[row])
    if goal != int(several[0].arrays["labels"][row]):
        yield element("p", f"The attack should make the network see: {several[0].name_of(goal)} (class {goal}).")
    yield from _attacked(several, "pictures large", 1)
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


def _attacked(kept: Sequence[Kept], look: str = "pictures", most: int = SHOWN) -> Iterator[Markup]:
    """For each picture the original, and for each backend the enlarged change and the adversarial picture."""
    first = kept[0].arrays
    largest = max(float(np.abs(maker.arrays["made"] - maker.arrays["original"]).max()) for maker in kept)
    factor = max(1, round(0.5 / largest)) if largest else 1
    yield element(
        "p",
        f"No pixel changes by more than {largest:.3g}, on a scale from 0 to 1. The change is shown {factor:,} times as large; grey means "
        "no change. Below each picture: what the network sees, and how sure it is."
        + (" Pictures that fooled it come first." if most > 1 else ""),
    )
    for row in first["shown"][:most]:
        cards = [picture(first["original"][row], "original", kept[0].caption("before", row))]
        for maker in kept:
            change = 0.5 + factor * (maker.arrays["made"][row] - maker.arrays["original"][row])
            cards.append(picture(change, f"{maker.who}: the change, {factor:,} times", quality=ROUGH))
            cards.append(picture(maker.arrays["made"][row], f"{maker.who}: adversarial", maker.caption("after", row)))
        yield element("div", *cards, class_=look)


def _ideal(kept: Sequence[Kept], look: str = "pictures") -> Iterator[Markup]:
    """The pictures of each backend for each class, without and with the loss of total variation."""
    yield element("p", "All pictures start from the same noise. Below each: what the network sees, and how sure it is.")
    for row, label in enumerate(kept[0].arrays["labels"][:SHOWN]):
        cards = []
        for maker in kept:
            plain, made = maker.arrays["plain"][row], maker.arrays["made"][row]
            cards.append(
                picture(plain, f"{maker.who}: without total variation", maker.caption("plain_after", row), NOISY)
            )
            cards.append(picture(made, f"{maker.who}: with total variation", maker.caption("after", row), NOISY))
        yield element("h5", f"The ideal picture of {kept[0].name_of(int(label))} (class {label})")
        yield element("div", *cards, class_=look)


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
                picture(channels[..., place, None], f"channel {place + 1}") for place in range(channels.shape[-1])
            ]
            parts += [element("h5", f"{name}, {which}"), element("div", *figures, class_="pictures maps")]
    return element("details", element("summary", "Feature maps"), *parts)


def picture(values: Array, what: str, seen: str = "", quality: int = QUALITY) -> Markup:
    """A picture of values from 0 to 1, with what it is and what the network sees."""
    few = "few" if len(values) <= FEW else None
    image = element("img", alt=f"{what}. {seen}".strip(), src=_source(values, quality), class_=few, loading="lazy")
    lines = [element("b", what), *([element("span", seen)] if seen else [])]
    return element("figure", Markup(image.removesuffix("</img>")), element("figcaption", *lines))


def _source(picture: Array, quality: int) -> str:
    """The picture as a part of the page."""
    values = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
    data = io.BytesIO()
    form = "PNG" if len(values) <= FEW else _small_form()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values[..., :3]).save(data, form, quality=quality)
    return f"data:image/{form.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


@cache
def _small_form() -> str:
    """The format with the smallest files that this Pillow writes and every browser reads."""
    return "WEBP" if features.check("webp") else "JPEG"
