"""The contents of `samebench list` and `samebench show`."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from harness.plugins import Plugins, find_backends, load_plugins
from harness.running.doctor import last_probe, probe
from harness.spec import Model
from harness.storage.places import Places
from harness.text import format_size


def everything(try_backends: bool = False) -> dict[str, list[dict[str, Any]]]:
    """All plugins by kind, as plain data."""
    plugins = load_plugins()
    found: dict[str, list[dict[str, Any]]] = {
        "backends": _backends(try_backends),
        "tasks": [{"name": name} for name in plugins.tasks],
        "models": [_describe(name, plugins) for name in plugins.models],
        "datasets": [{"name": name} for name in plugins.datasets],
        "weights": [
            {"name": name, "model": (entry := plugins.weights[name]).model, "source": entry.source}
            | {"licence": entry.licence, "trained_on": entry.trained_on}
            for name in plugins.weights
        ],
        "reporters": [{"name": name} for name in plugins.reporters],
        "sinks": [{"name": name} for name in plugins.sinks],
    }
    found["models"] = [model for model in found["models"] if model]
    if refused := plugins.refused():
        found["broken"] = [{"name": name, "reason": reason} for name, reason in refused.items()]
    return found


def _backends(try_them: bool) -> list[dict[str, Any]]:
    """The backends. A backend is broken if it could not be started at its last probe."""
    places, rows = Places.from_environment(), []
    for entry in find_backends().values():
        status, reason = entry.status, entry.reason
        if status == "available":
            tried = probe(entry.name, places) if try_them else last_probe(entry.name, places)
            if tried and tried["reason"]:
                status, reason = "broken", tried["reason"]
        rows.append({"name": entry.name, "status": status, "reason": reason})
    return rows


def as_text(found: dict[str, list[dict[str, Any]]]) -> str:
    parts = []
    for kind, rows in found.items():
        if kind == "backends":
            table = tabulate([(row["name"], row["status"], row["reason"] or "") for row in rows], tablefmt="plain")
        elif kind == "models":
            table = tabulate(
                [(r["name"], f"{r['parameters']['total']:,} parameters", f"{r['flops'] / 1e6:,.1f} Mflop a picture") for r in rows],
                tablefmt="plain", colalign=("left", "right", "right"),
            )  # fmt: skip
        elif kind == "weights":
            table = tabulate([(r["name"], r["model"], r["trained_on"], r["licence"]) for r in rows], tablefmt="plain")
        elif kind == "broken":
            table = tabulate([(row["name"], row["reason"]) for row in rows], tablefmt="plain")
        else:
            table = "\n".join(row["name"] for row in rows)
        parts.append(f"{kind}\n" + "\n".join(f"  {line}" for line in table.splitlines()))
    return "\n\n".join(parts)


def _describe(name: str, plugins: Plugins) -> dict[str, Any]:
    """The published network. If its builder fails, it is recorded as broken, and the result is empty."""
    try:
        model = plugins.models[name]()
        counts = model.counts()
    except Exception as error:
        plugins.broken[name] = f"{type(error).__name__}: {error}"
        return {}
    parameters = {"total": counts.total, "trainable": counts.trainable, "buffers": counts.buffers}
    return {"name": name, "parameters": parameters, "flops": model.flops}


def layer_table(model: Model) -> str:
    """The layers of a network, with their parameters and flops, and the totals."""
    counts = model.counts()
    rows = [
        (row.name, row.layer, format_size(row.shape), f"{row.parameters:,}", f"{row.flops:,}") for row in model.table
    ]
    align = ("left", "left", "right", "right", "right")
    table = tabulate(rows, ("layer", "is", "gives", "parameters", "flops"), disable_numparse=True, colalign=align)
    return (
        f"{model.name}, {'x'.join(map(str, model.input_shape))}, {model.logits_shape[0]} classes\n\n{table}\n\n"
        f"{counts.total:,} parameters, {counts.buffers:,} batch-norm statistics, {model.flops:,} flops a picture, forward"
    )
