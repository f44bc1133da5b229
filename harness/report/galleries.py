"""Attacked and ideal pictures of all backends, side by side, as values: rows of pictures, each with what the network sees."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from harness.report.summary import Report
from harness.result import Result
from harness.spec import Array

SHOWN = 8
"""The largest number of pictures of an experiment."""

FEW = 64
"""Pictures with at most this many rows are stored without loss, and enlarged without smoothing."""


class Kept(NamedTuple):
    """The pictures of an experiment on one backend."""

    result: Result
    arrays: Mapping[str, Array]

    @property
    def who(self) -> str:
        return self.result.shown if self.result.cell.mode == "default" else self.result.who

    @property
    def is_ideal(self) -> bool:
        """Whether these are ideal pictures of classes, and not attacked pictures."""
        return "plain" in self.arrays

    def caption(self, shares: str, row: int) -> str:
        """The predicted class of a picture, and its probability."""
        odds, classes = self.arrays[shares][row], self.arrays["classes"]
        return f"{classes[odds.argmax()]}, {odds.max():.1%}"

    def name_of(self, number: int) -> str:
        classes = self.arrays["classes"]
        return str(classes[number]) if 0 <= number < len(classes) else str(number)


class Card(NamedTuple):
    """A picture of values from 0 to 1, with what it is and what the network sees."""

    values: Array
    what: str
    seen: str = ""
    kind: Literal["picture", "noisy", "change"] = "picture"
    """An ideal picture is noisy; a change is noise."""


class Row(NamedTuple):
    """Pictures that belong together, with their title if they have one."""

    title: str
    cards: Sequence[Card]


def best_kept(report: Report, results: Sequence[Result]) -> list[Kept]:
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


def explanation(kept: Sequence[Kept], most: int = SHOWN) -> str:
    """Sentences above the rows of pictures, which explain them."""
    if kept[0].is_ideal:
        return "All pictures start from the same noise. Below each: what the network sees, and how sure it is."
    largest, factor = _largest_change(kept)
    return (
        f"No pixel changes by more than {largest:.3g}, on a scale from 0 to 1. The change is shown {factor:,} times as large; grey means "
        "no change. Below each picture: what the network sees, and how sure it is."
        + (" Pictures that fooled it come first." if most > 1 else "")
    )


def gallery_rows(kept: Sequence[Kept], most: int = SHOWN) -> Iterator[Row]:
    """The rows of pictures of an experiment."""
    return _ideal(kept, most) if kept[0].is_ideal else _attacked(kept, most)


def _attacked(kept: Sequence[Kept], most: int) -> Iterator[Row]:
    """For each picture the original, and for each backend the enlarged change and the adversarial picture."""
    first, (_, factor) = kept[0].arrays, _largest_change(kept)
    for row in first["shown"][:most]:
        cards = [Card(first["original"][row], "original", kept[0].caption("before", row))]
        for maker in kept:
            change = 0.5 + factor * (maker.arrays["made"][row] - maker.arrays["original"][row])
            cards.append(Card(change, f"{maker.who}: the change, {factor:,} times", kind="change"))
            cards.append(Card(maker.arrays["made"][row], f"{maker.who}: adversarial", maker.caption("after", row)))
        yield Row("", cards)


def _largest_change(kept: Sequence[Kept]) -> tuple[float, int]:
    """The largest change of a pixel by any backend, and the factor by which changes are enlarged."""
    largest = max(float(np.abs(maker.arrays["made"] - maker.arrays["original"]).max()) for maker in kept)
    return largest, max(1, round(0.5 / largest)) if largest else 1


def _ideal(kept: Sequence[Kept], most: int) -> Iterator[Row]:
    """The pictures of each backend for each class, without and with the loss of total variation."""
    for row, label in enumerate(kept[0].arrays["labels"][:most]):
        cards = []
        for maker in kept:
            plain, made = maker.arrays["plain"][row], maker.arrays["made"][row]
            cards.append(
                Card(plain, f"{maker.who}: without total variation", maker.caption("plain_after", row), "noisy")
            )
            cards.append(Card(made, f"{maker.who}: with total variation", maker.caption("after", row), "noisy"))
        yield Row(f"The ideal picture of {kept[0].name_of(int(label))} (class {label})", cards)


def as_bytes(picture: Array) -> Array:
    """A picture of values from 0 to 1 as bytes, with 1 or 3 channels."""
    values = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
    return values if values.shape[-1] == 1 else values[..., :3]


def as_file(card: Card, form: str, quality: int) -> bytes:
    """A picture as a file of this format, such as PNG. Formats without loss ignore the quality."""
    values, data = as_bytes(card.values), io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(data, form, quality=quality)
    return data.getvalue()
