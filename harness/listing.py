"""What `samebench list` and `samebench show` show."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from harness.plugins import Plugins, find_backends, load_plugins
from harness.spec import Model


def everything() -> dict[str, list[dict[str, Any]]]:
    """All there is by kind, as INTERFACE has it for programs."""
    plugins = load_plugins()
    found: dict[str, list[dict[str, Any]]] = {
        "backends": [{"name": b.name, "status": b.status, "reason": b.reason} for b in find_backends().values()],
        "tasks": [{"name": name} for name in plugins.tasks],
        "models": [_describe(name, plugins) for name in plugins.models],
        "datasets": [{"name": name} for name in plugins.datasets],
        "reporters": [{"name": name} for name in plugins.reporters],
    }
    found["models"] = [model for model in found["models"] if model]
    if refused := plugins.refused():
        found["broken"] = [{"name": name, "reason": reason} for name, reason in refused.items()]
    return found


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
        elif kind == "broken":
            table = tabulate([(row["name"], row["reason"]) for row in rows], tablefmt="plain")
        else:
            table = "\n".join(row["name"] for row in rows)
        parts.append(f"{kind}\n" + "\n".join(f"  {line}" for line in table.splitlines()))
    return "\n\n".join(parts)


def _describe(name: str, plugins: Plugins) -> dict[str, Any]:
    """The published network; nothing, and a note among the broken, if its builder fails."""
    try:
        model = plugins.models[name]()
        counts = model.counts()
    except Exception as error:
        plugins.broken[name] = f"{type(error).__name__}: {error}"
        return {}
    parameters = {"total": counts.total, "trainable": counts.trainable, "buffers": counts.buffers}
    return {"name": name, "parameters": parameters, "flops": model.flops}


def layer_table(model: Model) -> str:
    """A network layer by layer, and what it comes to."""
    counts = model.counts()
    rows = [
        (row.name, row.layer, "x".join(map(str, row.shape)), f"{row.parameters:,}", f"{row.flops:,}")
        for row in model.table
    ]
    align = ("left", "left", "right", "right", "right")
    table = tabulate(rows, ("layer", "is", "gives", "parameters", "flops"), disable_numparse=True, colalign=align)
    return (
        f"{model.name}, {'x'.join(map(str, model.input_shape))}, {model.logits_shape[0]} classes\n\n{table}\n\n"
        f"{counts.total:,} parameters, {counts.buffers:,} batch-norm statistics, {model.flops:,} flops a picture, forward"
    )
