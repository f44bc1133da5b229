"""`samebench verify`: honest runs are confirmed, and each kind of forgery is refuted, also if it is sealed again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import samebench, words

from harness.running.store import Store
from harness.running.verifying import Check, verify
from harness.storage.places import file_hash
from harness.storage.sealed import PICTURES, read_arrays, read_sealed, write_arrays, write_sealed

CELL = ["--backend", "numpy", "--precision", "float64", "--set", "segment_s=0"]
TRAINING = ["--task", "scratch-cnn", "--set", "scratch-cnn.epochs=1", "--set", "scratch-cnn.train_limit=96"]
ATTACK = ["--task", "adversarial", "--set", "adversarial.pictures=16", "--set", "adversarial.steps=2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A training with two seeds, and an attack."""
    folder = tmp_path_factory.mktemp("runs")
    for arguments in (["--seeds", "2", *TRAINING], ATTACK):
        done = samebench("run", *CELL, *arguments, "--out", folder / "run")
        assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "run"))


def outcomes(folder: Path, certificates: bool = False) -> dict[str, dict[str, Check]]:
    """The checks of each cell, by the task and the seed."""
    found: dict[str, dict[str, Check]] = {}
    for check in verify(Store.open(folder), certificates).checks:
        found.setdefault(f"{check.cell.task} {check.cell.seed}", {})[check.name] = check
    return found


def refuted(folder: Path, certificates: bool = False) -> list[tuple[str, str, str]]:
    checks = outcomes(folder, certificates)
    return [
        (cell, name, check.reason)
        for cell, of in checks.items()
        for name, check in of.items()
        if check.outcome == "refuted"
    ]


def change(folder: Path, task: str, act, seal: bool = True) -> Path:
    """Change the stored result of seed 0 of a task. It gets a new seal, as a forger would do."""
    (file,) = folder.glob(f"cells/{task}.numpy.default.seed0.*/result.json")
    if seal:
        data = read_sealed(file)
        act(data)
        write_sealed(file, {name: value for name, value in data.items() if name != "sha256"})
    else:
        file.write_text(act(file.read_text()))
    return file


def test_an_honest_run_is_confirmed_in_everything(run):
    found = outcomes(run, certificates=True)
    for name, checks in found.items():
        for check in checks.values():
            assert check.outcome == "confirmed", f"{name}, {check.name}: {check.reason}"
    assert found.keys() == {"scratch-cnn 0", "scratch-cnn 1", "adversarial 0"}
    assert (
        "test accuracy" in found["scratch-cnn 0"]["numbers"].reason
        and "robust accuracy" in found["adversarial 0"]["numbers"].reason
    )


def test_a_changed_number_breaks_the_seal(run):
    change(run, "scratch-cnn", lambda text: text.replace('"test_accuracy":', '"test_accuracy": '), seal=False)
    ((cell, name, reason),) = refuted(run)
    assert (cell, name) == ("scratch-cnn 0", "seal") and "hash" in reason


def test_a_changed_accuracy_is_found_even_if_it_is_sealed_again(run):
    change(run, "scratch-cnn", lambda data: data["metrics"].update(test_accuracy=0.99))
    ((cell, name, reason),) = refuted(run)
    assert (cell, name) == ("scratch-cnn 0", "numbers") and "its confusions have" in reason


def forge_confusions(data) -> None:
    """The accuracy of a forger who has changed the confusions too."""
    counts = data["metrics"]["confusion"]
    right, whole = sum(counts[n][n] for n in range(len(counts))), sum(map(sum, counts))
    truth, taken = next((a, b) for a, row in enumerate(counts) for b, count in enumerate(row) if a != b and count >= 5)
    counts[truth][taken] -= 5
    counts[truth][truth] += 5
    data["metrics"]["test_accuracy"] = (right + 5) / whole


def test_an_accuracy_with_fitting_confusions_is_refuted_by_the_weights(run):
    change(run, "scratch-cnn", forge_confusions)
    ((cell, name, reason),) = refuted(run)
    assert (cell, name) == ("scratch-cnn 0", "numbers") and "its stored weights have" in reason


def test_without_the_weights_such_an_accuracy_cannot_be_confirmed(run):
    change(run, "scratch-cnn", forge_confusions)
    shutil.rmtree(next(run.glob("cells/scratch-cnn.*seed0*/artifacts")))
    checks = outcomes(run)["scratch-cnn 0"]
    assert (checks["files"].outcome, checks["numbers"].outcome) == ("not confirmable", "not confirmable")
    assert "not kept" in checks["numbers"].reason


def test_other_weights_are_found(run):
    first, second = sorted(run.glob("cells/scratch-cnn.*/artifacts/weights.safetensors"))
    shutil.copy(second, first)
    ((cell, name, reason),) = refuted(run)
    assert (cell, name) == ("scratch-cnn 0", "files") and "weights.safetensors has changed" in reason


def test_other_weights_are_found_even_if_their_hash_is_stored(run):
    first, second = sorted(run.glob("cells/scratch-cnn.*/artifacts/weights.safetensors"))
    shutil.copy(second, first)
    change(run, "scratch-cnn", lambda data: data["artifacts"].update({first.name: file_hash(first, "sha256:")}))
    ((cell, name, reason),) = refuted(run)
    assert (cell, name) == ("scratch-cnn 0", "numbers") and "its stored weights have" in reason


def test_a_certificate_of_another_network_is_found(run):
    for file in run.glob("certificates/scratch-cnn.*.json"):
        data = read_sealed(file)
        data["about"]["subjects"] = "0123456789abcdef"
        write_sealed(file, {name: value for name, value in data.items() if name != "sha256"})
    found = outcomes(run)["scratch-cnn 0"]["certificate"]
    assert found.outcome == "refuted" and "another network or recipe" in found.reason


def swapped(folder: Path, seal: bool) -> None:
    """Another picture in place of the first original."""
    (file,) = folder.glob(f"cells/adversarial.*/artifacts/{PICTURES}")
    arrays = dict(read_arrays(file))
    arrays["original"] = arrays["original"].copy()
    arrays["original"][0] = arrays["original"][0][::-1]
    file.unlink()
    write_arrays(file, arrays)
    if seal:
        change(folder, "adversarial", lambda data: data["artifacts"].update({PICTURES: file_hash(file, "sha256:")}))


@pytest.mark.parametrize(
    ("seal", "name", "said"), [(False, "files", "has changed"), (True, "numbers", "not in the test split")]
)
def test_a_swapped_picture_is_found(run, seal, name, said):
    swapped(run, seal)
    assert ("adversarial 0", name) in [found[:2] for found in refuted(run)]
    assert said in " ".join(reason for _, _, reason in refuted(run))


def test_pictures_that_fool_nobody_do_not_confirm_an_attack(run):
    (file,) = run.glob(f"cells/adversarial.*/artifacts/{PICTURES}")
    arrays = dict(read_arrays(file))
    file.unlink()
    write_arrays(file, arrays | {"made": np.zeros_like(arrays["made"])})
    change(run, "adversarial", lambda data: data["artifacts"].update({PICTURES: file_hash(file, "sha256:")}))
    assert [found[:2] for found in refuted(run)] == [("adversarial 0", "numbers")]


def test_other_data_are_found(run):
    change(run, "scratch-cnn", lambda data: data["evidence"].update(dataset="f" * 16))
    ((cell, name, reason),) = refuted(run)
    assert (cell, name) == ("scratch-cnn 0", "data") and "f" * 16 in reason


def test_the_command_prints_a_row_for_each_cell_and_ends_with_1_if_anything_is_refuted(run):
    good = samebench("verify", run, "--no-certificates")
    assert good.returncode == 0 and good.stdout.count("numpy/default, seed") == 3 and "REFUTED" not in good.stdout
    change(run, "scratch-cnn", lambda data: data["metrics"].update(test_accuracy=0.99))
    bad = samebench("verify", run, "--no-certificates")
    assert bad.returncode == 1 and "REFUTED" in bad.stdout
    assert "Refuted: scratch-cnn, numpy/default, seed 0, numbers: its test_accuracy is 0.99" in words(bad.stdout)
    found = json.loads(samebench("verify", run, "--no-certificates", "--format", "json").stdout)
    assert found["refuted"] == 1 and {check["outcome"] for check in found["checks"]} == {
        "confirmed",
        "refuted",
        "not confirmable",
    }


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    done = samebench("verify", tmp_path)
    assert done.returncode == 2 and "is not a run" in done.stderr
