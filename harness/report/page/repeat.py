"""The section "Repeat this": the settings of a run, the versions of its packages, and its machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.report.page.markup import Column, Line, Markup, element, listing, table
from harness.report.summary import Report
from harness.report.text.notes import report_notes
from harness.result import Result

NOT_REPEATED = ("data_dir",)
"""Settings that belong to a machine and not to the experiment."""


def repeat(report: Report, prefix: str) -> Iterator[Markup]:
    """The commands that repeat the run elsewhere, and everything that may change its numbers."""
    yield element("p", "Save the settings as experiment.toml, and run:")
    yield element(
        "pre", f"{_install(report)}\nsamebench run experiment.toml --out again", class_="command", tabindex="0"
    )
    yield element(
        "details",
        element("summary", "experiment.toml"),
        element("pre", settings(report.run.get("config", {})), tabindex="0", id=f"{prefix}toml"),
    )
    yield element("details", element("summary", "Machine, versions and environment"), *_environment(report, prefix))
    notes = [line for lines in report_notes(report) for line in lines]
    yield element("details", element("summary", "Notes"), listing(notes))


def settings(config: Mapping[str, Any]) -> str:
    """The settings of a run as TOML. Settings that are not set are left out."""
    known = {path: value for path, value in config.items() if value is not None and path not in NOT_REPEATED}
    return (
        "\n".join(f"{_key(path)} = {_value(value)}" for path, value in known.items())
        or "# the run has stored no settings"
    )


def _key(path: str) -> str:
    """A dotted key of TOML. Each part is quoted unless it needs no quotes."""
    first, _, rest = path.partition(".")
    parts = [first, rest] if first == "python" and rest else path.split(".")
    return ".".join(
        part if part.replace("-", "").replace("_", "").isalnum() and part.isascii() else json.dumps(part)
        for part in parts
    )


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)


def _install(report: Report) -> str:
    """The command that installs the versions of this run."""
    finished = [result for result in report.results if result.status == "ok"]
    versions = {name: version.partition("+")[0] for result in finished for name, version in result.versions.items()}
    known = {name: version for name, version in versions.items() if name.replace("-", "").replace("_", "").isalnum()}
    ours: Mapping[str, Any] = next((r.provenance["samebench"] for r in finished if r.provenance.get("samebench")), {})
    words = [
        f"samebench=={ours['version']}" if ours else "samebench",
        *(f"{name}=={known[name]}" for name in sorted(known)),
    ]
    return f"pip install {' '.join(words)}"


def _environment(report: Report, prefix: str) -> Iterator[Markup]:
    """A table of all facts about the machine and the software; those that differ between backends have a row for each value."""
    facts: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for result in report.results:
        if result.status == "ok":
            for name, value in _facts(result, report.run.get("host", {})).items():
                facts.setdefault(name, {}).setdefault(value, {})[result.who] = None
    lines = [
        Line([name, kind, value, "all" if len(values) == 1 else ", ".join(whose)])
        for (kind, name), values in facts.items()
        for value, whose in values.items()
    ]
    columns = [Column(header, is_text=True) for header in ("name", "kind", "value", "backends")]
    yield table(columns, lines, f"{prefix}environment-table", "Environment", "environment")


def _facts(result: Result, host: Any) -> dict[tuple[str, str], str]:
    known = result.evidence.get("host") or (host if isinstance(host, dict) else {})
    provenance = result.provenance
    groups: dict[str, Mapping[str, Any]] = {
        "machine": known | {"device": result.evidence.get("device")},
        "GPU": provenance.get("accelerator", {}),
        "version": result.versions | _ours(provenance.get("samebench", {})),
        "setting": {f"{result.shown}: {name}": value for name, value in result.settings.items()},
        "variable": provenance.get("environment", {}),
        "hash": {name: result.evidence[name] for name in ("dataset", "model", "weights", "batches", "backend_code") if result.evidence.get(name)},
    }  # fmt: skip
    return {
        (kind, str(name)): str(value)
        for kind, values in groups.items()
        for name, value in values.items()
        if value is not None
    }


def _ours(known: Mapping[str, Any]) -> dict[str, str]:
    return {f"samebench {name}": str(value) for name, value in known.items()}
