"""Each cell starts with empty compiler caches, unless the user keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import SMALL, backend, samebench

from harness.environment import CACHES, FRESH, NO_CACHES, fresh_caches
from harness.worker.provenance import relevant_variables

MARK = "marked by an earlier cell"


def cells(folder: Path, *options: str) -> list[dict]:
    """What two cells find in their compiler caches, and their environment variables. Each leaves a mark there."""
    seen = folder / "seen"
    names = [FRESH, *CACHES, *NO_CACHES]
    look = (
        "import json, pathlib; "
        f"folders = [pathlib.Path(os.environ.get(name, {str(folder / 'usual')!r})) for name in {[*CACHES]!r}]; "
        "found = [[file.name for file in place.iterdir()] if place.is_dir() else [] for place in folders]; "
        f"[(place.mkdir(parents=True, exist_ok=True), (place / {MARK!r}).touch()) for place in folders]; "
        f"open({str(seen)!r}, 'a').write(json.dumps([found, [os.environ.get(name) for name in {names!r}]]) + chr(10))"
    )
    arguments = ["--backend", backend(folder, look), "--no-parity", "--seeds", "2", "--out", folder / "run", *SMALL]
    done = samebench("run", *arguments, *options)
    assert done.returncode == 0, done.stderr
    return [
        {"found": found, "variables": dict(zip(names, values, strict=True))}
        for found, values in map(json.loads, seen.read_text().splitlines())
    ]


def test_every_cell_finds_empty_caches(tmp_path):
    first, second = cells(tmp_path)
    assert first["found"] == second["found"] == [[]] * len(CACHES)
    folders = [Path(cell["variables"][name]) for cell in (first, second) for name in CACHES]
    assert len({*folders}) == len(folders) and not any(folder.exists() for folder in folders), "they are removed"
    assert {name: first["variables"][name] for name in NO_CACHES} == NO_CACHES
    for file in tmp_path.glob("run/cells/*/result.json"):
        stored = json.loads(file.read_text())["provenance"]["environment"]
        assert stored[FRESH] == "yes" and not CACHES.keys() & stored.keys()


def test_caches_can_be_kept(tmp_path):
    first, second = cells(tmp_path, "--set", "compiler_caches=kept")
    assert first["found"] == [[]] * len(CACHES) and second["found"] == [[MARK]] * len(CACHES)
    assert first["variables"][FRESH] is None
    for file in tmp_path.glob("run/cells/*/result.json"):
        assert FRESH not in json.loads(file.read_text())["provenance"]["environment"]


@pytest.mark.parametrize("fresh", [True, False])
def test_the_folder_of_a_cell_is_no_property_of_its_result(fresh, tmp_path):
    own = {"TORCHINDUCTOR_CACHE_DIR": "/mine", "XLA_FLAGS": "--xla"}
    found = relevant_variables(own | (fresh_caches(tmp_path) if fresh else {}))
    assert found["XLA_FLAGS"] == "--xla"
    assert ("TORCHINDUCTOR_CACHE_DIR" in found) != fresh and (found.get(FRESH) == "yes") == fresh
