"""The overview of a run: a table, a sentence that sums it up, and a line for each exception."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness.metric import headline_of
from harness.report.stats import ALPHA, FEWEST_RATES, holm, p_different, paired_ratios
from harness.report.summary import Report
from harness.report.text.headlines import qualifier
from harness.report.text.notes import run_warnings
from harness.report.text.results import report_experiments
from harness.report.text.tables import Table, kept_apart, metric_text, network_text, number_of, seeds_text, short_hash
from harness.result import Result
from harness.text import counted, listed

Row = Mapping[str, Any]

MOST = 9
"""The largest number of exceptions that are shown."""

LONGEST = 200
"""The largest number of characters of an exception: two lines of a terminal. The notes have the whole text."""

NOT_RUN = ("unavailable", "unsupported", "interrupted")
"""Statuses of cells that were not run."""

UNSTABLE = "*"
"""The mark of a speed that was disturbed."""

UNSTABLE_SPEED = f"{UNSTABLE} Unstable"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
"""Reasons for unstable speeds that differ in their numbers only share a line."""


class Overview(NamedTuple):
    """A table and the lines below it."""

    table: Table
    legend: str
    """The meaning of the columns."""

    answer: str
    """A sentence: whether all backends computed the same, and which was the fastest."""

    exceptions: list[str]
    """Cells that differ, failed, are not proven or are unstable: a line for each reason, with all its backends."""

    rows: list[Row]
    """The row of the summary behind each row of the table."""


def report_overview(report: Report) -> Overview:
    """A row for each task and backend, and the most important facts about the run."""
    rows = _rows(report)
    mains = {row["task"]: _main(report, row) for row in report.summary}
    measure = next(iter(mains.values())) if len({*mains.values()}) == 1 else "result"
    counted = Counter(row["rate"].split()[-1] for row in report.summary if "rate" in row).most_common(1)
    unit = counted[0][0] if counted else "images"
    headers = ("task", "backend", measure, "time", f"{unit}/s", "memory", "parameters", "same")
    cells = [(task, backend, *_cells(report, row)) for task, backend, row in rows]
    return Overview(
        Table(_title(report), headers, _without_repeats(cells)),
        _legend(report, mains, measure, unit),
        _answer(report),
        _exceptions(report, rows),
        [row for *_, row in rows],
    )


def _rows(report: Report) -> list[tuple[str, str, Row]]:
    """The rows of the summary, with the names of their task and of their backend in this run."""
    modes = {row["mode"] for row in report.summary} != {"default"}
    found: list[tuple[str, str, Row]] = []
    labels = _task_labels(report.summary)
    for rows in report_experiments(report).values():
        names = Counter((row["backend"], row["mode"]) for row in rows)
        for row in rows:
            name = f"{row['backend']}/{row['mode']}" if modes else row["backend"]
            several = names[row["backend"], row["mode"]] > 1
            found.append((labels[id(row)], f"{name} ({kept_apart(row)})" if several else name, row))
    return found


def _task_labels(rows: Sequence[Row]) -> dict[int, str]:
    """The name of each row's task. If the task has several experiments, the values in which they differ are added."""
    parts: dict[int, tuple[str, ...]] = {id(row): _experiment(row) for row in rows}
    several: dict[str, list[set[str]]] = {}
    for row in rows:
        kinds = several.setdefault(row["task"], [set() for _ in parts[id(row)]])
        for kind, part in zip(kinds, parts[id(row)], strict=True):
            kind.add(part)
    return {
        id(row): ", ".join([
            row["task"],
            *(p for p, kind in zip(parts[id(row)], several[row["task"]], strict=True) if p and len(kind) > 1),
        ])
        for row in rows
    }  # fmt: skip


def _experiment(row: Row) -> tuple[str, ...]:
    """The parts of a row's experiment beside the task: network, dataset, precision, semantics, options."""
    shared = [f"{name} {short_hash(value)}" for name, value in row["apart"].items() if name in row["of_experiment"]]
    options = [f"{name}={value}" for name, value in row["varied"].items()]
    semantics = "" if row["semantics"] == "aligned" else row["semantics"]
    return network_text(row), f"on {row['dataset']}", row["precision"], semantics, ", ".join([*options, *shared])


def _main(report: Report, row: Row) -> str:
    """The name of a row's headline: "robust accuracy at epsilon 0.1"."""
    metrics = report.metrics[row["task"]]
    main = headline_of(metrics)
    return f"{main.header}{qualifier(main, row, metrics)}" if main else "result"


def _cells(report: Report, row: Row) -> tuple[str, ...]:
    main = headline_of(report.metrics[row["task"]])
    result = metric_text(main, row) if main else "-"
    if not row["n"]:
        statuses = Counter(result.status for result in report.results_of(row))
        different = row["parity"].answer if row["parity"].is_different else statuses.most_common(1)[0][0]
        return result, "-", "-", "-", "-", different
    rate = "-"
    if "images_per_s" in row:
        rate = number_of(row["images_per_s"]) + UNSTABLE * ("disturbed" in row)
    return result, _seconds(row["work_s"]["median"]), rate, _bytes(row), f"{row['parameters']:,}", row["parity"].answer


def _seconds(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds < 100
        else f"{seconds / 60:.1f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def _bytes(row: Row) -> str:
    peak = row.get("peak_bytes")
    if not peak:
        return "-"
    return f"{peak / 2**20:,.0f} MiB" if peak < 10 * 2**30 else f"{peak / 2**30:,.1f} GiB"


def _without_repeats(cells: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The name of a task stands in its first row only."""
    before = [None, *(task for task, *_ in cells)]
    return [("" if task == last else task, *rest) for last, (task, *rest) in zip(before, cells, strict=False)]


def _title(report: Report) -> str:
    """The numbers of tasks, backends, seeds and cells; the values that all rows share; and the machine."""
    rows, finished = report.summary, [result for result in report.results if result.status == "ok"]
    tasks, backends = dict.fromkeys(row["task"] for row in rows), dict.fromkeys(row["backend"] for row in rows)
    seeds = sorted({seed for row in rows for seed in row["seeds"]})
    host = report.run.get("host", {})
    devices = dict.fromkeys(str(result.evidence.get("device", "")).upper() for result in finished)
    machine = " of ".join(filter(None, (" and ".join(filter(None, devices)), str(host.get("processor") or ""))))
    parts = [
        f"{counted(len(tasks), 'task')} on {counted(len(backends), 'backend')}",
        *_shared(rows),
        seeds_text(seeds) if seeds else "",
        f"{len(finished)} of {counted(len(report.results), 'cell')} finished",
        f"on the {machine}" if machine else "",
    ]
    return ", ".join(filter(None, parts))


def _legend(report: Report, mains: Mapping[str, str], measure: str, unit: str) -> str:
    """The meaning of the columns whose headers do not say it, and the facts that differ between tasks."""
    groups: dict[str, list[str]] = {}
    for task, main in mains.items():
        groups.setdefault(main, []).append(task)
    meanings = [f"{main} ({', '.join(tasks)})" for main, tasks in groups.items()]
    results = [] if measure != "result" or not meanings else [f"result: {', '.join(meanings)}"]
    counted = {row["task"]: row["rate"].split()[-1] for row in report.summary if "rate" in row}
    rates = [f"{unit}/s: {other}/s of {task}" for task, other in counted.items() if other != unit]
    time = "time: training or attack, with compilation"
    facts = [
        f"{kind}: {', '.join(f'{value} ({listed(tasks)})' for value, tasks in values.items())}"
        for kind, values in _facts(report.summary).items()
        if len(values) > 1 and sum(map(len, values.values())) == len(mains)
    ]
    return "; ".join([*results, *facts, time, *rates, "memory: its peak", "same: as the NumPy reference, in float64"])


def _shared(rows: Sequence[Row]) -> list[str]:
    """The network, the dataset and the precision, if all rows have the same: "two-block-cnn on digits", "float32"."""
    same = {kind: next(iter(values)) for kind, values in _facts(rows).items() if len(values) == 1}
    if "network" in same and "dataset" in same:
        same["network"] += f" on {same.pop('dataset')}"
    return list(same.values())


def _facts(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, None]]]:
    """The networks, datasets and precisions of rows, each with its tasks."""
    found: dict[str, dict[str, dict[str, None]]] = {"network": {}, "dataset": {}, "precision": {}}
    for row in rows:
        for kind, value in zip(found, (row["model"], row["dataset"], row["precision"]), strict=True):
            found[kind].setdefault(value, {})[row["task"]] = None
    return found


def _answer(report: Report) -> str:
    """A sentence: did all backends compute the same, and which was the fastest?"""
    rows = [row for row in report.summary if row["n"] or row["parity"].is_different]
    if not rows:
        return "No cell has finished."
    return "; ".join(filter(None, (_sameness(rows), _fastest(report)))) + "."


def _sameness(rows: Sequence[Row]) -> str:
    backends, kinds = dict.fromkeys(row["backend"] for row in rows), Counter(row["parity"].kind for row in rows)
    if kinds["equal"] == len(rows):
        if len(backends) == 1:
            return f"{next(iter(backends))} computed the same as the reference"
        return f"{'Both' if len(backends) == 2 else f'All {len(backends)}'} backends computed the same"
    different = dict.fromkeys(row["backend"] for row in rows if row["parity"].is_different)
    parts = (
        [f"{kinds['equal']} of {counted(len(rows), 'row')} {_is(kinds['equal'])} proven the same"]
        if kinds["equal"]
        else []
    )
    parts += [f"{listed(different)} computed something else"] if different else []
    parts += [] if parts else ["Nothing is proven: there are no certificates"]
    return ", ".join(parts)


def _fastest(report: Report) -> str:
    """The backend with the highest speed in most experiments. It "was fastest" only where that is certain. Experiments with a
    disturbed speed are left out."""
    wins: dict[str, list[bool]] = {}
    experiments = [rows for rows in report_experiments(report).values() if len({_who(report, row) for row in rows}) > 1]
    stable = [rows for rows in experiments if all("images_per_s" in row and "disturbed" not in row for row in rows)]
    for rows in stable:
        best = max(rows, key=lambda row: row["images_per_s"]["median"])
        wins.setdefault(_who(report, best), []).append(_is_certain(report, best, rows))
    if not wins:
        return ""
    most = max(map(len, wins.values()))
    leaders = [name for name, certain in wins.items() if len(certain) == most]
    tasks = len({rows[0]["task"] for rows in stable}) == len(stable)
    what = "tasks" if tasks else "experiments"
    of = f"{len(stable)} {what}" if len(stable) == len(experiments) else f"the {len(stable)} {what} with stable speeds"
    alone = len(experiments) == 1
    if all(certain for name in leaders for certain in wins[name]):
        was = f"{listed(leaders)} {'was' if len(leaders) == 1 else 'were'}"
        return f"{was} the fastest" if alone else f"{was} fastest in {most} of {of}"
    few = min(row["n"] for rows in stable for row in rows) < FEWEST_RATES
    doubt = f"fewer than {FEWEST_RATES} seeds, so not tested" if few else "not certain"
    return f"{listed(leaders)} had the highest speed{'' if alone else f' in {most} of {of}'} ({doubt})"


def _is_certain(report: Report, best: Row, rows: Sequence[Row]) -> bool:
    """Whether this row is faster than each of the others, by pairs of cells with the same seed."""
    speeds = _speeds(report, best)
    p_values = []
    for row in rows:
        if row is not best:
            others = _speeds(report, row)
            if len(seeds := [seed for seed in speeds if seed in others]) < FEWEST_RATES:
                return False
            pairs = paired_ratios([others[seed] for seed in seeds], [speeds[seed] for seed in seeds])
            p_values.append(p_different(pairs))
    return all(p <= ALPHA for p in holm(p_values))


def _speeds(report: Report, row: Row) -> dict[int, float]:
    """The speed of each finished cell by its seed."""
    return {
        result.cell.seed: speed
        for result in report.results_of(row)
        if result.status == "ok" and (speed := result.speed)
    }


def _who(report: Report, row: Row) -> str:
    modes = {other["mode"] for other in report.summary} != {"default"}
    return f"{row['backend']}/{row['mode']}" if modes else str(row["backend"])


def _exceptions(report: Report, rows: Sequence[tuple[str, str, Row]]) -> list[str]:
    """Cells that differ, failed, are not proven or are unstable; the worst first."""
    found: dict[tuple[str, str], dict[tuple[str, str], list[int]]] = {}
    reasons: dict[tuple[str, str], list[str]] = {}
    for task, backend, row in rows:
        for kind, reason, seeds in _of_row(report, row):
            alike = kind, NUMBER.sub("#", reason) if kind == UNSTABLE_SPEED else reason
            reasons.setdefault(alike, []).append(reason)
            found.setdefault(alike, {}).setdefault((task, backend), []).extend(seeds)
    every = dict.fromkeys(backend for _, backend, _ in rows)
    order = ("Differs", "Failed", "Not run", "Not proven", UNSTABLE_SPEED, "Warning")
    lines = [
        f"{alike[0]}: {_where(places, every)}: {_together(reasons[alike])}"
        for alike, places in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    ]
    lines += [problem for judgement in report.judgements for problem in judgement["problems"]]
    lines += run_warnings(report)
    lines = [" ".join(line.split()) for line in dict.fromkeys(lines)]
    shown = [line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in lines[:MOST]]
    return [*shown, *([f"and {len(lines) - MOST} more"] if len(lines) > MOST else [])]


def _together(reasons: Sequence[str]) -> str:
    """One reason for several that differ in their numbers only: other processes used 1.0 to 1.5 cores."""
    several = zip(*(NUMBER.findall(reason) for reason in reasons), strict=True)
    ends = iter([(min(numbers, key=float), max(numbers, key=float)) for numbers in several])
    return NUMBER.sub(lambda _: " to ".join(dict.fromkeys(next(ends))), reasons[0])


def _of_row(report: Report, row: Row) -> Iterator[tuple[str, str, list[int]]]:
    """The exceptions of a row: kind, reason, and seeds, or no seeds if all are concerned."""
    for result in report.results_of(row):
        seeds = [result.cell.seed]
        if result.status != "ok":
            yield "Not run" if result.status in NOT_RUN else "Failed", f"{result.status}: {result.reason}", seeds
        yield from _unproven(result)
        yield from (("Warning", warning, seeds) for warning in result.warnings)
    yield from ((UNSTABLE_SPEED, cell["reason"], [cell["seed"]]) for cell in row.get("disturbed", ()))


def _unproven(result: Result) -> Iterator[tuple[str, str, list[int]]]:
    verdict = result.verdict
    if verdict.is_different:
        yield "Differs", verdict.details, []
    elif result.status == "ok" and not verdict.is_checked:
        yield "Not proven", verdict.details or "there is no certificate", []
    elif result.status == "ok":
        yield from (("Not proven", left_out, []) for left_out in result.parity["excludes"])


def _where(places: Mapping[tuple[str, str], Sequence[int]], every: Iterable[str]) -> str:
    """Tasks, backends, and seeds if there are any: fine-tuning on jax, seeds 0-2."""
    tasks, backends = dict.fromkeys(task for task, _ in places), dict.fromkeys(backend for _, backend in places)
    seeds = sorted({seed for several in places.values() for seed in several})
    of_seeds = f", {seeds_text(seeds)}" if seeds else ""
    if len(places) != len(tasks) * len(backends):
        return "; ".join(f"{task} on {backend}" for task, backend in places) + of_seeds
    on = "" if {*every} == {*backends} and len(backends) > 1 else f" on {listed(backends)}"
    return f"{listed(tasks)}{on}{of_seeds}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
