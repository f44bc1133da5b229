"""Verdicts: whether a backend computes the same as the reference.

A verdict is stored, and shown in JSON, as one text: "equal", "differs: ..." or "not-checked: ...". `Verdict.text` writes it
and `Verdict.from_text` reads it; no other code looks into the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {"differs": "no", "not-checked": "not proven", "equal": "yes"}
"""The kinds of verdicts, the worst first. Each has its answer to the question: did the backend compute the same?"""

DEVIATIONS = ("logits", "gradients", "input_gradients", "trajectory", "attack")
"""The numbers of a certificate: the largest deviations in float64."""

TIMED = ("logits", "losses", "limit")
"""The numbers of a certificate in the timed precision, under its key "timed"."""

NUMBERS = re.compile(r"(?P<where>.*): (?P<found>[\d.e+-]+|nan|inf), limit (?P<limit>[\d.e+-]+)", re.DOTALL)
"""The reason of a verdict with a deviation and its limit."""


@dataclass(frozen=True)
class Verdict:
    """Whether a backend computes the same as the reference, and if not, why.

    `reason` says where the backend differs, or why it was not checked. `found` is the deviation and `limit` the largest
    allowed deviation; both are None if the verdict does not rest on numbers.
    """

    kind: str
    reason: str = ""
    found: float | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no verdict {self.kind!r}; there are {', '.join(KINDS)}")

    @classmethod
    def equal(cls) -> Verdict:
        return cls("equal")

    @classmethod
    def differs(cls, where: str, found: float | None = None, limit: float | None = None) -> Verdict:
        return cls("differs", where, found, limit)

    @classmethod
    def not_checked(cls, why: str = "") -> Verdict:
        return cls("not-checked", why)

    @classmethod
    def from_text(cls, text: str) -> Verdict:
        """The inverse of `text`. Raises ValueError if the text is not a verdict."""
        kind, _, reason = text.partition(":")
        reason = reason.removeprefix(" ")
        if kind == "differs" and (numbers := NUMBERS.fullmatch(reason)):
            try:
                read = cls(kind, numbers["where"], float(numbers["found"]), float(numbers["limit"]))
            except ValueError:  # such as 1.2.3
                return cls(kind, reason)
            return read if read.text == text else cls(kind, reason)
        return cls(kind, reason)

    @property
    def text(self) -> str:
        """The verdict as text for files and JSON: "differs: logits of a network: 1.0e-03, limit 1e-09"."""
        return f"{self.kind}: {self.details}" if self.details else self.kind

    @property
    def details(self) -> str:
        """The reason, with its numbers."""
        if self.found is None or self.limit is None:
            return self.reason
        return f"{self.reason}: {self.found:.1e}, limit {self.limit:.0e}"

    @property
    def is_equal(self) -> bool:
        return self.kind == "equal"

    @property
    def is_checked(self) -> bool:
        return self.kind != "not-checked"

    @property
    def is_different(self) -> bool:
        return self.kind == "differs"

    @property
    def answer(self) -> str:
        """The answer for readers: yes, no, or not proven."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        return self.text


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of the verdicts, and the first of equally bad ones. Without verdicts, it is `not-checked`."""
    order = list(KINDS)
    return min(verdicts, key=lambda verdict: order.index(verdict.kind), default=Verdict.not_checked())


def verdict_in(certificate: Mapping[str, Any]) -> Verdict:
    """The verdict of a stored certificate."""
    return Verdict.from_text(certificate["verdict"])


def no_certificate(why: str = "") -> dict[str, Any]:
    """The certificate for a backend that was not checked, in its stored form."""
    missing = dict.fromkeys(DEVIATIONS)
    return {"verdict": Verdict.not_checked(why).text, **missing, "steps": 0, "timed": {}, "excludes": []}
