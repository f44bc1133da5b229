"""The cache: what it holds is listed, and only what samebench has made is removed, never through a link."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import unchanged

from harness.pretrained.entries import FILE
from harness.storage.cache import KINDS, WEIGHTS, cache_entries, chosen_entries, remove_entry
from harness.storage.places import Places
from harness.storage.sealed import write_sealed

HEX = "0123456789abcdef" * 4


@pytest.fixture
def cache(tmp_path) -> Path:
    """A cache with an entry of each kind, made by the code that makes them in a run."""
    places = Places(None, tmp_path / "cache")

    def fill(name: str, content: bytes):
        return lambda folder: (folder / name).write_bytes(content)

    places.keep("photos-1", fill("train.images.npy", b"x" * 100))
    places.keep("net-1", fill(WEIGHTS, b"x" * 1000))
    write_sealed(places.cache / "certificates" / f"{HEX}.json", {})
    write_sealed(places.cache / "probes" / f"{HEX}.json", {})
    (owner := places.cache / "downloads" / "flowers").mkdir(parents=True)
    (owner / "flowers.zip").write_bytes(b"x" * 10)
    (owner / "flowers.zip.lock").touch()
    return places.cache


def names(cache: Path) -> dict[str, str]:
    return {entry.name: entry.kind for entry in cache_entries(cache)}


def clean(cache: Path, *kinds: str, unused_since: float | None = None) -> list[str | None]:
    return [remove_entry(cache, entry) for entry in chosen_entries(cache_entries(cache), kinds, unused_since)]


def test_every_entry_is_listed_with_its_kind_and_size(cache):
    found = {entry.name: entry for entry in cache_entries(cache)}
    assert {name: entry.kind for name, entry in found.items()} == {
        "downloads/flowers/flowers.zip": "downloads",
        "data/photos-1": "datasets",
        "data/net-1": "weights",
        f"certificates/{HEX}.json": "certificates",
        f"probes/{HEX}.json": "probes",
    }
    assert [found[name].bytes for name in ("data/photos-1", "data/net-1", "downloads/flowers/flowers.zip")] == [
        100,
        1000,
        10,
    ]
    assert all(abs(entry.used - time.time()) < 60 for entry in found.values())
    assert FILE == WEIGHTS, "converted weights are recognised by the name of their file"


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert cache_entries(tmp_path / "nothing") == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_is_removed_and_the_others_stay(cache, kind):
    before = names(cache)
    assert clean(cache, kind) == [None]
    assert names(cache) == {name: of for name, of in before.items() if of != kind}


def test_what_was_used_lately_stays(cache):
    old = time.time() - 40 * 86400
    os.utime(cache / "data" / "photos-1" / "train.images.npy", (old, old))
    assert clean(cache, unused_since=time.time() - 30 * 86400) == [None]
    assert "data/photos-1" not in names(cache) and len(names(cache)) == 4


def test_what_samebench_has_not_made_is_listed_and_stays(cache):
    for file in ("notes.txt", "data/mine/precious.txt", "downloads/flowers/by-hand.zip", "downloads/loose.txt",
                 "certificates/notes.json"):  # fmt: skip
        (cache / file).parent.mkdir(exist_ok=True)
        (cache / file).write_text("precious")
    others = {name for name, kind in names(cache).items() if kind == "other"}
    assert others == {
        "notes.txt", "data/mine", "downloads/flowers/by-hand.zip", "downloads/loose.txt", "certificates/notes.json",
    }  # fmt: skip
    assert clean(cache) == [None] * 5
    assert set(names(cache)) == others
    assert all((cache / name).exists() for name in others)


def test_nothing_is_removed_through_a_link(cache, tmp_path):
    (other := tmp_path / "other").mkdir()
    (other / "precious.txt").write_text("precious")
    (other / f"{HEX}.json").write_text("{}")
    (cache / "data" / "photos-1" / "link").symlink_to(other)
    (cache / "data" / "linked").symlink_to(other)
    (cache / "data" / "linked.lock").touch()
    (cache / "downloads" / "linked").symlink_to(other)
    (cache / "downloads" / "flowers" / "precious.txt").symlink_to(other / "precious.txt")
    (cache / "downloads" / "flowers" / "precious.txt.lock").touch()
    for name in ("certificates", "probes"):
        (cache / name).rename(cache / f"{name}-before")
        (cache / name).symlink_to(other)
    with unchanged(other):
        assert set(clean(cache)) == {None}
    kinds = names(cache)
    assert kinds["data/linked"] == kinds["downloads/linked"] == kinds["certificates"] == "other"
    assert "data/photos-1" not in kinds


def test_a_folder_that_becomes_a_link_before_it_is_removed_is_an_error(cache, tmp_path):
    entries = [entry for entry in cache_entries(cache) if entry.kind in ("datasets", "certificates")]
    (other := tmp_path / "other").mkdir()
    (other / "photos-1").mkdir()
    (other / "photos-1" / "precious.txt").write_text("precious")
    (other / "photos-1.lock").touch()
    (other / f"{HEX}.json").write_text("{}")
    for name in ("data", "certificates"):
        (cache / name).rename(tmp_path / name)
        (cache / name).symlink_to(other)
    with unchanged(other):
        assert all(remove_entry(cache, entry) for entry in entries)


def test_an_entry_that_another_process_makes_stays(cache):
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); "
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, cache / "data" / "photos-1.lock"], stdout=subprocess.PIPE
    ) as maker:
        maker.stdout.readline()
        assert clean(cache, "datasets") == ["another process makes it at this moment"]
        maker.kill()
    assert (cache / "data" / "photos-1" / "train.images.npy").exists()
    assert clean(cache, "datasets") == [None], "the lock of a process that is gone is free"


def test_what_a_killed_process_has_left_is_removed_too(cache):
    for name in ("data/photos-1.part", "downloads/flowers/flowers.zip.part"):
        (cache / name).mkdir()
        (cache / name / "half").write_bytes(b"x" * 20)
    kinds = names(cache)
    assert kinds["data/photos-1.part"] == "datasets" and kinds["downloads/flowers/flowers.zip.part"] == "downloads"
    assert set(clean(cache, "datasets", "downloads")) == {None}
    assert "datasets" not in names(cache).values() and not list(cache.glob("**/*.part"))


def test_a_removal_that_is_cut_short_leaves_nothing_that_looks_whole(cache, monkeypatch):
    def cut_short(*arguments, **options):
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr("harness.storage.cache.shutil.rmtree", cut_short)
    assert clean(cache, "datasets") == ["the disk is gone"]
    assert not (cache / "data" / "photos-1").exists() and (cache / "data" / "photos-1.part").exists()


def test_what_was_removed_can_be_made_again(cache):
    clean(cache)
    made = Places(None, cache).keep("photos-1", lambda folder: (folder / "new").touch())
    assert [path.name for path in made.iterdir()] == ["new"]
