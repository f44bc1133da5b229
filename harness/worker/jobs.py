"""Jobs of a worker other than cells: certificates, the cross-check, and the probe of a backend."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from harness.errors import ContractError
from harness.options import change
from harness.pictures import inputs
from harness.plugins import load_backend, load_plugins
from harness.report.crosscheck import REFERENCE
from harness.storage.places import Places
from harness.storage.sealed import read_arrays, write_arrays
from harness.verdict import Verdict, no_certificate
from harness.worker.certificates import Conditions, certificate
from harness.worker.crosscheck import apart, feature_maps, judged
from harness.worker.failures import explain
from harness.worker.networks import as_trained, builder_of, network_of, trained_network


def certify(request: dict[str, Any]) -> dict[str, Any]:
    """One certificate for each subject of the request. An error becomes the verdict of the remaining subjects."""
    plugins, places, answers = load_plugins(), Places.from_environment(), {}
    conditions = Conditions(*(request[name] for name in Conditions._fields))
    try:
        for name, subject in request["subjects"].items():
            task = plugins.tasks[subject["task"]]
            network, start = network_of(subject["model"], subject["weights"], plugins, places)
            data_options, options = inputs.split_options(subject["options"])
            dataset = inputs.load(subject["dataset"], plugins.datasets, network, data_options, places)
            options = change(task.options(), options)
            build = builder_of(task, network, start)
            subjects = task.subjects(build, dataset.shape, len(dataset.classes), options)
            answers[name] = certificate(conditions, subjects, places)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        answers = dict.fromkeys(request["subjects"], _without_certificate(error)) | answers
    return answers


def _without_certificate(error: BaseException) -> dict[str, Any]:
    """The answer for subjects whose certificate ended in an error. A backend that breaks the contract differs."""
    reason = explain(error)[1]
    missing = no_certificate(reason)
    return missing | {"verdict": Verdict.differs(reason).text} if isinstance(error, ContractError) else missing


def judge(request: dict[str, Any]) -> dict[str, Any]:
    """The scores of a backend for each case of pictures. The reference also measures the differences between the pictures,
    and writes the feature maps of one of them."""
    who, plugins, places = request["judge"], load_plugins(), Places.from_environment()
    answers: dict[str, Any] = {}
    for name, case in request["cases"].items():
        try:
            _, start = network_of(case["model"], case["weights"], plugins, places)
            assert start, "only tasks with trained weights make pictures"
            made = {key: read_arrays(Path(file)) for key, file in case["pictures"].items()}
            first = next(iter(made.values()))
            trained = trained_network(start, names=False)._replace(model=as_trained(start, first["made"].shape[1:]))
            backend = load_backend(who["backend"])(who["device"], who["mode"], who["precision"])
            answers[name] = {"scores": judged(backend, trained, made)}
            if who["backend"] == REFERENCE:
                answers[name]["beside"] = {"apart": apart([arrays["made"] for arrays in made.values()])}
                if "shown" in first:
                    row = first["shown"][0]
                    pair = {"original": first["original"][row], "made": first["made"][row]}
                    write_arrays(Path(case["maps"]), feature_maps(trained, pair))
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answers[name] = {"problem": explain(error)[1]}
    return answers


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Import and start a backend. Returns its modes, precisions, device, versions and settings, or the reason of a failure."""
    backend, device = request["probe"]["backend"], request["probe"]["device"]
    try:
        loaded = load_backend(backend)
        started = loaded(device, precision=loaded.precisions[0])
        found = {"modes": loaded.modes, "precisions": loaded.precisions, "device": started.device}
        return {"reason": None, **found, "versions": started.versions(), "settings": started.settings()}
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return {"reason": explain(error)[1]}
