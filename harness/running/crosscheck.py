"""The cross-check, after the cells: every backend and the reference judge the pictures that each backend has made.

Each judge runs in one process, for all pictures. A judgement is stored with the hashes of the pictures, so a resumed run
judges only new pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.forms import answer_problems
from harness.report.crosscheck import REFERENCE, name_of
from harness.result import Result, digest
from harness.running.process import Ended
from harness.running.store import ASKED, Store
from harness.storage.atomic import read_json
from harness.storage.sealed import PICTURES
from harness.text import is_file
from harness.worker.code_hash import code_if_there

Start = Callable[[Path, Mapping[str, Any], str], Ended]
"""Starts a worker. The arguments are its folder, its request, and the backend whose interpreter it needs."""


class Judge(NamedTuple):
    """A backend that judges pictures, with its mode, precision and device."""

    backend: str
    mode: str
    precision: str
    device: str

    @property
    def name(self) -> str:
        """The name of the judge in stored judgements."""
        return self.backend if self.backend == REFERENCE else f"{self.backend}/{self.mode}"

    @property
    def folder(self) -> str:
        """The name of the folder for requests to the judge. A hash tells backend files of the same name apart."""
        if not is_file(self.backend):
            return self.name.replace("/", ".")
        return f"{Path(self.backend).stem}.{self.mode}.{digest(self.backend)[:10]}"


THE_REFERENCE = Judge(REFERENCE, "default", "float64", "cpu")


@dataclass
class Case:
    """The pictures of one experiment and seed. Several cells, the makers, made them from the same originals by the same
    rules."""

    name: str
    makers: list[Result] = field(default_factory=list)
    named: Collection[str] = ()
    """The backends that the user has named. Other backend files are not executed."""

    @property
    def files(self) -> dict[str, str]:
        """The hash of each maker's pictures, by the key of its cell."""
        return {maker.cell.key: maker.artifacts[PICTURES] for maker in self.makers}

    @property
    def judges(self) -> list[Judge]:
        cells = [m.cell for m in self.makers if m.cell.backend in self.named or not m.cell.backend.endswith(".py")]
        return [THE_REFERENCE, *dict.fromkeys(Judge(c.backend, c.mode, c.precision, c.device) for c in cells)]


def cases(results: Iterable[Result], named: Collection[str] = ()) -> list[Case]:
    """The cases in these results. `named` are the backends that the user has named."""
    found: dict[str, Case] = {}
    for result in results:
        if result.status == "ok" and PICTURES in result.artifacts:
            name = result.cell.comparison_key
            found.setdefault(name, Case(name, named=named)).makers.append(result)
    return list(found.values())


def judge(store: Store, found: Sequence[Case], start: Start, started: Callable[[str], None]) -> None:
    """Let every judge judge the pictures that are new to it, and store its answers."""
    kept = {case.name: _known(store, case) for case in found}
    shown = {name_of(maker.cell): maker.who for case in found for maker in case.makers}
    judges = dict.fromkeys(judge for case in found for judge in case.judges)
    for who in judges:
        open_cases = [case for case in found if who in case.judges and who.name not in kept[case.name]["judges"]]
        if not open_cases:
            continue
        started(f"{shown.get(who.name, who.name)} judges")
        folder = store.room("judgements", ASKED, who.folder)
        ended = start(
            folder, {"judge": who._asdict(), "cases": {c.name: _asked(store, c) for c in open_cases}}, who.backend
        )
        answers = _answers(folder / "result.json", open_cases, ended)
        for case in open_cases:
            answer = answers[case.name] | _code_of(who)
            kept[case.name] |= answer.pop("beside", {})
            kept[case.name]["judges"][who.name] = answer
            store.save_judgement(case.name, kept[case.name])


def _answers(file: Path, asked: Sequence[Case], ended: Ended) -> dict[str, dict[str, Any]]:
    """The answer of the worker about each case, or a problem if the answer cannot be used."""
    try:
        answers = read_json(file)
    except FileNotFoundError:
        return {case.name: {"problem": ": ".join(ended.explain())} for case in asked}
    except ValueError as error:
        return {case.name: {"problem": f"invalid: {error}"} for case in asked}
    return {
        case.name: _answer(answers.get(case.name) if isinstance(answers, dict) else answers, case) for case in asked
    }


def _answer(answer: Any, case: Case) -> dict[str, Any]:
    """The part of an answer that is stored: a problem; or the scores and the differences between the pictures."""
    if problem := next(answer_problems(answer, case.files), None):
        return {"problem": f"invalid: {problem}"}
    if "problem" in answer:
        return {"problem": answer["problem"]}
    apart = {name: value for name, value in answer.get("beside", {}).items() if name == "apart"}
    return {"scores": answer["scores"], "beside": apart}


def _code_of(who: Judge) -> dict[str, str]:
    """The hash of the judge's code; empty if a cell has removed the code."""
    code = code_if_there(who.backend)
    return {"code": code} if code else {}


def _known(store: Store, case: Case) -> dict[str, Any]:
    """The stored judgements of exactly these pictures. A judge that had a problem, or has changed since, is left out if it
    can be asked again."""
    known = store.judgement(case.name)
    if not known or known["files"] != case.files:
        return {"files": case.files, "judges": {}}
    codes = {who.name: _code_of(who).get("code") for who in case.judges}
    known["judges"] = {
        name: answer
        for name, answer in known["judges"].items()
        if name not in codes or ("problem" not in answer and answer.get("code") in (None, codes[name]))
    }
    return known


def _asked(store: Store, case: Case) -> dict[str, Any]:
    first, cell = case.makers[0], case.makers[0].cell
    return {
        "model": cell.model,
        "weights": cell.weights,
        "pictures": {maker.cell.key: str(store.artifacts(maker.cell) / PICTURES) for maker in case.makers},
        "maps": str(store.maps_file(first)),
    }
