"""The notes below the tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.parity.probes import LIMITS
from harness.report.agreement import Agreement
from harness.report.crosscheck import judged_metric
from harness.report.summary import Report
from harness.report.text.costs import break_evens
from harness.report.text.footer import footer
from harness.report.text.results import one_each
from harness.report.text.tables import experiment_title, seeds_text, short_hash, within
from harness.result import Result
from harness.timing.steady import FEWEST, drift

UNKNOWN = ("unknown", "not said")
"""The values of unknown facts about weights. Older results have "not said"."""

MACHINE_DRIFT = 0.10
"""A larger change of the machine's own speed during a run is a warning."""

LABELS = {"variant": "variant", "trained_on": "training data", "licence": "licence"}
"""The facts about weights that a reader needs, with their names in the text."""


def report_notes(report: Report) -> Iterator[list[str]]:
    """Paragraphs of lines, the most important first."""
    yield [
        *dict.fromkeys(_agreements(report.agreements)),
        *(_apart(found, report) for found in report.judgements if found["apart"]),
    ]
    yield list(dict.fromkeys(line for result in one_each(report.results) for line in _verdict(result)))
    yield list(map(_failure, _not_ok(report.results)))
    yield list(break_evens(report))
    yield list(_starts(report.results))
    yield list(_own_ways(report.results))
    yield [problem for found in report.judgements for problem in found["problems"]]
    yield list(_disturbed(report.summary))
    yield [*run_warnings(report), *_warnings(report.results)]
    yield list(dict.fromkeys(note for result in report.results for note in _stored_notes(result)))
    yield list(footer(report))


def run_warnings(report: Report) -> list[str]:
    """Warnings about the whole run: rows that cannot be compared, and backends whose versions changed."""
    return [*_kept_apart(report.summary), *_mixed_versions(report.results), *_machine_drift(report.results)]


def _agreements(found: Sequence[Agreement]) -> Iterator[str]:
    """The spreads of the values of all backends: for each experiment, the largest over its seeds."""
    groups: dict[tuple[str, ...], list[Agreement]] = {}
    for each in found:
        groups.setdefault((each.task, each.model, each.dataset, each.precision, *each.backends), []).append(each)
    yield from map(_agreement, groups.values())


def _agreement(group: Sequence[Agreement]) -> str:
    first = group[0]
    if any(each.outliers for each in group):
        return f"In this run ({first.task}): not all backends agree; see below."
    widest = {label: _widest(group, name) for label, name in SPREADS.items()}
    spreads = ", ".join(f"{label} within {within(spread)}" for label, spread in widest.items() if spread is not None)
    text = f"In this run ({first.task}): same {first.shared} and first weights; {spreads}".rstrip("; ")
    return f"{text} over {_count(first.backends)}."


SPREADS = {
    "losses of the first step": "first_loss_spread",
    "of the first five": "first_losses_spread",
    "of the first segment": "first_segment_spread",
    "features": "features_spread",
    "clean and robust accuracy": "accuracy_spread",
}


def _widest(group: Sequence[Agreement], name: str) -> float | None:
    return max((spread for each in group if (spread := getattr(each, name)) is not None), default=None)


def _count(names: Iterable[str]) -> str:
    """The number of backends and of modes among names such as "pytorch/default"."""
    backends, _, modes = zip(*(name.rpartition("/") for name in names))
    several = f" in {len(set(modes))} modes" if len(set(modes)) > 1 else ""
    return f"{len(set(backends))} backend{'s' if len(set(backends)) > 1 else ''}{several}"


def _apart(found: dict[str, Any], report: Report) -> str:
    """A note about the differences between the pictures of several backends, with the reason if the backends are equal."""
    largest, visible = found["apart"]["largest"], found["apart"]["visible"]
    text = (
        f"Pictures of {found['task']}: those of {_count(found['scores'])} differ by {within(largest)} at most, and "
        f"visibly (by more than 1/255) in {visible:.1%} of their values."
    )
    subjects, seeds = found["subjects"], {*found["seeds"]}
    made = [r for subject in subjects for r in report.results_by_subject.get(subject, ()) if r.cell.seed in seeds]
    rounded = all(r.verdict.is_equal and r.cell.precision != "float64" for r in made)
    metric = judged_metric(report.metrics[found["task"]])
    what = metric.judged if metric else ""
    return text + (_why(found, made[0].cell.precision, what) if made and rounded and visible else "")


def _why(found: dict[str, Any], precision: str, what: str) -> str:
    """The reason why pictures differ although the backends are equal."""
    text = (
        f" The backends are still equal: in float64 their pictures agree to 1e-9. In {precision}, rounding changes small "
        "gradients, also their sign, and each step starts from the pictures of the last step."
    )
    if what not in found["spread"]:  # no judge has given a score
        return text
    return f"{text} The effect: the {what} that a backend finds in them differs by at most {found['spread'][what]:.2%}."


def _verdict(result: Result) -> Iterator[str]:
    """The reason why there is no proof, or the parts that the proof leaves out."""
    parity, cell = result.parity, result.cell
    who = f"{result.who}, {cell.task}"
    if not result.verdict.is_equal:
        yield f"Parity of {who}: {result.verdict}"
        return
    if parity["timed"]["limit"] > LIMITS[cell.precision]:
        yield "A limit above the usual limit of a precision is the change of the reference by rounding in float32."
    if parity["excludes"]:
        yield f"Not proven for {who}: {', '.join(parity['excludes'])}"


def _not_ok(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.status != "ok"]


def _failure(result: Result) -> str:
    cell = result.cell
    return f"{cell.task}, {result.who}, seed {cell.seed}: {result.status}: {result.reason}"


def _starts(results: Sequence[Result]) -> Iterator[str]:
    """A line for each set of weights that tasks started from."""
    tasks: dict[str, list[str]] = {}
    for result in results:
        if start := result.evidence.get("start"):
            tasks.setdefault(_weights_text(start), []).append(result.cell.task)
    yield from (f"Weights of {', '.join(dict.fromkeys(names))}: {text}." for text, names in tasks.items())


def _weights_text(start: Mapping[str, str]) -> str:
    """The known facts about weights, and the names of those that are unknown."""
    known = {name: value for name, value in start.items() if value not in UNKNOWN}
    network = "; ".join(known[name] for name in ("variant", "preprocessing") if name in known)
    text = f"{start['name']} ({network})" + (f", trained on {known['trained_on']}" if "trained_on" in known else "")
    facts = [known[name] for name in ("licence", "source") if known.get(name) not in (None, start["name"])]
    unknown = [label for name, label in LABELS.items() if name not in known]
    return "; ".join([text, *facts, *([f"unknown: {', '.join(unknown)}"] if unknown else [])])


def _own_ways(results: Sequence[Result]) -> Iterator[str]:
    """What each framework does in its own way, a line for each backend."""
    changes: dict[str, dict[str, str]] = {}
    for result in results:
        if result.cell.own and result.status == "ok":
            changes.setdefault(result.shown, {}).update(result.evidence.get("own_ways", {}))
    for backend, ways in changes.items():
        yield f"Specific to {backend}: " + "; ".join(f"{name}: {how}" for name, how in ways.items())


def _disturbed(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Speeds that cannot be trusted, a line for each row and reason."""
    for row in rows:
        reasons: dict[str, list[int]] = {}
        for cell in row.get("disturbed", []):
            reasons.setdefault(cell["reason"], []).append(cell["seed"])
        for reason, seeds in reasons.items():
            yield f"Disturbed: the speed of {row['task']}, {row['backend']}/{row['mode']}, {seeds_text(seeds)}: {reason}."


def _kept_apart(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Warnings about rows of the same experiment that cannot be averaged or compared, because their basis differs."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        about = experiment_title({**row, "apart": {}, "varied": row["options"]})
        groups.setdefault(about, []).append(row)
    for group in groups.values():
        whole = len({row["subject"] for row in group}) == len(group)
        differ = [
            row for row in group if row["apart"] and not (whole and not {*row["apart"]} & {*row["of_experiment"]})
        ]
        if differ:
            yield (
                f"Warning: {differ[0]['task']}: cells that differ in more than their seed have separate rows. "
                + "; ".join(
                    f"{row['backend']}/{row['mode']}, {seeds_text(row['seeds'])}: {_values(row)}" for row in differ
                )
                + ". To compare them, or to get one row, run all of them again with a new --out."
            )


def _values(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {short_hash(value)}" for name, value in row["apart"].items())


def _warnings(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        cell = result.cell
        yield from (f"Warning: {cell.task}, {result.who}, seed {cell.seed}: {warning}" for warning in result.warnings)


def _machine_drift(results: Sequence[Result]) -> Iterator[str]:
    """A warning if the machine became faster or slower during the run, by the probe of each cell."""
    probed = [result for result in results if result.time.get("probe_s") and "turn" in result.time]
    in_order = sorted(probed, key=lambda result: int(result.time["turn"]))
    speeds = [1 / min(result.time["probe_s"]) for result in in_order]
    if len(speeds) >= FEWEST and abs(change := drift(speeds)) > MACHINE_DRIFT:
        yield (
            f"The machine became {'faster' if change > 0 else 'slower'} during the run: the speed of a fixed piece of work changed "
            f"by {change:+.0%}. Backends run in a random order, so that this affects all of them alike."
        )


def _mixed_versions(results: Sequence[Result]) -> Iterator[str]:
    """Warnings about backends whose cells ran on different versions: the run was resumed after an upgrade."""
    versions: dict[str, set[str]] = {}
    for result in results:
        if result.status == "ok":
            text = ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items()))
            versions.setdefault(result.shown, set()).add(text)
    for backend, several in versions.items():
        if len(several) > 1:
            yield f"Warning: cells of {backend} ran on different versions: {'; '.join(sorted(several))}"


def _stored_notes(result: Result) -> Iterator[str]:
    """The notes of the dataset and of the task."""
    yield from result.evidence.get("data_notes", [])
    yield from (f"{result.cell.task}: {note}" for note in result.evidence.get("notes", []))
