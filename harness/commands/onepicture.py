"""A run of one task on one picture, and its page."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.commands import NOT_OK
from harness.commands.output import say, write_output
from harness.errors import UsageError
from harness.options import nearest
from harness.plugins import load_plugins
from harness.pretrained.entries import Start, start_from
from harness.report.page import closer_page
from harness.report.summary import Report
from harness.report.text.overview import report_overview
from harness.running.config import Source, each_once, from_profile, from_words
from harness.running.launch import launch_of, usual_folder
from harness.running.progress import watching
from harness.running.runner import Runner
from harness.running.store import Store
from harness.storage.places import Places
from harness.text import format_size


def attack(image: Path, target: str | None, epsilon: float | None, typed: Mapping[str, Any]) -> None:
    start = _start(typed["weights"])
    settings: dict[str, Any] = {
        "tasks": ["adversarial"], "dataset": f"picture:{os.path.abspath(image)}", "adversarial.pictures": 1,
    }  # fmt: skip
    if target is not None:
        settings["adversarial.target"] = class_number(target, start)
    if epsilon is not None:
        settings["adversarial.epsilon"] = epsilon
    goal = f", to be taken for {target}" if target else ""
    _page(settings, typed, f"{image.name}, attacked{goal}", f"{image.stem}-attack.html")


def dream(wanted: str, steps: int | None, typed: Mapping[str, Any]) -> None:
    start = _start(typed["weights"])
    settings: dict[str, Any] = {
        "tasks": ["ideal-image"], "dataset": f"synthetic:{format_size(start.model.input_shape)}",
        "ideal-image.classes": [class_number(wanted, start)],
    }  # fmt: skip
    if steps is not None:
        settings["ideal-image.steps"] = steps
    name = re.sub(r"[^A-Za-z0-9]+", "-", wanted).strip("-").lower() or "class"
    _page(settings, typed, f"The ideal picture of {wanted}", f"{name}-dream.html")


def _start(weights: str) -> Start:
    plugins = load_plugins()
    return start_from(weights, None, plugins.weights, plugins.models, Places.from_environment())


def class_number(said: str, start: Start) -> int:
    """The number of a class that the user names. Raises UsageError if the network has no such class, or several."""
    classes: Sequence[str] = start.class_names()[0]
    if said.isdecimal():
        if int(said) < len(classes):
            return int(said)
        raise UsageError(
            f"{start.name} has the classes 0 to {len(classes) - 1}: give one of them, not {said}", code="wrong-classes"
        )
    words = {
        number: {word.strip().lower() for word in name.split(",")} | {name.lower()}
        for number, name in enumerate(classes)
    }
    found = [number for number, known in words.items() if said.lower() in known]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(f"{number} ({classes[number]})" for number in found)
        raise UsageError(
            f"{start.name} has several classes named {said!r}: give a number: {numbers}", code="wrong-classes"
        )
    similar = [name for name in classes if said.lower() in name.lower()][:5]
    hint = f"did you mean {' or '.join(map(repr, similar))}?" if similar else nearest(said, classes)[:300]
    raise UsageError(f"{start.name} has no class {said!r}; {hint}", code="wrong-classes")


def _page(settings: Mapping[str, Any], typed: Mapping[str, Any], title: str, name: str) -> None:
    """Run the task on every backend, and write the page."""
    own = {
        "weights": typed["weights"],
        "segment_s": 0.0,
        **({"backends": typed["backend"]} if typed["backend"] else {}),
    }
    sources = [
        from_profile("quick"),
        *each_once([Source("this command", {**settings, **own}), *from_words(typed["sets"])]),
    ]
    launch = launch_of(sources)
    if not launch.cells:
        raise UsageError(
            "no backend is installed: name one with --backend, such as --backend numpy", code="not-installed"
        )
    launch.check()
    store = Store(typed["out"] or usual_folder())
    with watching(len(launch.cells)) as watcher:
        Runner(store, launch.limits(), watcher).run(launch.cells, launch.record, parity=True)
    report = Report.of(store)
    output = typed["output"] or Path(name)
    write_output(closer_page(report, title), output, "page")
    say(report_overview(report).answer)
    say(f"The page: {output}. The run: {store.folder}")
    if any(result.status != "ok" for result in report.results):
        sys.exit(NOT_OK)
