"""Properties of windows, splits, batches, options and names, tested with many inputs."""

from __future__ import annotations

import json
import math
import string
from dataclasses import dataclass

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from refusals import refused

from harness import (
    SGD,
    Adam,
    AdamW,
    AvgPool,
    Batches,
    Conv,
    DataError,
    Dense,
    Examples,
    Flatten,
    MaxPool,
    SpecError,
    UsageError,
    Window,
)
from harness.data import fixed_share, stratified
from harness.options import change, flatten, parse
from harness.plugins import own_names
from harness.spec import NAME, Model
from harness.text import printable, shown_names

settings.register_profile("samebench", derandomize=True, deadline=None, max_examples=80)
settings.load_profile("samebench")

sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
windows = st.builds(
    Window,
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(sides, sides),
)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 2))


# Windows


@given(windows, shapes)
def test_the_output_of_a_window_has_a_value_for_each_position(window, shape):
    padded = np.pad(np.zeros(shape[:2]), window.padding)
    fits = all(size >= kernel for size, kernel in zip(padded.shape, window.kernel, strict=True))
    if not fits:
        with refused(SpecError, "wrong-shape", window.kernel, shape[:2]):
            window.output(shape)
        return
    places = np.lib.stride_tricks.sliding_window_view(padded, window.kernel)[:: window.stride[0], :: window.stride[1]]
    assert window.output(shape) == places.shape[:2]


@given(windows, shapes)
def test_same_padding_gives_the_size_divided_by_the_stride(window, shape):
    same = window._replace(padding=window.same_sides(shape))
    assert same.output(shape) == tuple(
        math.ceil(size / stride) for size, stride in zip(shape[:2], window.stride, strict=True)
    )
    assert all(0 <= after - before <= 1 for before, after in same.padding)


@given(st.sampled_from([MaxPool, AvgPool]), st.integers(1, 4), st.integers(1, 3), shapes)
def test_a_pool_has_the_output_shape_of_its_window(pool, size, stride, shape):
    assume(min(shape[:2]) >= size)
    model = Model("net", shape, (Conv(2, 1), pool(size, stride)), (Flatten(), Dense(2)))
    expected = Window((size, size), (stride, stride), ((0, 0), (0, 0))).output(shape)
    assert model.nodes[1].shape[:2] == expected


# Splits and batches

labelled = st.lists(st.integers(0, 4), min_size=4, max_size=60).map(np.array)


@given(labelled, st.data())
def test_a_stratified_choice_has_the_requested_size_and_the_share_of_each_class(labels, data):
    count = data.draw(st.integers(1, len(labels)))
    chosen = stratified(labels, count)
    assert chosen.sum() == count
    for label in np.unique(labels):
        share = (labels == label).sum() * count / len(labels)
        assert abs(chosen[labels == label].sum() - share) <= 1 + 1e-9


@given(labelled, st.floats(0.05, 0.95))
def test_a_held_out_share_has_every_class_on_both_sides_or_is_refused(labels, share):
    classes = [f"class {number}" for number in range(5)]
    try:
        mask = fixed_share(labels, share, classes, "pictures")
    except DataError:
        return
    for label in np.unique(labels):
        assert 0 < mask[labels == label].sum() < (labels == label).sum()


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5), st.integers(1, 3))
def test_each_epoch_uses_a_picture_at_most_once(count, batch_size, seed, epochs):
    examples = Examples(np.zeros((count, 1, 1, 1), np.uint8), np.zeros(count, np.int32))
    if count < batch_size:
        with refused(DataError, "too-few-examples", count, batch_size):
            Batches.shuffled(examples, batch_size, seed, range(epochs))
        return
    batches = Batches.shuffled(examples, batch_size, seed, range(epochs))
    steps = count // batch_size
    assert len(batches) == steps * epochs
    for epoch in range(epochs):
        rows = np.concatenate(list(batches[epoch * steps : (epoch + 1) * steps]))
        assert len(set(rows.tolist())) == steps * batch_size
    again = Batches.shuffled(examples, batch_size, seed, range(epochs))
    assert again.fingerprint == batches.fingerprint


@given(st.integers(1, 30), st.integers(1, 8))
def test_in_order_uses_every_picture_once_and_fills_the_last_batch(count, batch_size):
    examples = Examples(np.zeros((count, 1, 1, 1), np.uint8), np.zeros(count, np.int32))
    batches = Batches.in_order(examples, batch_size)
    assert np.concatenate(list(batches)).tolist() == list(range(count))
    assert batches.order.shape == (math.ceil(count / batch_size), batch_size)
    assert batches.order.max() == count - 1


# Options


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    count: int = 1


@dataclass(frozen=True)
class Options:
    inner: Inner = Inner()
    optimizer: SGD | Adam | AdamW = Adam()
    limit: int | None = None
    on: bool = False


finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.fixed_dictionaries(
    {},
    optional={
        "inner.share": finite,
        "inner.count": st.integers(-(10**6), 10**6),
        "limit": st.none() | st.integers(0, 100),
        "on": st.booleans(),
        "optimizer.name": st.sampled_from(["sgd", "adam", "adamw"]),
        "optimizer.lr": st.floats(0, 10),
    },
)


@given(values)
def test_options_have_their_new_values_and_no_other_option_changes(given_values):
    changed = flatten(change(Options(), given_values))
    assert given_values.items() <= changed.items()
    fresh = flatten(change(Options(), {k: v for k, v in given_values.items() if k == "optimizer.name"}))
    assert {k: v for k, v in changed.items() if k not in given_values} == {
        k: v for k, v in fresh.items() if k not in given_values
    }


@given(values)
def test_options_can_be_made_again_from_their_paths(given_values):
    changed = change(Options(), given_values)
    assert change(Options(), flatten(changed)) == changed


@given(st.text(string.ascii_letters + "._", min_size=1, max_size=12))
def test_an_error_names_the_unknown_option(path):
    assume(path not in flatten(Options()))
    with refused(UsageError, "unknown-option", f"task.{path}"):
        change(Options(), {path: 1}, "task.")


@given(st.none() | st.booleans() | st.integers() | finite)
def test_a_typed_value_is_the_value(value):
    assert parse(json.dumps(value)) == value


@given(st.text())
def test_any_typed_text_is_some_value(text):
    assert isinstance(parse(text), str | int | float | bool | list | dict | None)


# Names

files = st.lists(
    st.text(string.ascii_lowercase + "/.-é\x1b\n", min_size=1, max_size=12).map(lambda text: f"{text}.py"),
    max_size=5,
    unique=True,
)


@given(files, st.lists(st.sampled_from(["numpy", "jax", "pytorch"]), unique=True))
def test_every_backend_has_a_unique_printable_name(given_files, installed):
    backends = [*given_files, *installed]
    shown = shown_names(backends, own_names(backends, installed))
    assert shown.keys() == set(backends)
    assert all(name == printable(name) for name in shown.values())
    assert len(set(shown.values())) == len(backends) or len(set(map(printable, backends))) < len(backends)


@given(st.text(max_size=70))
def test_a_name_of_a_network_is_plain(name):
    if NAME.fullmatch(name):
        assert name.isascii() and "/" not in name and "." not in name and len(name) <= 64
