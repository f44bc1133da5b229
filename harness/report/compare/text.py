"""A comparison in words: sections with tables and sentences, in the order in which a reader needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness.metric import number_text
from harness.report.basis import differing
from harness.report.compare.changes import ACCURACY_MARGIN, Change
from harness.report.compare.comparison import Comparison, Parity, Side
from harness.report.compare.conditions import SPEED_MARGIN
from harness.report.compare.gates import Outcome
from harness.report.compare.matching import Row, RowName
from harness.report.stats import FEWEST_MEANS, FEWEST_RATES, MOST_PAIRS
from harness.report.text.tables import LEFT_COLUMNS, Table, network_text, seeds_text, short_hash, tiny
from harness.result import Result
from harness.text import counted, listed

LEFT = (
    *LEFT_COLUMNS,
    "condition",
    "A",
    "B",
    "same",
    "dataset",
    "precision",
    "semantics",
    "options",
    "metric",
    "verdict",
)
"""The columns of conditions and names, which are aligned to the left."""

FIGURES = tuple(header for header in LEFT if header not in ("A", "B"))
"""The same for tables whose columns A and B are numbers."""

MOST = 3
"""The largest number of values that a condition shows."""

ANSWERS = {True: "yes", False: "no", None: "unknown"}
SPEED_WORDS = {"higher": "faster", "lower": "slower"}


class Section(NamedTuple):
    """A part of a comparison: lines, tables, each with its columns that are aligned to the left, and more lines."""

    title: str
    head: Sequence[str]
    tables: Sequence[tuple[Table, Sequence[str]]] = ()
    lines: Sequence[str] = ()


def sections(found: Comparison) -> list[Section]:
    """Everything that a reader sees of a comparison."""
    parts = [_conditions(found), _cells(found)]
    if found.matched:
        parts += [_speeds(found), _overall(found)]
    return [*parts, *([_gates(found)] if found.gates else [])]


# 1. Conditions


def _conditions(found: Comparison) -> Section:
    rows = list(_condition_rows(found))
    tables = [(Table("", ("condition", "A", "B", "same"), rows), LEFT)] if rows else []
    head = [_side("A", found.first), _side("B", found.second), _answer(found)]
    return Section("1. Can the runs be compared?", head, tables, list(_notes(found)))


def _side(letter: str, side: Side) -> str:
    state = "" if side.finished else "; the run is not finished"
    started = f", started {side.started}" if side.started else ""
    return f"{letter}: {side.name}{started}, {side.ok} of {side.cells} cells ok{state}"


def _condition_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    """Conditions that allow no verdict if they differ; then all other differences, and the number of those without any."""
    same = {"software": 0, "settings": 0}
    for one in found.conditions.all:
        if one.group in same and one.same:
            same[one.group] += 1
        elif one.group != "data" or one.name == "dataset" or not one.same:
            answer = ANSWERS[one.same]
            yield one.name, _values(one.first), _values(one.second), answer.upper() if one.is_obstacle else answer
    for group, count in same.items():
        if count:
            yield f"{count} {'versions' if group == 'software' else 'settings'}", "", "", ANSWERS[True]
    if drift := found.conditions.drift:
        low, high = drift.limits or (None, None)
        change = f"{drift.second / drift.first:.3f}" + (f" ({low:.3f} to {high:.3f})" if low and high else "")
        yield "drift probe", f"{drift.first:.4f} s", f"{drift.second:.4f} s", f"B / A {change}"


def _values(values: Sequence[str]) -> str:
    shown = [short_hash(value) for value in values[:MOST]]
    return ", ".join([*shown, *(["…"] if values[MOST:] else [])])


def _notes(found: Comparison) -> Iterator[str]:
    first, second = found.first, found.second
    if found.is_one_run:
        return
    if first.finished and second.started and first.finished <= second.started:
        yield (
            "A had ended before B began. Their cells were not run in turns, so a change of the machine in between looks like a "
            "change of speed."
        )
    elif second.finished and first.started and second.finished <= first.started:
        yield (
            "B had ended before A began. Their cells were not run in turns, so a change of the machine in between looks like a "
            "change of speed."
        )
    if found.matched and found.conditions.drift is None:
        yield "The cells have no drift probes, so a change of the machine would not be noticed."


def _answer(found: Comparison) -> str:
    obstacles = found.conditions.obstacles
    if not found.matched:
        return "No: no cell is in both runs, so nothing can be compared. The values that differ are below."
    if not any(row.finished for row in found.rows):
        return "No: no cell has finished in both runs, so nothing can be compared."
    if found.is_one_run:
        return "No: A and B are the same run, or copies of it. Their cells are the same measurements."
    if not obstacles:
        return "Yes: the hardware, the data and the precision are the same." if not _unknown(found) else (
            f"Yes, as far as it is known: the runs do not say {listed(_unknown(found))}."
        )  # fmt: skip
    differ = f"{listed(obstacles)} {'differs' if len(obstacles) == 1 else 'differ'}"
    if found.force:
        return f"FORCED: {differ}, and --force ignores it. Every verdict below may come from that."
    return f"No: {differ}. The rows that this concerns have no verdict; --force gives them one."


def _unknown(found: Comparison) -> list[str]:
    return [one.name for one in found.conditions.all if one.same is None and one.group in ("machine", "data")]


# 2. Cells


def _cells(found: Comparison) -> Section:
    removed, added = found.unpaired
    paired = sum(len(row.pairs) for row in found.rows)
    label = labels(found.rows)
    lines = [f"{counted(paired, 'cell')} {'is' if paired == 1 else 'are'} in both runs."]
    for letter, results in (("A", removed), ("B", added)):
        lines += [f"Only in {letter}: {text}." for text in _by_row(results, found.rows, label)]
    lines += [_why_unmatched(first, second) for first, second in _near(found.rows)]
    lines += [
        f"Status: {label[id(row)]}, seed {pair.first.cell.seed}: {_status(pair.first)} in A, {_status(pair.second)} in B."
        for row in found.rows
        for pair in row.pairs
        if pair.first.status != pair.second.status
    ]
    return Section("2. Cells", lines)


def _status(result: Result) -> str:
    return result.status if result.status == "ok" else f"{result.status} ({result.reason})"


def _by_row(results: Sequence[Result], rows: Sequence[Row], label: Mapping[int, str]) -> Iterator[str]:
    left = {id(result) for result in results}
    for row in rows:
        if seeds := [one.cell.seed for one in (*row.first, *row.second) if id(one) in left]:
            yield f"{label[id(row)]}, {seeds_text(seeds)}"


def _near(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Rows of one run each that have the same task, backend and mode."""
    for first in rows:
        for second in rows:
            if not first.second and not second.first and _main(first) == _main(second):
                yield first, second


def _main(row: Row) -> tuple[Any, ...]:
    return tuple(row.name[name] for name in ("task", "backend", "mode"))


def _why_unmatched(first: Row, second: Row) -> str:
    task, backend, mode = _main(first)
    differ = list(_different(first.name, second.name))
    more = [f"and {len(differ) - MOST} more"] if differ[MOST:] else []
    return f"Rows of {task} {backend}/{mode} do not match: {'; '.join([*differ[:MOST], *more])}."


def _different(first: RowName, second: RowName) -> Iterator[str]:
    """The values in which two names of rows differ: options that both have come before those of one row only."""
    for name, value in first.items():
        if name != "options" and value != second[name]:
            yield f"{_header(name)} {value} in A, {second[name]} in B"
    ours, theirs = first["options"], second["options"]
    both = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    yield from (f"option {name} {ours[name]} in A, {theirs[name]} in B" for name in both)
    yield from (f"option {name} {ours[name]} only in A" for name in ours if name not in theirs)
    yield from (f"option {name} {theirs[name]} only in B" for name in theirs if name not in ours)


# 3. Speeds


def _speeds(found: Comparison) -> Section:
    changes = found.speeds
    if not changes:
        return Section("3. Speeds", ["No row has a speed in both runs."])
    headers, names = columns([change.row for change in changes])
    cells = [
        (*name, _rate(change.first), _rate(change.second), _ratio(change), str(change.n), _detectable(change), verdict_text(change))
        for name, change in zip(names, changes, strict=True)
    ]  # fmt: skip
    table = Table(
        f"Speeds ({_experiment([change.row for change in changes])})",
        (*headers, "A", "B", "B / A", "pairs", "detectable", "verdict"),
        cells,
    )
    judged = sum(change.p_different is not None for change in changes)
    corrected = f" Verdicts are corrected for {counted(judged, 'row')} (Holm); intervals are not." if judged else ""
    lines = [
        "A, B: geometric means of the median speeds of the paired cells, per second. B / A ( to ): ratio of the pairs and its "
        f"95 % confidence interval, from {FEWEST_RATES} pairs on. detectable: the smallest change that such pairs show in 8 of "
        "10 comparisons.",
        f"equivalent: within {SPEED_MARGIN:.0%}, by two one-sided tests.{corrected}",
    ]
    return Section("3. Speeds", [], [(table, FIGURES)], lines)


def _rate(value: float | None) -> str:
    return "-" if value is None else number_text(value, "rate")


def _ratio(change: Change) -> str:
    if change.value is None:
        return "-"
    if change.limits is None:
        return f"{change.value:.3f}"
    low, high = change.limits
    return f"{change.value:.3f} ({low:.3f} to {high:.3f})"


def _detectable(change: Change) -> str:
    if change.smallest_effect is None:
        return "-"
    return f"{change.smallest_effect:.1%}" if change.relative else f"{100 * change.smallest_effect:.2f}"


def speed_text(change: Change) -> str:
    """A change of a speed in one line: 100, then 90 images/s; B / A 0.900 (0.880 to 0.920), 6 pairs: slower."""
    speeds = f"{_rate(change.first)}, then {_rate(change.second)} {change.measure.header}"
    return f"{speeds}; B / A {_ratio(change)}, {counted(change.n, 'pair')}: {verdict_text(change)}"


def verdict_text(change: Change) -> str:
    forced = f" (forced: {', '.join(change.ignored)})" if change.is_forced else ""
    if change.not_judged:
        return f"not judged: {change.not_judged}{forced}"
    if change.too_few:
        return f"undecided: {change.too_few}{forced}"
    if change.verdict == "undecided":
        needed = f"n = {change.would_decide}" if change.would_decide else f"more than {MOST_PAIRS:,} pairs"
        return f"undecided: {needed} would decide{forced}"
    words = SPEED_WORDS if change.measure.is_timed else {}
    return f"{words.get(str(change.verdict), change.verdict)}{forced}"


# 4. Everything together


def _overall(found: Comparison) -> Section:
    tables = [*_accuracies(found.accuracies), *_parity(found), *_others(found.others)]
    lines = [_mean(found)]
    if found.accuracies:
        lines.append(
            f"B - A of accuracies: in percentage points, from {FEWEST_MEANS} pairs on with its 95 % confidence interval. "
            f"equivalent: within {100 * ACCURACY_MARGIN:.0f} point."
        )
    if found.others:
        lines.append("Times and memory are ratios B / A of training or attack, without verdicts.")
    if all(one.first.kind == one.second.kind for one in found.parity):
        lines.append(f"Parity: no verdict has changed; {_largest_of(found.parity)}.")
    return Section("4. Together", lines[:1], tables, lines[1:])


def _mean(found: Comparison) -> str:
    mean = found.overall
    if mean.value is None:
        return "There is no geometric mean of the ratios: " + (
            "no seed is in all rows that are judged." if mean.rows else "no speed is judged."
        )
    forced = f" FORCED: {', '.join(found.ignored)}." if mean.is_forced else ""
    n = mean.pairs.n if mean.pairs else 0
    low, high = mean.limits or (None, None)
    limits = f" ({low:.3f} to {high:.3f})" if low and high else f", without an interval: n = {n}"
    of = (
        f"{counted(mean.rows, 'matched row')}"
        if mean.rows == mean.of
        else f"{mean.rows} of {mean.of} matched rows, those judged"
    )
    return f"Geometric mean of the ratios B / A: {mean.value:.3f}{limits}, over {of} and {counted(n, 'seed')} that all of them have.{forced}"


def _accuracies(changes: Sequence[Change]) -> Iterator[tuple[Table, Sequence[str]]]:
    if not changes:
        return
    headers, names = columns([change.row for change in changes])
    cells = [
        (*name, change.measure.header, _share(change.first), _share(change.second), _points(change), str(change.n), verdict_text(change))
        for name, change in zip(names, changes, strict=True)
    ]  # fmt: skip
    yield Table("Accuracies", (*headers, "metric", "A", "B", "B - A", "pairs", "verdict"), cells), FIGURES


def _share(value: float | None) -> str:
    return "-" if value is None else number_text(value, "share")


def _points(change: Change) -> str:
    if change.value is None:
        return "-"
    text = f"{100 * change.value:+.2f}"
    return text if change.limits is None else f"{text} ({100 * change.limits[0]:+.2f} to {100 * change.limits[1]:+.2f})"


def _parity(found: Comparison) -> Iterator[tuple[Table, Sequence[str]]]:
    """The verdicts of the rows whose kind has changed."""
    changed = [one for one in found.parity if one.first.kind != one.second.kind]
    if changed:
        headers, names = columns([one.row for one in changed])
        cells = [
            (*name, one.first.text, one.second.text, *map(tiny, one.largest))
            for name, one in zip(names, changed, strict=True)
        ]
        header = (*headers, "A", "B", "largest deviation A", "largest deviation B")
        yield Table("Verdicts of parity that have changed", header, cells), LEFT


def _largest_of(found: Sequence[Parity]) -> str:
    sides = zip(*(one.largest for one in found))
    largest = [max((value for value in side if value is not None), default=None) for side in sides]
    if None in largest:
        return "there are no deviations to compare"
    return f"the largest deviation from the reference is {tiny(largest[0])} in A and {tiny(largest[1])} in B"


def _others(found: Sequence[tuple[Change, ...]]) -> Iterator[tuple[Table, Sequence[str]]]:
    known = [changes for changes in found if any(change.n for change in changes)]
    if known:
        headers, names = columns([changes[0].row for changes in known])
        cells = [(*name, *map(_marked_ratio, changes)) for name, changes in zip(names, known, strict=True)]
        yield Table("Times and memory, B / A", (*headers, "time", "first step", "memory"), cells), FIGURES


def _marked_ratio(change: Change) -> str:
    return f"{_ratio(change)} (disturbed)" if change.not_judged == "disturbed" else _ratio(change)


# Gates


def _gates(found: Comparison) -> Section:
    label = labels(found.rows)
    lines = [_gate(outcome, label) for outcome in sorted(found.gates, key=lambda one: not one.fails)]
    failed = sum(outcome.fails for outcome in found.gates)
    total = f"{failed} of {len(found.gates)} failed." if failed else f"All {len(found.gates)} passed."
    return Section("5. Gates", [*lines, total])


def _gate(outcome: Outcome, label: Mapping[int, str]) -> str:
    where = f", {label[id(outcome.row)]}" if outcome.row else ""
    return f"{'FAILED' if outcome.fails else 'passed'} {outcome.gate.text}{where}: {outcome.message}."


# Names of rows


def columns(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headers and the cells that name these rows: task and backend, and all values in which they differ."""
    shown = ["task", "backend", *(name for name in _varied(rows) if name not in ("task", "backend", "options"))]
    options = _varied_options(rows)
    headers = (*map(_header, shown), *(["options"] if options else []))
    return headers, [(*(_value(row, name) for name in shown), *_options(row, options)) for row in rows]


def labels(rows: Sequence[Row]) -> dict[int, str]:
    """The name of each row in a sentence, by the id of the row: no two rows of a run have the same name."""
    first, second = [row for row in rows if row.first], [row for row in rows if not row.first]
    return _labels(first) | _labels(second)


def _labels(rows: Sequence[Row]) -> dict[int, str]:
    options = _varied_options(rows)
    return {id(row): _label(row, options) for row in rows}


def _label(row: Row, options: Sequence[str]) -> str:
    name = row.name
    own = [] if name["semantics"] == "aligned" else [name["semantics"]]
    where = f"{network_text(name)} on {name['dataset']}"
    parts = [
        f"{name['task']} {name['backend']}/{name['mode']}",
        where,
        name["precision"],
        *own,
        *_options(row, options),
    ]
    return ", ".join(filter(None, parts))


def _experiment(rows: Sequence[Row]) -> str:
    """The values that all rows share."""
    varied = _varied(rows)
    network = "" if {"model", "weights"} & {*varied} else network_text(rows[0].name)
    shared = [str(rows[0].name[name]) for name in ("dataset", "precision") if name not in varied]
    return ", ".join(filter(None, [network, *shared]))


def _varied(rows: Sequence[Row]) -> list[str]:
    """The names of the values in which rows differ; the mode also if no row has the default mode."""
    found = differing(row.name for row in rows)
    modes = {row.name["mode"] for row in rows} != {"default"}
    return [name for name in rows[0].name if name in found or (name == "mode" and modes)]


def _varied_options(rows: Sequence[Row]) -> list[str]:
    """The options that differ among the rows of a task."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row.name["task"], []).append(row.name["options"])
    names: dict[str, None] = {}
    for options in groups.values():
        every = dict.fromkeys(name for one in options for name in one)
        names |= dict.fromkeys(name for name in every if len({str(one.get(name)) for one in options}) > 1)
    return list(names)


def _options(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    own = row.name["options"]
    return (", ".join(f"{name}={own[name]}" for name in names if name in own),) if names else ()


def _value(row: Row, name: str) -> str:
    return str(row.name[name] if row.name[name] is not None else "none")


def _header(name: str) -> str:
    return "network" if name == "model" else name
