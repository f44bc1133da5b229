"""Options that are numbers: each has a range, and no range includes NaN or infinity."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest
from refusals import refused

from harness import SGD, Adam, AdamW, Cosine, Recipe, SpecError, StepDecay, UsageError, Warmup
from harness.options import ABOVE_0, AT_LEAST_0, BELOW_1, FACTOR, SHARE, Range, flatten
from harness.pictures.augmentation import Augmentation
from harness.plugins import load_plugins
from harness.result import Cell
from harness.running.config import Config, Settings, Source, from_file, from_words
from harness.tasks.common.stopping import Stopping

PLUGINS = load_plugins()
OPTIMIZERS = ("adam", "adamw", "sgd")
WRONG = ("NaN", "Infinity", "-Infinity", "nan", "-inf", "1e400", "-1e400", "-1")


def settings(*texts: str) -> Settings:
    return Settings.of(PLUGINS, list(from_words(texts)))


def is_number(hint: Any) -> bool:
    return "float" in str(hint) or "int" in str(hint)


def numbers_of(options: Any, path: str) -> list[str]:
    """The paths of all options that may be numbers."""
    found = []
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            found += numbers_of(value, f"{path}{field.name}.")
        elif is_number(get_type_hints(type(options))[field.name]):
            found.append(f"{path}{field.name}")
    return found


def every_number() -> list[tuple[str, ...]]:
    """The path of every number that a user can set, after the settings that it needs."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(numbers_of(Config(), ""), ())
    for name in PLUGINS.tasks:
        options = PLUGINS.tasks[name].options()
        groups = [path.removesuffix(".name") for path in flatten(options) if path.endswith("optimizer.name")]
        for needed in [(), *((f"{name}.{group}.name={which}",) for group in groups for which in OPTIMIZERS)]:
            for path in numbers_of(settings(*needed).tasks[name], f"{name}."):
                found.setdefault(path, needed)
    return [(*needed, path) for path, needed in {**found, "data.size": ()}.items()]


def test_every_number_of_every_option_is_refused_outside_its_range_with_its_path():
    paths = every_number()
    assert len(paths) > 60 and ("scratch-cnn.optimizer.name=sgd", "scratch-cnn.optimizer.momentum") in paths
    for *needed, path in paths:
        for wrong in WRONG:
            for text in (wrong, f"[{wrong}]"):
                with pytest.raises(UsageError) as error:
                    settings(*needed, f"{path}={text}")
                assert f": {path}" in str(error.value), (path, text, str(error.value))


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ("nan", "not-finite", "lr"),
        ("inf", "not-finite", "lr"),
        ("-inf", "not-finite", "lr"),
        ("1e400", "not-finite", "lr"),
        ("1" * 5000, "unreadable-file", "TOML"),
    ],
)
def test_numbers_in_a_file_have_the_same_ranges(tmp_path, value, code, said):
    file = tmp_path / "mine.toml"
    file.write_text(f"[scratch-cnn.optimizer]\nlr = {value}\n")
    with refused(UsageError, code, file, said):
        Settings.of(PLUGINS, [from_file(file)])


@pytest.mark.parametrize(
    ("option", "code", "values"),
    [
        ("scratch-cnn.optimizer.beta1=5", "out-of-range", ["scratch-cnn.optimizer.beta1", 0, 1, "5.0"]),
        ("scratch-cnn.optimizer.beta2=1", "out-of-range", ["scratch-cnn.optimizer.beta2", 0, 1, "1.0"]),
        ("scratch-cnn.optimizer.epsilon=-1", "out-of-range", ["scratch-cnn.optimizer.epsilon", 0, "-1.0"]),
        ("fine-tuning.head.optimizer.lr=-1", "out-of-range", ["fine-tuning.head.optimizer.lr", 0, "-1.0"]),
        ("fine-tuning.stopping.min_delta=NaN", "not-finite", ["fine-tuning.stopping.min_delta", "nan"]),
        (
            "scratch-cnn.augmentation.rotation=181",
            "out-of-range",
            ["scratch-cnn.augmentation.rotation", 0, 180, "181.0"],
        ),
        ("memory_gb=1e9", "out-of-range", ["memory_gb", 0, 1048576, "1000000000.0"]),
        ("timeout=0", "out-of-range", ["timeout", 0, "0.0"]),
        ("threads=0", "out-of-range", ["threads", 1, 0]),
        ("seeds=1000000000000", "out-of-range", ["seeds", 1, 1048576, 1000000000000]),
        ("seeds=[4294967296]", "out-of-range", ["seeds[0]", 0, 4294967295, 4294967296]),
        ("ideal-image.classes=[1,-2]", "out-of-range", ["ideal-image.classes[1]", 0, -2]),
        ("timeout=" + "9" * 400, "not-finite", ["timeout"]),
        ("scratch-cnn.epochs=" + "9" * 5000, "wrong-type", ["scratch-cnn.epochs"]),
    ],
)
def test_ranges(option, code, values):
    with refused(UsageError, code, *values):
        settings(option)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda: SGD(lr=NAN), ["SGD.lr", 0, "nan"]),
        (lambda: SGD(momentum=NAN), ["SGD.momentum", 0, 1, "nan"]),
        (lambda: Adam(lr=INF), ["Adam.lr", 0, "inf"]),
        (lambda: Adam(beta1=5), ["Adam.beta1", 0, 1, 5]),
        (lambda: Adam(epsilon=-1), ["Adam.epsilon", 0, -1]),
        (lambda: AdamW(weight_decay=NAN), ["AdamW.weight_decay", 0, "nan"]),
        (lambda: AdamW(l1=-INF), ["AdamW.l1", 0, "-inf"]),
        (lambda: Cosine(final=NAN), ["Cosine.final", 0, "nan"]),
        (lambda: StepDecay(at=(0.5, NAN)), ["StepDecay.at[1]", 0, 1, "nan"]),
        (lambda: StepDecay(at=[0.5, 2]), ["StepDecay.at[1]", 0, 1, 2]),
        (lambda: StepDecay(factor=INF), ["StepDecay.factor", 0, "inf"]),
        (lambda: Warmup(share=2.0), ["Warmup.share", 0, 1, "2.0"]),
        (lambda: Recipe(SGD(), rates=(("trunk", NAN),)), ["Recipe.rates", "'trunk'", 0, "nan"]),
        (lambda: Stopping(min_delta=INF), ["Stopping.min_delta", 0, "inf"]),
        (lambda: Augmentation(zoom=NAN), ["Augmentation.zoom", 0, "0.9", "nan"]),
    ],
)
def test_numbers_in_python_have_the_same_ranges(make, values):
    with refused(SpecError, "out-of-range", *values):
        make()


def test_the_text_of_a_range_names_its_limits():
    assert [str(range_) for range_ in (AT_LEAST_0, ABOVE_0, SHARE, BELOW_1, FACTOR, Range(), Range(high=3))] == [
        "at least 0", "above 0", "from 0 to 1", "from 0 to below 1", "above 0 and at most 1", "a finite number",
        "at most 3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (AT_LEAST_0, (0, 1e300, 10**400), (-1e-300, NAN, INF)),
        (ABOVE_0, (1e-300,), (0, -1, INF)),
        (BELOW_1, (0, 0.999), (1, NAN)),
        (SHARE, (0, 1), (1.0001, -INF)),
        (Range(), (-(10**400), 0.5), (NAN, INF, -INF)),
    ],
)
def test_numbers_inside_and_outside_a_range(allowed, inside, outside):
    assert all(number in allowed for number in inside)
    assert not any(number in allowed for number in outside)


def test_a_cell_has_only_numbers_that_its_file_can_hold():
    """JSON has no NaN. Once, NaN became a string in the file, so the cell changed and its result was not found."""
    cell = Cell("t", "numpy", "default", "float64", "auto", "m", "d", None, 0, {"lr": 0.5, "at": (0.1, 0.2)})
    assert cell.key
    for wrong, path, value in (({"lr": NAN}, "t.lr", NAN), ({"at": (0.1, INF)}, "t.at[1]", INF)):
        with refused(SpecError, "not-finite", path, value):
            Cell("t", "numpy", "default", "float64", "auto", "m", "d", None, 0, wrong)


def test_numbers_in_a_stored_run_are_checked():
    with refused(UsageError, "wrong-type", "run.json", "scratch-cnn.optimizer.lr", "'nan'"):
        Settings.of(PLUGINS, [Source("run.json", {"scratch-cnn.optimizer.lr": "nan"})])
