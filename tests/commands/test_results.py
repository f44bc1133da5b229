"""`samebench results`: tables, figures, pictures and the page of stored runs, made from their cells alone."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import needed
import pytest
from click.testing import CliRunner
from refusals import refused
from reports import NASTY
from runs import cell, certificate, finished, pictured, seen_in, stored_run, unchanged

from harness.cli import main
from harness.commands.rendering import PAGE, TEXT, different, rendered, runs_in, write
from harness.errors import UsageError
from harness.result import Result
from harness.running.store import Store

RESULTS = Path(__file__).parents[2] / "results"
PACKED = re.compile(rb'(<script type="application/octet-stream"[^>]*>)([\w+/=]+)')


def unpacked(page: bytes) -> bytes:
    """The page with its compressed data unpacked: other versions of zlib compress otherwise."""
    return PACKED.sub(lambda found: found[1] + gzip.decompress(base64.b64decode(found[2])), page)


@pytest.mark.parametrize("run", runs_in(RESULTS), ids=lambda run: run.name)
def test_the_files_in_results_are_those_of_the_stored_cells(run):
    files = rendered(run)
    old = set(different(run, files)) - {PAGE}
    assert unpacked((run / PAGE).read_bytes()) == unpacked(files[PAGE]) and not old, "run samebench results results/"


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder with a run with pictures, and one that failed."""
    store = Store(stored_run(tmp_path / "runs" / "good", []))
    result = finished(cell("pytorch"), artifacts=pictured(cell("pytorch"), store).artifacts)
    stored_run(store.folder, [result, finished(cell())])
    for of in (cell(), cell("pytorch")):
        store.save_certificate(of.configuration, certificate())
    stored_run(tmp_path / "runs" / "bad", [Result(cell(model=name), "failed", name) for name in NASTY])
    (tmp_path / "runs" / "notes").mkdir()
    return tmp_path / "runs"


def results(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["results", *map(str, words)])
    return done.exit_code, done.output


def test_every_run_in_the_folder_is_rendered(runs):
    code, said = results(runs)
    assert code == 0 and len(said.splitlines()) == 2
    for run in ("good", "bad"):
        assert (runs / run / PAGE).read_text().startswith("<!doctype html>")
    text = (runs / "good" / TEXT).read_text()
    assert "# good" in text and "Both backends computed the same" in text and "50.00%" in text
    files = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert {"figures", "pictures"} == {file.partition("/")[0] for file in files}
    assert all((runs / "good" / file).stat().st_size > 60 for file in files)


def test_one_run_can_be_rendered_alone(runs):
    assert results(runs / "good")[0] == 0
    assert (runs / "good" / TEXT).exists() and not (runs / "bad" / TEXT).exists()


def test_what_is_rendered_twice_is_the_same(runs):
    results(runs)
    before = seen_in(runs)
    results(runs)
    assert seen_in(runs) == before


def test_check_writes_nothing_and_names_what_is_old(runs):
    with unchanged(runs):
        code, said = results(runs, "--check")
        assert code == 1 and f"good: not up to date: {TEXT}" in said
    results(runs)
    assert results(runs, "--check") == (0, f"{runs}/bad: up to date\n{runs}/good: up to date\n")
    Store(runs / "good").save(finished(cell(), metrics={"test_accuracy": 0.25}))
    code, said = results(runs, "--check")
    assert code == 1 and "good: not up to date" in said and "bad: up to date" in said


def test_a_figure_that_the_run_no_longer_has_is_removed_and_other_files_stay(runs):
    results(runs)
    (runs / "good/figures/old.svg").write_text("<svg/>")
    (runs / "good/figures/notes.txt").write_text("mine")
    assert "figures/old.svg" in results(runs, "--check")[1]
    results(runs)
    assert not (runs / "good/figures/old.svg").exists() and (runs / "good/figures/notes.txt").exists()


def test_a_text_of_the_user_is_not_overwritten(runs):
    (runs / "good" / TEXT).write_text("# My notes")
    (runs / "good" / "figures").mkdir()
    (runs / "good" / "figures" / "mine.svg").write_text("<svg/>")
    with unchanged(runs), refused(UsageError, "not-writable", "rename it"):
        write(runs / "good", rendered(runs / "good"))


def test_links_in_the_run_of_a_stranger_are_not_followed(runs, tmp_path):
    (private := tmp_path / "private").mkdir()
    (private / "keys.svg").write_text("secret")
    files = rendered(runs / "good")
    (runs / "good" / PAGE).symlink_to(private / "keys.svg")
    (runs / "good" / "figures").symlink_to(private)
    with unchanged(private):
        write(runs / "good", files)
        write(runs / "good", files)
    assert different(runs / "good", files) == [] and not (runs / "good" / "figures").is_symlink()


@pytest.mark.parametrize("place", ["nowhere", "runs/notes"])
def test_a_folder_without_runs_is_refused(runs, tmp_path, place):
    with refused(UsageError, "not-a-run", place):
        runs_in(tmp_path / place)


def test_hostile_names_are_text_in_the_text_of_a_run(runs):
    needed.package("markdown_it", "linkify_it")
    from markdown_it import MarkdownIt

    shown = MarkdownIt("gfm-like").render(rendered(runs / "bad")[TEXT].decode())
    assert "<script" not in shown and set(re.findall(r'href="([^"]*)', shown)) == {PAGE}
