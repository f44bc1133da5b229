"""samebench cache: lists as text and as JSON, and removal after a question."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from refusals import has

from harness.cli import main
from harness.storage.places import Places
from harness.storage.sealed import write_sealed


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMEBENCH_CACHE_DIR", str(tmp_path / "cache"))
    Places.from_environment().keep("photos-1", lambda folder: (folder / "x").write_bytes(b"x" * 1500))
    return tmp_path / "cache"


def run(*arguments: str, typed: str = ""):
    return CliRunner().invoke(main, ["cache", *arguments], input=typed)


def test_the_list_names_the_cache_and_each_entry(cache):
    done = run("list")
    assert done.exit_code == 0 and done.output.startswith(f"{cache}: 1 entry, 1.5 kB\n")
    assert done.output.splitlines()[-1].split()[:3] == ["datasets", "1.5", "kB"]


def test_certificates_are_one_line_for_people(cache):
    for number in range(3):
        write_sealed(cache / "certificates" / f"{number:064}.json", {})
    lines = [line.split() for line in run("list").output.splitlines()]
    assert [line[-2:] for line in lines if line[0] == "certificates"] == [["3", "files"]]
    assert len(json.loads(run("list", "--json").output)["entries"]) == 4


def test_the_list_for_programs(cache):
    said = json.loads(run("list", "--json").output)
    assert said["cache"] == str(cache)
    [entry] = said["entries"]
    assert entry | {"used": ""} == {"kind": "datasets", "name": "data/photos-1", "bytes": 1500, "used": ""}
    assert entry["used"].endswith("+00:00")


def test_nothing_is_removed_without_confirmation(cache):
    assert run("clean", typed="n\n").exit_code == 1 and (cache / "data" / "photos-1").exists()
    assert run("clean").exit_code == 1 and (cache / "data" / "photos-1").exists(), "nobody answers"
    done = run("clean", typed="y\n")
    assert done.exit_code == 0 and "Removed 1 entry, 1.5 kB" in done.output
    assert not (cache / "data" / "photos-1").exists()


def test_entries_are_removed_by_kind_and_by_age(cache):
    assert "nothing to remove" in run("clean", "--kind", "weights", "--yes").output
    assert "nothing to remove" in run("clean", "--older-than", "1h", "--yes").output
    assert (cache / "data" / "photos-1").exists()
    assert run("clean", "--kind", "weights", "--kind", "datasets", "--older-than", "0d", "--yes").exit_code == 0
    assert not (cache / "data" / "photos-1").exists()


@pytest.mark.parametrize("age", ["", "d", "30", "-1d", "1.5d", "1y", "٣d", "9" * 30 + "w"])
def test_a_wrong_age_is_refused(cache, age):
    done = run("clean", "--older-than", age, "--yes")
    assert done.exit_code == 2 and all(
        has(done.output, value) for value in ("--older-than", "12h", "30d", "8w", repr(age))
    )
    assert (cache / "data" / "photos-1").exists()
