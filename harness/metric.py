"""Metrics: the declarations of the numbers that a task measures. Every report shows them by their declarations.

A task declares its metrics in `Task.metrics`, and a run stores the declarations. No report and no check of stored results
knows the name of a metric.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args

from msgspec import UNSET, Meta, Struct, convert, defstruct, field

from harness.errors import SpecError
from harness.forms import Number, Problems, Share, has_form, is_number, number, problems, shown

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

PLAIN_KEY = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]*')
"""Keys of points that need no escapes in JSON."""

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
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise SpecError(
                    f"metric {self.name}: {name} must be one of {', '.join(map(str, allowed))}, not {value!r}",
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
        if wrong := [key for key in (self.over, *(key for key, _ in self.parts)) if PLAIN_KEY.fullmatch(key) is None]:
            raise SpecError(
                f"metric {self.name}: the key {shown(wrong[0])} of its points has a quote, a backslash or a control character: choose another",
                code="wrong-form",
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

    @property
    def value_form(self) -> Any:
        """The type of the value in a file."""
        if self.form == "curve":
            return _curve_form(self.over, self.parts, self.is_mean)
        return {"classes": list[ClassForm], "confusion": list[list[int]] | None}.get(self.form, NUMBERS[self.format])

    def problems(self, metrics: Mapping[str, Any]) -> Problems:
        """Problems of the value in stored metrics, each with its path."""
        return metrics_problems((self,), metrics)

    def _problems_with_others(self, metrics: Mapping[str, Any]) -> Problems:
        """Problems of the metrics that this metric refers to."""
        if self._stored_name in metrics:
            for other, form, words in ((self.at, Number, "a number"), (self.sample, AtLeast1, "a count of at least 1")):
                if other and not has_form(metrics.get(other), form):
                    yield f"metrics.{other} is {words}, which {self.name} needs, not {shown(metrics.get(other))}"
            if self.form == "confusion" and not _is_square(metrics[self.name], metrics.get(self.of)):
                yield f"metrics.{self.name} is a square of counts: a row and a column for each class of metrics.{self.of}"

    @property
    def _stored_name(self) -> str:
        """The key of the value in stored metrics. A value that is read from a curve has no key of its own."""
        return self.of if self.form == "value" and self.of else self.name

    def as_json(self) -> dict[str, Any]:
        """The declaration as a run stores it."""
        return asdict(self) | {"parts": [list(part) for part in self.parts]}

    @classmethod
    def from_json(cls, data: Any, path: str = "metric") -> Metric:
        """The inverse of `as_json`. Keys of later versions are ignored. Raises ValueError with the path of a problem."""
        try:
            for problem in problems(data, cls, path):
                raise ValueError(problem)
            return convert(data, cls)
        except SpecError as error:
            raise ValueError(f"{path}: {error}") from None


CHOICES: dict[str, tuple[Any, ...]] = {
    "format": get_args(Format), "better": ("higher", "lower", None), "average": ("mean", "none"),
    "shown": ("results", "details", "no"), "form": get_args(Form), "judged": ("accuracy", "probability", ""),
}  # fmt: skip

NUMBERS: dict[Format, Any] = {
    format: number(look.least, look.most, look.description) for format, look in FORMATS.items()
}
"""The type of the numbers of each format."""

AtLeast1 = number(1, math.inf, "a number of at least 1")


class ClassForm(Struct):
    """The shares of a class. A class without pictures has no recall and no F1."""

    name: str = field(name="class")
    count: int
    precision: Share
    recall: Share | None
    f1: Share | None


@cache
def _curve_form(over: str, parts: tuple[tuple[str, Format], ...], is_mean: bool) -> Any:
    """The type of a curve. The points of a curve that is averaged have all parts, and there is at least one."""
    kinds = {over: Number} | {key: NUMBERS[format] for key, format in parts}
    point = _class_of("Point", kinds, {over, *kinds} if is_mean else {over})
    return Annotated[list[point], Meta(min_length=1, description="a list of points")] if is_mean else list[point]  # type: ignore[valid-type]


def _class_of(name: str, kinds: Mapping[str, Any], needed: Collection[str] = ()) -> type[Struct]:
    """A form with these types by key. Keys of metrics come from plugins, so they are not used as names of attributes."""
    keys = dict(zip((f"field_{number}" for number in range(len(kinds))), kinds, strict=True))
    own = [(own, kinds[key]) if key in needed else (own, kinds[key], UNSET) for own, key in keys.items()]
    return defstruct(name, own, rename=keys, kw_only=True)


class CurvesForm(Struct):
    """All values of the points of curves."""

    metrics: dict[str, list[dict[str, Number]]]


class _MetricsForm(NamedTuple):
    """The form of the metrics of a task."""

    form: type[Struct]
    curves: tuple[str, ...]
    refer: tuple[Metric, ...]
    """The metrics that refer to others."""


@cache
def _form_of(metrics: tuple[Metric, ...]) -> _MetricsForm:
    own = {metric.name: metric.value_form for metric in metrics if metric.form != "value" or not metric.of}
    curves = tuple(metric.name for metric in metrics if metric.form == "curve")
    refer = tuple(metric for metric in metrics if metric.at or metric.sample or metric.form == "confusion")
    return _MetricsForm(_class_of("Root", {"metrics": _class_of("Metrics", own)}), curves, refer)


def metrics_problems(declared: tuple[Metric, ...], metrics: Mapping[str, Any]) -> Problems:
    """Problems in the values of these metrics in a result, each with its path."""
    known = _form_of(declared)
    if found := list(problems({"metrics": metrics}, known.form)):
        yield from found
        return
    curves = {name: metrics[name] for name in known.curves if name in metrics}
    yield from problems({"metrics": curves}, CurvesForm)
    for metric in known.refer:
        yield from metric._problems_with_others(metrics)


def ends_of(format: Format) -> tuple[float, float]:
    """The smallest and the largest number of a format."""
    return FORMATS[format].least, FORMATS[format].most


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
        raise SpecError(f"the metric {double} is declared twice: remove one, or rename it", code="name-taken")
    if len(headlines := [metric.name for metric in metrics if metric.headline]) > 1:
        raise SpecError(f"a task has at most one headline, not {' and '.join(headlines)}", code="conflicting-options")
    for metric in metrics:
        for other in filter(None, (metric.of, metric.at, metric.sample)):
            if other not in names:
                raise SpecError(
                    f"the metric {metric.name} refers to {other}, which the task does not declare: declare it too",
                    code="unknown-name",
                )
        if metric.form == "value" and metric.of and not _is_at_a_point(metric, metrics[names.index(metric.of)]):
            raise SpecError(
                f"the metric {metric.name} is read from {metric.of}, which is no curve over {metric.at or 'a metric'}: "
                "declare it as one",
                code="conflicting-options",
            )


def _is_at_a_point(metric: Metric, curve: Metric) -> bool:
    """Whether the curve has the place where the value is read."""
    return curve.form == "curve" and curve.over == metric.at


def headline_of(metrics: Sequence[Metric]) -> Metric | None:
    """The main number of a task: the metric with `headline`, or else the first."""
    values = [metric for metric in metrics if metric.form == "value" and metric.is_mean]
    return next((metric for metric in values if metric.headline), values[0] if values else None)


def plain_metrics(found: Sequence[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Metrics for a task that declares none: every number in its results, without formatting."""
    names = dict.fromkeys(name for metrics in found for name, value in metrics.items() if is_number(value))
    return tuple(Metric(name) for name in names if name.isidentifier() and name not in RESERVED)


def _is_square(rows: list[list[int]] | None, classes: Any) -> bool:
    side = len(classes) if isinstance(classes, list) else 0
    return rows is None or (len(rows) == side and all(len(row) == side for row in rows))
