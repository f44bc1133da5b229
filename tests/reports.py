"""Makes results and reports for tests, without a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.plugins import load_plugins
from harness.report.summary import Report
from harness.result import Cell, Result
from harness.running.store import Store
from harness.storage.sealed import PICTURES

REPORTERS = load_plugins().reporters


TEXTS = [name for name in REPORTERS if name not in ("badge", "csv-long", "parquet", "png", "svg")]
"""The formats that show every cell as text. The others show only numbers, a verdict or charts."""


CELL = Cell("scratch-cnn", "numpy", "default", "float64", "auto", "two-block-cnn", "digits", None, 0, {"epochs": 1})


def ok(cell: Cell = CELL, **changes) -> Result:
    found = Result(
        cell,
        "ok",
        metrics={"test_accuracy": 0.9, "train_accuracy": 0.95, "test_loss": 0.2},
        time={"first_step_s": 0.5, "total_s": 2.0, "images_per_s": [100.0, 110.0]},
        parameters={"total": 35914, "trainable": 35914, "frozen": 0, "buffers": 0},
        evidence={"device": "cpu"},
        versions={"numpy": "2.0"},
    )
    return replace(found, **changes)


class Kept:
    """A stored run, in memory."""

    run = {"id": "run", "host": {"processor": "a processor", "cores": 2}}

    def __init__(self, results=(), judged=(), pictures=(), maps=()) -> None:
        self._results, self._judged, self._pictures, self._maps = results, dict(judged), dict(pictures), dict(maps)

    def results(self):
        return self._results

    def judged(self):
        return self._judged

    def pictures(self, result):
        return self._pictures[result.cell.key]

    def feature_maps(self, result):
        return self._maps[result.cell.comparison_key]

    def log(self, result):
        return f"the log of {result.cell.key}"


def report(*results: Result, **kept) -> Report:
    return Report.of(Kept(results, **kept))


def all_reports(store: Store) -> str:
    """The texts of a run in all formats that show every cell."""
    found = Report.of(store)
    return "\n".join(REPORTERS[name](found) for name in TEXTS)


def certified(verdict: str = "equal", steps: int = 20, **numbers: float) -> dict[str, object]:
    """A certificate with this verdict."""
    found = dict.fromkeys(("logits", "gradients", "input_gradients", "trajectory"), 1e-15) | {"attack": None}
    timed = {"logits": 1e-7, "losses": 1e-7, "limit": 1e-4}
    return found | {"verdict": verdict, "steps": steps, "timed": timed, "excludes": []} | numbers


def measured(backend: str = "a", seed: int = 0, speed: float = 100.0, **changes) -> Result:
    """A finished training with phases, segments, memory and a certificate. `changes` may have changes of its cell too."""
    time = {
        "import_s": 1.0, "build_s": 0.1, "first_step_s": 0.5 + seed / 50, "train_s": 1.0 + seed / 10, "total_s": 3.0,
        "rate": "training images", "images_per_s": [speed] * 5,
    }  # fmt: skip
    memory = {"peak_rss_bytes": 300 * 2**20 + seed, "peak_device_bytes": None}
    given = {"backend": backend, "seed": seed, "options": {"epochs": 1, "batch_size": 32}}
    cell = replace(CELL, **given | changes.pop("cell", {}))
    return ok(cell, **{"time": time, "memory": memory, "parity": certified()} | changes)


DIFFERS = "differs: losses of a network: 1e-3, limit 1e-9"


NASTY = [
    "a|b",
    "new\nline",
    "`tick`",
    "<script>alert(1)</script>",
    "[red]x[/red]",
    "\x1b[31mred",
    "a\u202eb",
    "_*~#",
    "=1+1",
    "\r=1+1",
    "a\r=1+1",
    "＝1+1",
    "\x1b]0;title\x07",
    "@someone",
    "$x$",
    "&lt;b&gt;",
    "https://example.org",
    "www.example.org",
    ":tada:",
    "#12",
    "-2",
    "@x",
]


ATTACK = replace(CELL, task="adversarial", backend="one", weights="some")


CURVE = [{"epsilon": 0.0, "accuracy": 0.9}, {"epsilon": 0.1, "accuracy": 0.5}]


def attacked(backend: str = "one", seed: int = 0, robust: float = 0.5, **metrics) -> Result:
    found = {
        "test_accuracy": 0.9, "robust_accuracy": [CURVE[0], CURVE[1] | {"accuracy": robust}], "epsilon": 0.1,
        "success_rate": 0.4, "mean_perturbation": 0.07, "largest_perturbation": 0.1, "vanished_gradients": 0.0,
        "pictures": 1000,
    }  # fmt: skip
    return ok(
        replace(ATTACK, backend=backend, seed=seed),
        metrics=found | metrics,
        artifacts={PICTURES: "sha256:1"},
        evidence={"device": "cpu", "model": "m", "weights": "w", "pictures": "p"},
        parity={"verdict": "equal", "timed": {"limit": 1e-4, "logits": 0.0, "losses": 0.0}, "excludes": []}
        | dict.fromkeys(("logits", "gradients", "input_gradients", "trajectory", "attack"), 0.0)
        | {"steps": 10},
    )


def judged(results, score=lambda maker, judge: 0.5, judges=("numpy", "one/default", "two/default")):
    """The stored cross-check: a case for each seed."""
    cases = {}
    for result in results:
        case = cases.setdefault(
            result.cell.comparison_key,
            {
                "files": {},
                "judges": {judge: {"scores": {}} for judge in judges},
                "apart": {"largest": 0.01, "visible": 0.5},
            },
        )
        case["files"][result.cell.key] = "sha256:1"
        for judge in judges:
            value = score(result.cell.backend, judge)
            case["judges"][judge]["scores"][result.cell.key] = {"accuracy": value, "probability": value}
    return cases


def kept_pictures(classes=("a", "b")):
    random = np.random.default_rng(0)
    return {
        "original": random.uniform(0.2, 0.8, (3, 6, 5, 3)).astype(np.float32),
        "made": random.uniform(0.2, 0.8, (3, 6, 5, 3)).astype(np.float32),
        "labels": np.array([0, 1, 0]), "wanted": np.array([0, 1, 0]), "shown": np.array([2, 0, 1]),
        "before": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), "after": np.array([[0.3, 0.7]] * 3),
        "classes": np.array(classes),
    }  # fmt: skip


def shown(name: str, *results: Result, **kept) -> str:
    return " ".join(REPORTERS[name](report(*results, **kept)).split())
