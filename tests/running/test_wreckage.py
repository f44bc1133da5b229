"""Damage by a cell or its worker affects only this cell, and a report can still be made."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from command import SMALL, backend, cells, samebench
from refusals import refused
from reports import all_reports
from runs import HASH, Silent, answer, cell, certificate, finished, pictured, run_here

from harness.errors import UsageError
from harness.forms import NAMED, problems
from harness.result import Cell, Result
from harness.running.process import Ended, run_worker
from harness.running.store import Store
from harness.storage.atomic import JSON_BYTES
from harness.storage.places import file_hash
from harness.storage.sealed import PICTURES, read_arrays, read_sealed, write_arrays, write_json, write_sealed
from harness.worker.code_hash import code_if_there

CURVE = [{"epsilon": 0.1, "accuracy": 0.5}]
ATTACK = {"robust_accuracy": CURVE, "epsilon": 0.1, "pictures": 64}
START = dict.fromkeys(("name", "variant", "preprocessing", "source", "licence", "trained_on", "hash"), "x")


NOBODY = 65534
"""The user nobody, who owns no files."""

pytestmark = pytest.mark.usefixtures("nothing_hangs")


def folder_for_file(result: Path) -> None:
    result.mkdir()
    (result / "inside").write_text("x")


def giant(result: Path) -> None:
    with result.open("wb") as file:
        file.truncate(JSON_BYTES + 1)


def replaced_by(place: Path, put) -> None:
    shutil.rmtree(place)
    put(place)


def linked_to_a_pipe(result: Path) -> None:
    result.with_name("pipe").unlink(missing_ok=True)
    os.mkfifo(result.with_name("pipe"))
    result.symlink_to("pipe")


DEEDS = {
    "deletes its folder": (lambda result: shutil.rmtree(result.parent), "ended without a valid result"),
    "deletes the run": (lambda result: shutil.rmtree(result.parents[2]), "ended without a valid result"),
    "a folder": (folder_for_file, "is not a regular file"),
    "a pipe": (os.mkfifo, "is not a regular file"),
    "a link to a pipe": (linked_to_a_pipe, "is not a regular file"),
    "very deep": (lambda result: result.write_text("[" * 2_000_000), "nested too deeply"),
    "deep": (lambda result: result.write_text("[" * 900 + "]" * 900), "nested too deeply"),
    "giant": (giant, "bytes, more than the limit"),
    "no text": (lambda result: result.write_bytes(b"\xff\xfe\xfa"), "not JSON"),
    "a long number": (lambda result: result.write_text("1" * 10_000), "result.json"),
    "not a number": (lambda result: result.write_text('{"a": NaN}'), "NaN is not JSON"),
    "its folder a file": (lambda result: replaced_by(result.parent, Path.touch), "cannot be read: Not a directory"),
    "its folder a pipe": (lambda result: replaced_by(result.parent, os.mkfifo), "cannot be read: Not a directory"),
    "its folder a link": (lambda result: replaced_by(result.parent, lambda path: path.symlink_to("/nowhere")), "ended"),
    "the record a folder": (
        lambda result: (os.remove(result.parents[2] / "run.json"), folder_for_file(result.parents[2] / "run.json")),
        "ended without",
    ),
}
"""The code of a cell, and a part of the reason in its result."""


@pytest.mark.parametrize("deed", DEEDS)
def test_other_cells_run_after_any_damage_by_a_cell(tmp_path, monkeypatch, deed):
    (act, reason), done = DEEDS[deed], []

    def work(request, result):
        done.append(request["cell"]["backend"])
        if done[-1] == "bad":
            act(result)
        else:
            answer(request, result)

    for _ in range(2):  # and again, with what is left of the first time
        found = run_here(tmp_path / "out", [cell("bad"), cell("good")], monkeypatch, work)
        assert found["bad"][0] == "invalid" and reason in found["bad"][1]
        assert found["good"][0] == "ok" or done[-1] == "bad", "it may have been done first, and then deleted"
        assert "bad" in all_reports(Store(tmp_path / "out"))
    assert sorted(set(done)) == ["bad", "good"] and done.count("bad") == 2


def test_nothing_is_written_through_a_link_in_place_of_a_folder(tmp_path, monkeypatch):
    (outside := tmp_path / "outside").mkdir()

    def work(request, result):
        replaced_by(result.parent, lambda path: path.symlink_to(outside))

    run_here(tmp_path / "out", [cell("bad")], monkeypatch, work)
    assert not list(outside.iterdir())
    assert list((tmp_path / "out/cells").glob("*.rejected")), "what was in the way can be looked at"


def test_cells_that_damage_their_folders_do_not_affect_others(tmp_path):
    deeds = {
        "gone": "import shutil; shutil.rmtree(os.path.dirname(sys.argv[2])); time.sleep(0.5); os._exit(3)",
        "piped": "os.remove(os.path.dirname(sys.argv[2]) + '/log.txt'); os.mkfifo(sys.argv[2]); os._exit(0)",
    }
    arguments = []
    for name, deed in deeds.items():
        (tmp_path / name).mkdir()
        arguments += ["--backend", backend(tmp_path / name, deed).rename(tmp_path / f"{name}.py")]
    done = samebench("run", *arguments, "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 1, done.stderr
    found = {name.removeprefix("mine-"): said for name, said in cells(tmp_path / "run").items()}
    assert found["numpy"] == ("ok", None)
    assert found["gone"][0] == "crashed" and "exit code 3" in found["gone"][1]
    assert found["piped"][0] == "invalid" and "not a regular file" in found["piped"][1]


@pytest.fixture
def as_a_user():
    """A folder of a user who is not root: root can open every folder."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield folder
    finally:
        if root:
            os.setresuid(0, 0, 0)
        shutil.rmtree(folder, ignore_errors=not root)


@pytest.mark.parametrize("mode", [0o000, 0o500])
@pytest.mark.parametrize("what", ["cell", "subjects"])
def test_a_folder_that_was_closed_is_moved_aside(as_a_user, monkeypatch, mode, what):
    def work(request, result):
        answer(request, result)
        if what in request and "bad" in (request.get("backend"), request.get("cell", {}).get("backend")):
            result.write_text("nonsense")
            result.parent.chmod(mode)

    for _ in range(2):
        found = run_here(as_a_user / "out", [cell("bad"), cell("good")], monkeypatch, work, parity=True)
        assert found["good"] == ("ok", None)
        assert found["bad"][0] == ("invalid" if what == "cell" else "ok")


@pytest.mark.parametrize(("mode", "code"), [(0o000, "unreadable-file"), (0o500, "not-writable")])
def test_a_folder_that_is_closed_to_the_user_is_refused_before_any_cell(as_a_user, monkeypatch, mode, code):
    (closed := as_a_user / "closed").mkdir()
    closed.chmod(mode)
    done = []
    for out in (closed, closed / "run"):
        with refused(UsageError, code, out):
            run_here(out, [cell()], monkeypatch, lambda *given: done.append(given))
        with refused(UsageError, "unreadable-file" if mode == 0 else "not-a-run", out):
            Store.open(out)
    assert not done


def test_a_backend_that_removes_its_own_file_ends_its_certificate_only(tmp_path, monkeypatch):
    (file := tmp_path / "mine.py").write_text("")

    def work(request, result):
        file.unlink(missing_ok=True)
        answer(request, result)

    found = run_here(tmp_path / "out", [cell(str(file)), cell("good")], monkeypatch, work, True, code_if_there)
    assert found == {str(file): ("ok", None), "good": ("ok", None)}
    file.mkdir()
    assert code_if_there(str(file)) is None


def test_a_signal_without_a_name_is_a_number(tmp_path):
    status, reason = Ended(-40, 1.0, tmp_path / "log").explain()
    assert status == "crashed" and reason.startswith("signal 40; ")
    assert Ended(-11, 1.0, tmp_path / "log").explain()[1].startswith("SIGSEGV; ")


def test_a_missing_interpreter_ends_only_its_cell(tmp_path):
    missing = str(tmp_path / "python")
    ended = run_worker(
        tmp_path / "none", tmp_path / "result", tmp_path / "log", environment={}, timeout=60, python=missing
    )
    status, reason = ended.explain()
    assert status == "crashed" and f"{missing} cannot be started: No such file" in reason


WRONG = [
    {"time": {}},
    {"time": {"total_s": 1.0, "first_step_s": 0.1}},
    {"time": {"total_s": "1", "first_step_s": 0.1, "images_per_s": []}},
    {"time": {"total_s": 1.0, "first_step_s": None, "images_per_s": [1.0]}},
    {"time": {"total_s": 1.0, "first_step_s": 0.1, "images_per_s": 3.0}},
    {"time": {"total_s": 1.0, "first_step_s": 0.1, "images_per_s": ["fast"]}},
    {"time": []},
    {"time": None},
    {"metrics": 3},
    {"metrics": {"test_accuracy": "high"}},
    {"metrics": {"test_accuracy": True}},
    {"metrics": {"per_class": [{"class": "a", "count": 1, "precision": 1.0, "recall": [], "f1": 1.0}]}},
    {"metrics": {"curve": [{"epoch": "one"}]}},
    {"parameters": {}},
    {"parameters": {"total": 1, "trainable": 1, "frozen": 0, "buffers": "none"}},
    {"parameters": 3},
    {"memory": {"peak_rss_bytes": "much"}},
    {"memory": None},
    {"versions": {"numpy": 2}},
    {"versions": ["numpy"]},
    {"settings": {"threads": 4}},
    {"settings": "none"},
    {"warnings": "careful"},
    {"warnings": [3]},
    {"artifacts": []},
    {"artifacts": {PICTURES: "md5:1"}},
    {"reason": ["a"]},
    {"parity": {}},
    {"parity": None},
    {"parity": certificate(verdict=3)},
    {"parity": certificate(verdict="fine")},
    {"parity": certificate(timed={})},
    {"parity": certificate(timed={"logits": "nan", "losses": None, "limit": 1e-5})},
    {"parity": certificate(logits="small")},
    {"parity": certificate(logits="inf")},
    {"parity": certificate(steps=None)},
    {"parity": certificate(excludes="nothing")},
    {"parity": certificate(about={"versions": 3})},
    {"evidence": []},
    {"evidence": {"device": 3}},
    {"evidence": {"device": "cpu", "weights": ["w"]}},
    {"evidence": {"device": "cpu", "weights": "w", "first_losses": []}},
    {"evidence": {"device": "cpu", "weights": "w", "first_losses": ["nan"]}},
    {"evidence": {"device": "cpu", "weights": "w", "first_losses": 3}},
    {"evidence": {"device": "cpu", "weights": "w", "first_segment_loss": "inf"}},
    {"evidence": {"weights": "w", "features": {"sample": [[1.0], [1.0, 2.0]], "scale": 1.0}}},
    {"evidence": {"weights": "w", "features": {"sample": [[]], "scale": 1.0}}},
    {"evidence": {"weights": "w", "features": {"sample": 3, "scale": 1.0}}},
    {"evidence": {"weights": "w", "features": [3]}},
    {"evidence": {"start": "x"}},
    {"evidence": {"start": {"name": "x"}}},
    {"evidence": {"data_notes": "x"}},
    {"evidence": {"notes": [3]}},
    {"evidence": {"own_ways": ["x"]}},
    {"evidence": {"host": "x"}},
    {"evidence": {"start": START | {"source": None}}},
    {"options": [1]},
    {"semantics": "other"},
]
"""Wrong fields of a sealed result."""


WRONG_METRICS = [
    ("adversarial", {"success_rate": "x"}),
    ("adversarial", ATTACK | {"robust_accuracy": []}),
    ("adversarial", ATTACK | {"robust_accuracy": {}}),
    ("adversarial", ATTACK | {"robust_accuracy": [{"epsilon": 0.1}]}),
    ("adversarial", ATTACK | {"robust_accuracy": [{"epsilon": 0.1, "accuracy": 1.1}]}),
    ("adversarial", ATTACK | {"pictures": 0}),
    ("adversarial", ATTACK | {"epsilon": None}),
    ("adversarial", {"robust_accuracy": CURVE}),
    ("ideal-image", {"target_probability": None}),
    ("ideal-image", {"total_variation": [1.0]}),
    ("ideal-image", {"total_variation": -1.0}),
]
"""Metrics that do not fit their declarations."""

EVERY_FAULT = [("scratch-cnn", change) for change in WRONG] + [
    (task, {"metrics": said}) for task, said in WRONG_METRICS
]


@pytest.mark.parametrize(("task", "change"), EVERY_FAULT, ids=lambda said: str(said)[:80])
def test_a_sealed_result_with_a_wrong_field_is_invalid_and_the_field_is_named(tmp_path, monkeypatch, task, change):
    bad, good = cell("bad", task=task), cell("good", task=task)

    def work(request, result):
        answer(request, result)
        if request["cell"]["backend"] == "bad":
            write_sealed(result, read_sealed(result) | change)

    found = run_here(tmp_path, [bad, good], monkeypatch, work)
    (field,) = change
    assert found["good"] == ("ok", None)
    assert found["bad"][0] == "invalid" and field in found["bad"][1] and len(found["bad"][1]) < 2000
    write_sealed(Store(tmp_path).cell_folder(bad) / "result.json", finished(bad).as_json() | change)
    assert field in all_reports(Store(tmp_path))


@pytest.mark.parametrize("change", [{"status": "diverged", "metrics": {"test_loss": "nan"}}, {"parity": certificate()}])
def test_correct_results_are_accepted(change):
    data = finished(cell()).as_json() | change
    if change.get("status"):
        data["evidence"] = {"device": "cpu", "first_losses": ["nan"], "first_segment_loss": "inf"}
    assert Result.from_json(data).as_json() == data


CERTIFICATES = [
    3, [], {}, None, "equal", {"SUBJECT": None}, {"SUBJECT": []}, {"SUBJECT": {}}, {"SUBJECT": {"verdict": "equal"}},
    {"SUBJECT": certificate(verdict=None)}, {"SUBJECT": certificate(timed=None)}, {"SUBJECT": certificate(logits=[1])},
]  # fmt: skip


@pytest.mark.parametrize("said", CERTIFICATES, ids=lambda said: str(said)[:80])
def test_an_answer_without_a_certificate_is_not_checked_and_its_cells_run(tmp_path, monkeypatch, said):
    one = cell()

    def work(request, result):
        answer(request, result)
        if "subjects" in request:
            result.write_text(json.dumps(said).replace("SUBJECT", one.configuration))

    assert run_here(tmp_path, [one], monkeypatch, work, parity=True) == {"numpy": ("ok", None)}
    assert Store(tmp_path).certificate(one)["verdict"].startswith("not-checked: invalid: certificate")
    write_sealed(tmp_path / f"certificates/{one.configuration}.json", {"verdict": 3})
    assert "not-checked" in all_reports(Store(tmp_path))
    assert run_here(tmp_path, [one], monkeypatch, parity=True) == {"numpy": ("ok", None)}
    assert Store(tmp_path).certificate(one)["verdict"] == "equal", "one that cannot be used is made again"


@pytest.mark.parametrize("value", [2**63, 10**400])
def test_an_answer_with_a_number_that_is_too_large_names_its_path(tmp_path, monkeypatch, value):
    one = cell(task="adversarial", weights="two-block-cnn-digits")

    def work(request, result):
        if "cell" in request:
            write_sealed(result, pictured(Cell(**request["cell"]), Store(tmp_path)).as_json())
        else:
            number = f'{{"{one.configuration}": {{"logits": {value}}}}}'
            result.write_text(number)

    assert run_here(tmp_path, [one], monkeypatch, work, parity=True) == {"numpy": ("ok", None)}
    problem = f"invalid: result.json: {one.configuration}.logits is too large: whole numbers are smaller than 2**63"
    assert Store(tmp_path).certificate(one)["verdict"] == f"not-checked: {problem}"
    assert f"could not judge: {problem}" in " ".join(all_reports(Store(tmp_path)).split())


@pytest.mark.parametrize(
    "act", [lambda p: p.write_text("[" * 2_000_000), os.mkfifo, folder_for_file], ids=["deep", "pipe", "folder"]
)
def test_an_answer_that_cannot_be_read_is_not_checked(tmp_path, monkeypatch, act):
    def work(request, result):
        answer(request, result) if "cell" in request else act(result)

    for _ in range(2):
        assert run_here(tmp_path, [cell()], monkeypatch, work, parity=True) == {"numpy": ("ok", None)}
        assert Store(tmp_path).certificate(cell())["verdict"].startswith("not-checked: invalid: result.json")


GOOD = {"accuracy": 0.5, "probability": 0.5}
JUDGEMENTS = [
    3, [], {}, {"CASE": None}, {"CASE": {}}, {"CASE": {"scores": {}}}, {"CASE": {"scores": {"KEY": 3}}},
    {"CASE": {"scores": {"KEY": {"accuracy": 0.5}}}}, {"CASE": {"scores": {"KEY": GOOD | {"accuracy": "x"}}}},
    {"CASE": {"problem": 3}}, {"CASE": {"scores": {"KEY": GOOD}, "beside": 3}},
    {"CASE": {"scores": {"KEY": GOOD}, "beside": {"apart": {"largest": "x"}}}},
]  # fmt: skip


@pytest.mark.parametrize("said", JUDGEMENTS, ids=lambda said: str(said)[:80])
def test_an_answer_without_a_judgement_is_reported_as_a_problem(tmp_path, monkeypatch, said):
    one = cell(task="adversarial", weights="two-block-cnn-digits")

    def work(request, result):
        if "cell" in request:
            write_sealed(result, pictured(Cell(**request["cell"]), Store(tmp_path)).as_json())
        elif "subjects" in request:
            answer(request, result)
        else:
            result.write_text(json.dumps(said).replace("CASE", one.comparison_key).replace("KEY", one.key))

    assert run_here(tmp_path, [one], monkeypatch, work, parity=True) == {"numpy": ("ok", None)}
    assert "could not judge: invalid: its answer" in all_reports(Store(tmp_path))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"files": 3, "judges": {}},
        {"files": {"KEY": HASH}, "judges": []},
        {"files": {"KEY": HASH}, "judges": {"numpy": {"scores": {}}}},
        {"files": {"KEY": HASH}, "judges": {"numpy": {"scores": {"KEY": {"accuracy": None, "probability": 0.5}}}}},
        {"files": {"KEY": HASH}, "judges": {}, "apart": {"largest": 0.1}},
    ],
    ids=lambda said: str(said)[:80],
)
def test_a_stored_judgement_of_another_form_is_not_used(tmp_path, monkeypatch, said):
    one = cell(task="adversarial", weights="two-block-cnn-digits")
    run_here(tmp_path, [one], monkeypatch)
    store = Store(tmp_path)
    store.save(pictured(one, store))
    stored = json.loads(json.dumps(said).replace("KEY", one.key))
    write_sealed(store.judgements / f"{one.comparison_key}.json", stored)
    assert store.judged() == {}
    assert "adversarial" in all_reports(store)
    run_here(tmp_path, [one], monkeypatch, parity=True)
    assert set(store.judged()) == {one.comparison_key}, "it is asked for again"


def other_pictures(file: Path) -> None:
    write_arrays(file, {"made": np.ones(3)})


@pytest.mark.parametrize("put", [None, os.mkfifo, folder_for_file, other_pictures])
def test_unreadable_pictures_of_a_maker_are_not_judged_but_others_are(tmp_path, monkeypatch, put):
    options = {"task": "adversarial", "weights": "two-block-cnn-digits"}
    bad, good, asked, said = cell("bad", **options), cell("good", **options), [], []

    def work(request, result):
        if "judge" in request:
            asked.extend(case["pictures"] for case in request["cases"].values())
        answer(request, result)
        if "cell" in request:
            of, store = Cell(**request["cell"]), Store(tmp_path)
            store.save(pictured(of, store))
            if of.backend == "bad":
                (file := store.artifacts(of) / PICTURES).unlink()
                if put:
                    put(file)

    monkeypatch.setattr(Silent, "say", lambda self, line: said.append(line))
    run_here(tmp_path, [bad, good], monkeypatch, work, parity=True)
    assert [set(pictures) for pictures in asked] == [{good.key}] * len(asked) and asked
    assert set(Store(tmp_path).judgement(good.comparison_key)["files"]) == {good.key}
    assert [line.partition(":")[0] for line in said] == ["the pictures of bad/default are not judged"]


@pytest.mark.parametrize(
    "act", [lambda p: p.write_text("[" * 2_000_000), os.mkfifo, folder_for_file], ids=["deep", "pipe", "folder"]
)
def test_a_report_survives_damaged_files(tmp_path, monkeypatch, act):
    one = cell(task="adversarial", weights="two-block-cnn-digits")
    run_here(tmp_path, [one], monkeypatch, parity=True)
    names = (
        f"cells/{one.key}/result.json",
        f"certificates/{one.configuration}.json",
        f"judgements/{one.comparison_key}.json",
    )
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        act(path)
    assert "invalid" in all_reports(Store(tmp_path))


def test_problems_of_a_long_list_are_counted_to_a_limit():
    seen = []

    class Long(list):
        def __iter__(self):
            return (seen.append(value) or value for value in super().__iter__())

    assert len(list(problems(Long([0] * 1000), list[str], "x"))) == NAMED
    assert len(seen) == NAMED


@pytest.mark.parametrize("put", [os.mkfifo, folder_for_file])
def test_pictures_that_are_not_a_regular_file_do_not_block(tmp_path, put):
    put(tmp_path / PICTURES)
    with pytest.raises((ValueError, OSError), match="not a regular file"):
        read_arrays(tmp_path / PICTURES)


def test_pictures_that_are_no_arrays_are_left_out(tmp_path, monkeypatch):
    one = cell(task="adversarial", weights="two-block-cnn-digits")
    run_here(tmp_path, [one], monkeypatch)
    store = Store(tmp_path)
    result, file = pictured(one, store), store.artifacts(one) / PICTURES
    file.write_bytes(b"PK\x03\x04 no archive")
    result.artifacts[PICTURES] = file_hash(file, "sha256:")
    store.save(result)
    assert "No cell of this run has kept pictures" in all_reports(store)
    for broken in (b"", b"\x93NUMPY"):
        store.maps_file(result).parent.mkdir(exist_ok=True)
        store.maps_file(result).write_bytes(broken)
        with pytest.raises(LookupError):
            store.feature_maps(result)


@pytest.mark.parametrize("change", [{"plan": [3]}, {"plan": {}}, {"host": "x"}, {"config": None}, {"started": 3}])
def test_a_record_of_another_form_is_refused_with_its_path(tmp_path, monkeypatch, change):
    run_here(tmp_path, [cell()], monkeypatch)
    write_json(tmp_path / "run.json", json.loads((tmp_path / "run.json").read_text()) | change)
    with refused(UsageError, "unreadable-file", "run.json", next(iter(change))):
        all_reports(Store.open(tmp_path))
