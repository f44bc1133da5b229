"""Metrics: the declarations of the numbers that a task measures. Every report shows them by their declarations.

A task declares its metrics in `Task.metrics`, and a run stores the declarations. No report and no check of stored results
knows the name of a metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

from harness.errors import SpecError
from harness.forms import is_number, mistyped, shown

Format = Literal["share", "difference", "number", "size", "loss", "count", "rate"]
Form = Literal["value", "curve", "classes", "confusion"]


class Look(NamedTuple):
    """A format of numbers: the smallest and the largest number, the description for messages, and the text of a number."""

    least: float
    most: float
    description: str
    text: str
    """The format specification of Python."""

    unit: str = ""
    factor: float = 1.0
    """The factor by which a number is multiplied before it is written."""


FORMATS: dict[Format, Look] = {
    "share": Look(0.0, 1.0, "a share from 0 to 1", ".2f", "%", 100.0),
    "difference": Look(-1.0, 1.0, "a difference of two shares", ".2f", "%", 100.0),
    "number": Look(-math.inf, math.inf, "a number", ".3g"),
    "size": Look(0.0, math.inf, "a number of at least 0", ".3g"),
    "loss": Look(-math.inf, math.inf, "a number", ".4f"),
    "count": Look(0.0, math.inf, "a count of at least 0", ",.6g"),
    "rate": Look(0.0, math.inf, "a rate of at least 0", ",.0f"),
}
"""The formats: a share and a difference of shares are shown in percent, a size has three digits, and so on."""

SHARES_OF_A_CLASS = {"precision": False, "recall": True, "f1": True}
"""The shares of each class, and whether they may be None: a class without pictures has no recall and no F1."""

OF_A_CLASS = ("class", "count", *SHARES_OF_A_CLASS)
"""The keys of each class in a metric of the form "classes"."""

RESERVED = (
    "subject", "task", "backend", "mode", "model", "dataset", "weights", "precision", "semantics", "options", "n", "cells",
    "seeds", "rests_on", "of_experiment", "parity", "images_per_s", "disturbed", "rate", "first_step_s", "parameters",
    "parameter_counts", "varied", "apart", "work_s", "peak_bytes",
)  # fmt: skip
"""Keys of the rows of the summary. No metric may have such a name."""


@dataclass(frozen=True)
class Metric:
    """A number that a task measures. `name` is its key in `TaskResult.metrics`; the other fields say how reports show it.

    Example: `Metric("sharpness", "sharpness", "size", better="lower")`.
    """

    name: str
    header: str = ""
    """The header of its column. Default: the name, with spaces for underscores."""

    format: Format = "number"
    """A share and a difference of two shares are shown in percent; a size is a number of at least 0."""

    better: Literal["higher", "lower"] | None = None
    """The direction that is better; None if neither is."""

    headline: bool = False
    """Whether it is the main number of its task. By default, this is the first metric."""

    average: Literal["mean", "none"] = "mean"
    """How the seeds of a row are taken together: as the mean, with its interval; or not at all. The value of a metric with
    "none" is a condition of the experiment, which is the same for all cells of a row. For a curve, "none" shows the first seed."""

    shown: Literal["results", "details", "no"] = "results"
    """The place: the table of results of every format ("results"); only tables of details, such as those of `evaluation`
    ("details"); or only the formats for programs ("no")."""

    form: Form = "value"
    """The form of the stored value: a number ("value"); a list of points ("curve"); a list with the shares of each class
    ("classes"); or a square of counts ("confusion")."""

    over: str = ""
    """For a curve: the key of the place in its points, such as "epoch"."""

    parts: tuple[tuple[str, Format], ...] = ()
    """For a curve: the keys of the values in its points, each with its format."""

    of: str = ""
    """For a value that is read from a curve with one part: the name of the curve. The value is read at the point whose
    place equals the metric `at`. For confusions: the name of the metric with the form "classes"."""

    at: str = ""
    """The name of a metric that qualifies this metric: robust accuracy 61.33% at epsilon 0.1."""

    sample: str = ""
    """For a share: the name of the metric with the number of pictures. Backends may differ by one picture."""

    compared: bool = False
    """Whether the values of all backends must agree: within half a percent, or within one picture of the sample."""

    judged: Literal["accuracy", "probability", ""] = ""
    """The score that the reference computes for the task's pictures. This metric must agree with it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "header", self.header or self.name.replace("_", " "))
        object.__setattr__(self, "parts", tuple((key, format) for key, format in self.parts))
        for field, allowed in CHOICES.items():
            if (value := getattr(self, field)) not in allowed:
                raise SpecError(
                    f"metric {self.name}: {field} is one of {', '.join(map(str, allowed))}, not {value!r}",
                    code="unknown-name",
                )
        if not self.name.isidentifier() or self.name in RESERVED:
            raise SpecError(
                f"metric {self.name!r}: choose another name: this is not an identifier, or it is a key of every row of a report",
                code="wrong-form",
            )
        if self.form == "curve" and not (
            self.over and self.parts and {format for _, format in self.parts} <= {*FORMATS}
        ):
            raise SpecError(
                f"metric {self.name}: a curve needs `over` and `parts`; the format of each part is one of {', '.join(FORMATS)}",
                code="missing-option",
            )

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest possible value."""
        return ends_of(self.format)

    @property
    def is_mean(self) -> bool:
        return self.average == "mean"

    def value_in(self, metrics: Mapping[str, Any]) -> Any:
        """The value in the metrics of a result; None if there is none."""
        if self.form != "value" or not self.of:
            return metrics.get(self.name)
        place = metrics.get(self.at)
        at_place = [point for point in metrics.get(self.of) or () if point[self.at] == place]
        return next((value for point in at_place for key, value in point.items() if key != self.at), None)

    def problems(self, metrics: Mapping[str, Any]) -> Iterator[str]:
        """Problems of the value in stored metrics, each with its path."""
        name = self.of if self.form == "value" and self.of else self.name
        if name not in metrics:
            return
        for other, least in ((self.at, None), (self.sample, 1)):
            if other and not is_number(metrics.get(other)):
                yield f"metrics.{other} is a number, which {self.name} needs, not {shown(metrics.get(other))}"
            elif other and least is not None and metrics[other] < least:
                yield f"metrics.{other} is at least {least}, not {shown(metrics[other])}"
        if name == self.name:
            yield from getattr(self, f"_{self.form}_problems")(metrics[name], f"metrics.{name}", metrics)

    def _value_problems(self, value: Any, path: str, metrics: Mapping[str, Any]) -> Iterator[str]:
        if not is_of(self.format, value):
            yield number_problem(value, self.format, path)

    def _curve_problems(self, points: Any, path: str, metrics: Mapping[str, Any]) -> Iterator[str]:
        keys = {self.over, *(key for key, _ in self.parts)} if self.is_mean else {self.over}
        listed = isinstance(points, list) and (points or not self.is_mean)
        if not (
            listed and all(isinstance(p, dict) and p.keys() >= keys and all(map(is_number, p.values())) for p in points)
        ):
            yield f"{path} is a list of objects of numbers, each with its {' and its '.join(sorted(keys))}"
            return
        for place, point in enumerate(points):
            for key, format in self.parts:
                if key in point and not is_of(format, point[key]):
                    yield number_problem(point[key], format, f"{path}[{place}].{key}")

    def _classes_problems(self, rows: Any, path: str, metrics: Mapping[str, Any]) -> Iterator[str]:
        if not (isinstance(rows, list) and all(map(_is_class, rows))):
            yield f"{path} is a list of objects with {', '.join(OF_A_CLASS)}"
            return
        for place, row in enumerate(rows):
            for key, may_be_none in SHARES_OF_A_CLASS.items():
                if not (is_of("share", row[key]) or (row[key] is None and may_be_none)):
                    yield number_problem(row[key], "share", f"{path}[{place}].{key}")

    def _confusion_problems(self, rows: Any, path: str, metrics: Mapping[str, Any]) -> Iterator[str]:
        classes = metrics.get(self.of) or []
        if rows is not None and isinstance(classes, list) and not _is_square(rows, len(classes)):
            yield f"{path} is {len(classes)} lists of {len(classes)} counts, as many as metrics.{self.of}"

    def as_json(self) -> dict[str, Any]:
        """The declaration as a run stores it."""
        return asdict(self) | {"parts": [list(part) for part in self.parts]}

    @classmethod
    def from_json(cls, data: Any, path: str = "metric") -> Metric:
        """The inverse of `as_json`. Keys of later versions are ignored. Raises ValueError with the path of a problem."""
        if not isinstance(data, dict):
            raise ValueError(f"{path} is an object, not {shown(data)}")
        given = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        for name, kind in TYPES.items():
            for problem in mistyped(given.get(name, kind()), kind, f"{path}.{name}"):
                raise ValueError(problem)
        parts = given.get("parts", [])
        if not (isinstance(parts, list) and all(isinstance(part, list) and len(part) == 2 for part in parts)):
            raise ValueError(f"{path}.parts is a list of pairs, not {shown(parts)}")
        try:
            return cls(**given)
        except (SpecError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None


CHOICES: dict[str, tuple[Any, ...]] = {
    "format": get_args(Format), "better": ("higher", "lower", None), "average": ("mean", "none"),
    "shown": ("results", "details", "no"), "form": get_args(Form), "judged": ("accuracy", "probability", ""),
}  # fmt: skip
TYPES: dict[str, type] = {
    "name": str, "header": str, "headline": bool, "over": str, "of": str, "at": str, "sample": str, "compared": bool
}  # fmt: skip


def ends_of(format: Format) -> tuple[float, float]:
    """The smallest and the largest number of a format."""
    return FORMATS[format].least, FORMATS[format].most


def is_of(format: Format, value: Any) -> bool:
    """Whether this is a number within the ends of the format."""
    look = FORMATS[format]
    return is_number(value) and look.least <= value <= look.most


def number_problem(value: Any, format: Format, path: str) -> str:
    """The message about a value that does not have the format."""
    return f"{path} is {FORMATS[format].description}, not {shown(value)}"


def number_text(value: float, format: Format) -> str:
    """A number as text: 98.24%."""
    return f"{_digits(value, value, format)}{FORMATS[format].unit}"


def interval_text(mean: float, low: float | None, high: float | None, format: Format) -> str:
    """A mean with its interval, if there is one: 98.24% (97.73 to 98.75)."""
    text = number_text(mean, format)
    if low is None or high is None:
        return text
    return f"{text} ({_digits(low, mean, format)} to {_digits(high, mean, format)})"


def _digits(value: float, mean: float, format: Format) -> str:
    """The digits of a mean, or of an end of its interval. The mean decides the number of digits: small rates have two."""
    look = FORMATS[format]
    return f"{look.factor * value:{'.2g' if format == 'rate' and mean < 10 else look.text}}"


def check_metrics(metrics: Sequence[Metric]) -> None:
    """Raise SpecError if metrics of one task contradict each other."""
    names = [metric.name for metric in metrics]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise SpecError(f"the metric {double} is declared twice", code="name-taken")
    if len(headlines := [metric.name for metric in metrics if metric.headline]) > 1:
        raise SpecError(f"a task has at most one headline, not {' and '.join(headlines)}", code="conflicting-options")
    for metric in metrics:
        for other in filter(None, (metric.of, metric.at, metric.sample)):
            if other not in names:
                raise SpecError(
                    f"the metric {metric.name} refers to {other}, which is not declared", code="unknown-name"
                )


def headline_of(metrics: Sequence[Metric]) -> Metric | None:
    """The main number of a task: the metric with `headline`, or else the first."""
    values = [metric for metric in metrics if metric.form == "value" and metric.is_mean]
    return next((metric for metric in values if metric.headline), values[0] if values else None)


def plain_metrics(found: Sequence[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Metrics for a task that declares none: every number in its results, without formatting."""
    names = dict.fromkeys(name for metrics in found for name, value in metrics.items() if is_number(value))
    return tuple(Metric(name) for name in names if name.isidentifier() and name not in RESERVED)


def _is_class(row: Any) -> bool:
    named = isinstance(row, dict) and all(key in row for key in OF_A_CLASS)
    return named and isinstance(row["class"], str) and isinstance(row["count"], int)


def _is_square(rows: Any, side: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == side
        and all(isinstance(row, list) and len(row) == side and all(isinstance(n, int) for n in row) for row in rows)
    )
