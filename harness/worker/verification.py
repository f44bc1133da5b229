"""Computes again what a stored cell says: its data, its network, and the numbers of the weights and pictures that it has kept."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.backend import Backend
from harness.data import Batches, Dataset, Examples
from harness.options import change
from harness.pictures import inputs
from harness.plugins import Plugins, load_backend, load_plugins
from harness.pretrained.entries import FILE, start_from
from harness.recipe import loss_for
from harness.reference.losses import probabilities
from harness.result import Cell, cell_of
from harness.spec import Array
from harness.storage.places import Places
from harness.storage.sealed import PICTURES, read_arrays
from harness.task import Trained, fingerprint_of
from harness.tasks.common.evaluation import evaluate
from harness.tasks.common.victim import at_once
from harness.worker.failures import explain
from harness.worker.networks import as_trained, builder_of, network_of, trained_network

AT_ONCE = 250
"""The number of pictures that are evaluated at once."""

ROUNDING = 1e-6
"""The largest part of a change beyond epsilon that rounding explains."""


def verify(request: dict[str, Any]) -> dict[str, Any]:
    """For each cell the facts that can be computed here, or the reason why that failed."""
    who, answers = request["verify"], {}
    plugins, places = load_plugins(), Places.from_environment()
    backend = load_backend(who["backend"])(who["device"], who["mode"], who["precision"])
    for key, one in who["cells"].items():
        try:
            answers[key] = _facts(cell_of(one["cell"]), Path(one["artifacts"]), one["kept"], backend, plugins, places)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answers[key] = {"problem": explain(error)[1]}
    return answers


def _facts(
    cell: Cell, artifacts: Path, kept: list[str], backend: Backend[Any], plugins: Plugins, places: Places
) -> dict[str, Any]:
    task = plugins.tasks[cell.task]
    data_options, options = inputs.split_options(cell.options)
    network, start = network_of(cell.model, cell.weights, plugins, places)
    dataset = inputs.load(cell.dataset, plugins.datasets, network, data_options, places)
    subjects = task.subjects(
        builder_of(task, network, start), dataset.shape, len(dataset.classes), change(task.options(), options)
    )
    found: dict[str, Any] = {"dataset": dataset.fingerprint, "subjects": fingerprint_of(subjects)}
    if start:
        found["start"] = start.about["hash"]
    if FILE in kept:
        saved = start_from(str(artifacts / FILE), None, plugins.weights, plugins.models, places)
        found |= _of_weights(Trained(saved.model, saved.load()), dataset, backend)
    if PICTURES in kept and start:
        arrays = read_arrays(artifacts / PICTURES)
        trained = trained_network(start, names=False)._replace(model=as_trained(start, arrays["made"].shape[1:]))
        found |= _of_pictures(arrays, trained, dataset, backend, cell.options)
    return found


def _of_weights(trained: Trained, dataset: Dataset, backend: Backend[Any]) -> dict[str, Any]:
    """The metrics of trained weights on the test split."""
    net = backend.build(trained.model, trained.weights)
    logits = backend.forward(net, Batches.in_order(dataset.test, AT_ONCE))
    found = evaluate(loss_for(trained.model), logits, dataset.test.labels, dataset.classes)
    return {"metrics": found.as_metrics(), "examples": len(dataset.test)}


def _of_pictures(
    arrays: Mapping[str, Array], trained: Trained, dataset: Dataset, backend: Backend[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """How often the network predicts the labels of the pictures, whether the originals are pictures of the test split, and whether
    the changes are within epsilon."""
    labels, made = arrays["labels"], arrays["made"]
    net = backend.build(trained.model, trained.weights)
    shares = probabilities(backend.forward(net, Batches.in_order(Examples(made, labels), at_once(made))))
    found: dict[str, Any] = {
        "judged": {
            "accuracy": float((shares.argmax(1) == labels).mean()),
            "probability": float(shares[np.arange(len(labels)), labels].mean()),
        },
        "examples": len(labels),
    }
    if "wanted" in arrays:
        known = {picture.tobytes() for picture in dataset.test.pixels(dataset.test.images, np.float32)}
        strange = [
            n for n, picture in enumerate(arrays["original"]) if picture.astype(np.float32).tobytes() not in known
        ]
        found["strange"] = strange
        found["largest"] = float(np.abs(made - arrays["original"]).max())
    return found
