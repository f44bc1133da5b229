"""The server of a run's page: only for this machine, only reading, and up to date."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import SMALL, command, wait_for
from refusals import refused
from runs import cell, finished, seen_in, stored_run

from harness.errors import UsageError
from harness.result import Result
from harness.running.serving import Server, serving
from harness.running.store import Store


@pytest.fixture
def run(tmp_path):
    return stored_run(tmp_path / "run", [finished(cell()), Result(cell(seed=1), "failed", "it broke")])


def get(url: str, path: str = "", **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def test_the_page_is_that_of_the_run(run):
    with serving(run) as url:
        status, page, headers = get(url)
        assert status == 200 and "it broke" in page and 'data-live="' in page
        assert headers["Content-Type"] == "text/html; charset=utf-8" and headers["X-Frame-Options"] == "DENY"
        assert get(url, "version")[1] == get(url, "version")[1] and len(get(url, "version")[1]) == 16


def test_a_new_result_has_a_new_version_and_is_on_the_page(run):
    with serving(run) as url:
        before = get(url, "version")[1]
        Store(run).save(finished(cell(seed=1)))
        assert get(url, "version")[1] != before and "it broke" not in get(url)[1]


def test_only_this_machine_is_answered_and_only_by_its_own_name(run):
    with serving(run) as url:
        port = url.rstrip("/").rpartition(":")[2]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
            assert get(url, Host=host)[0] == 200
        for host in (
            f"evil.example:{port}",
            "evil.example",
            "localhost",
            "localhost:1",
            f"127.0.0.1.evil.example:{port}",
            "",
        ):
            status, said, _ = get(url, Host=host)
            assert status == 403 and "it broke" not in said, host
    with Server(run) as server:
        assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(run, method):
    before = seen_in(run)
    with serving(run) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=30)
        connection.request(method, "/", body=b"x")
        assert connection.getresponse().status == 501
    assert seen_in(run) == before


@pytest.mark.parametrize("path", ["run.json", "../../etc/passwd", "cells", "%2e%2e/secret", "page.html"])
def test_there_is_only_one_page(run, path):
    with serving(run) as url:
        assert get(url, path)[0] == 404


def test_a_folder_that_vanishes_is_said_and_one_that_comes_back_is_shown(run):
    with serving(run) as url:
        assert "it broke" in get(url)[1]
        moved = run.rename(run.with_name("elsewhere"))
        status, said, _ = get(url)
        assert status == 200 and "does not exist any more" in said and 'http-equiv="refresh"' in said
        moved.rename(run)
        assert "it broke" in get(url)[1]
        (run / "run.json").write_text("{")
        assert "cannot be read" in get(url)[1]


def test_many_requests_at_once_get_the_whole_page(run):
    with serving(run) as url:
        pages: list[str] = []
        threads = [threading.Thread(target=lambda: pages.append(get(url)[1])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(pages) == 8 and len({*pages}) == 1


def test_a_port_that_is_taken_is_refused(run):
    with (
        serving(run) as url,
        refused(UsageError, "in-use", "--port"),
        Server(run, int(url.rstrip("/").rpartition(":")[2])),
    ):
        pass


@contextmanager
def watching(*arguments):
    """A command of samebench that serves, and the address that it prints."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell ignores it for what it starts with &
    )  # fmt: skip
    try:
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said)):
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_watch_serves_until_it_is_stopped(run):
    with watching("watch", run) as (process, url):
        assert "it broke" in get(url)[1]
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        process.wait(10)
        assert process.returncode == 130 and time.monotonic() - start < 3


def test_watch_shows_a_run_of_another_process_while_it_runs(tmp_path):
    arguments = ["run", "--backend", "numpy", "--seeds", "3", "--no-parity", "--out", tmp_path / "run", *SMALL]
    with watching(*arguments, "--serve") as (process, url):
        wait_for(lambda: (tmp_path / "run/run.json").exists())
        with watching("watch", tmp_path / "run") as (_, other):
            wait_for(lambda: "seed 0" in get(other)[1])
        assert get(url)[0] == 200
        process.stdout.read()
        assert process.wait(60) == 0


def test_a_folder_that_is_no_run_cannot_be_watched(tmp_path):
    done = subprocess.run(command("watch", tmp_path), capture_output=True, text=True)
    assert done.returncode == 2 and "is not a run" in done.stderr


def test_the_page_of_a_copied_run_is_the_same(run, tmp_path):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    with serving(run) as first, serving(other) as second:
        assert get(first, "version")[1] != get(second, "version")[1], "the version is of the files in their folder"
