"""Places: downloads, extracted archives and cache entries are complete and correct, or they are not used."""

import hashlib
import os
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packed import packed_tar, packed_zip
from refusals import refused

from harness import DataError
from harness.storage import places
from harness.storage.archives import unpack
from harness.storage.places import Download, Places

CONTENT = b"pictures" * 1000
HASH = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Answers each request with the next of its `faults`. Without more faults, it sends the right file."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.faults, self.asked, self.closing = [], 0, threading.Event()

    def download(self):
        return Download("flowers", f"http://127.0.0.1:{self.server_port}/flowers.bin", HASH)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        fault = self.server.faults.pop(0) if self.server.faults else "none"
        self.server.asked += 1
        if fault == "hangs":
            self.server.closing.wait(10)
            return
        self.send_response(404 if fault == "missing" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if fault == "trickles":
            while not self.server.closing.wait(0.05):
                self.wfile.write(b"p")
            return
        self.wfile.write({"cut": CONTENT[:100], "wrong": CONTENT[::-1]}.get(fault, CONTENT))

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(places, "PAUSE", 0.01)
    monkeypatch.setattr(places, "READ", 0.2)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


def files(folder: Path) -> list[str]:
    return sorted(
        str(file.relative_to(folder)) for file in folder.rglob("*") if file.suffix != ".lock" and file.is_file()
    )


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "WINDOW", 0.5)
    server.faults = ["trickles"] * 2
    found = Places(None, tmp_path).fetch(server.download())
    assert found.read_bytes() == CONTENT and server.asked == 3
    server.faults = ["trickles"] * 3
    with refused(DataError, "not-downloaded", "1,000 bytes"):
        Places(None, tmp_path / "other").fetch(server.download())
    assert server.asked == 6


def test_an_entry_that_does_not_fit_on_the_disk_is_refused_before_it_is_made(tmp_path):
    with refused(DataError, "not-writable", "SAMEBENCH_CACHE_DIR"):
        Places(None, tmp_path).keep("large", lambda folder: pytest.fail("it was made"), 10**18)
    assert not files(tmp_path)


def test_a_download_is_checked_kept_and_not_repeated(server, tmp_path, caplog, capfd):
    found = Places(None, tmp_path).fetch(server.download())
    assert found.read_bytes() == CONTENT and files(tmp_path) == ["downloads/flowers/flowers.bin"]
    assert Places(None, tmp_path, offline=True).fetch(server.download()) == found
    assert server.asked == 1 and not caplog.records and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["wrong", "cut", "missing", "hangs"])
def test_one_failure_is_tried_again(server, tmp_path, fault):
    server.faults = [fault]
    assert Places(None, tmp_path).fetch(server.download()).read_bytes() == CONTENT
    assert server.asked == 2


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("wrong", [hashlib.sha256(CONTENT[::-1]).hexdigest()]),
        ("cut", ["IncompleteRead"]),
        ("missing", [404]),
        ("hangs", ["Read timed out"]),
    ],
)
def test_a_download_that_keeps_failing_is_an_error_in_bounded_time_and_leaves_nothing(server, tmp_path, fault, values):
    server.faults = [fault] * 5
    start = time.monotonic()
    with refused(DataError, "not-downloaded", server.download().url, HASH, *values):
        Places(None, tmp_path).fetch(server.download())
    assert time.monotonic() - start < 5 and server.asked == 3
    assert files(tmp_path) == [], "a wrong or partial file is never left where somebody could use it"


def test_the_data_folder_comes_first_and_wrong_files_in_it_are_named(server, tmp_path):
    user, cache = tmp_path / "data", tmp_path / "cache"
    (user / "flowers").mkdir(parents=True)
    (user / "flowers.bin").write_bytes(b"another file of that name")
    (user / "flowers" / "flowers.bin").write_bytes(CONTENT)
    assert Places(user, cache).fetch(server.download()) == user / "flowers" / "flowers.bin"
    (user / "flowers" / "flowers.bin").write_bytes(CONTENT[:-1])
    with refused(DataError, "not-downloaded", user / "flowers.bin", user / "flowers/flowers.bin"):
        Places(user, cache, offline=True).fetch(server.download())
    assert server.asked == 0
    assert Places(user, cache).fetch(server.download()) == cache / "downloads/flowers/flowers.bin"


def never(*_, **__):
    """A server that does not answer."""
    time.sleep(20)
    raise OSError("nobody is there")


@pytest.mark.parametrize("way", ["forbidden", "refused", "silent"])
def test_without_a_network_the_error_comes_soon_with_advice(server, tmp_path, monkeypatch, way):
    if way == "refused":
        server.shutdown()
        server.socket.close()
    if way == "silent":
        assert places.CONNECT < 5
        monkeypatch.setattr(places, "CONNECT", 0.3)
        monkeypatch.setattr(places.socket, "create_connection", never)
    start = time.monotonic()
    with refused(
        DataError, "not-downloaded", "flowers.bin", HASH, tmp_path / "flowers", "samebench prepare --dataset flowers"
    ):
        Places(tmp_path, tmp_path / "cache", offline=way == "forbidden").fetch(server.download())
    assert time.monotonic() - start < 5


def test_nothing_is_looked_for_in_a_data_folder_that_is_not_there(tmp_path):
    with refused(DataError, "not-found", tmp_path / "typo", "SAMEBENCH_DATA_DIR"):
        Places(tmp_path / "typo", tmp_path).find("anything")
    assert Places(None, tmp_path).find("anything") is None
    assert Places(None, tmp_path).find(str(tmp_path)) == tmp_path


def test_places_are_as_the_environment_says(tmp_path, monkeypatch):
    for name in ("SAMEBENCH_DATA_DIR", "SAMEBENCH_CACHE_DIR", "SAMEBENCH_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Places.from_environment() == Places(None, tmp_path / ".cache/samebench", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg ü"))
    assert Places.from_environment().cache == tmp_path / "xdg ü" / "samebench"
    monkeypatch.setattr(places.os, "access", lambda folder, mode: not Path(folder).is_relative_to(tmp_path))
    assert Places.from_environment().cache.name == f"samebench-{os.getuid()}", "a home that cannot be written"
    monkeypatch.setenv("SAMEBENCH_DATA_DIR", "~/data")
    monkeypatch.setenv("SAMEBENCH_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("SAMEBENCH_OFFLINE", "1")
    assert Places.from_environment() == Places(tmp_path / "data", tmp_path / "own", True)


KEEPER = """
import os, signal, sys, time
from pathlib import Path
from harness.storage.places import Places

def fill(folder):
    (folder / sys.argv[3]).touch()
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    if sys.argv[3] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    (folder / "b").write_text("b")

assert sorted(os.listdir(Places(None, Path(sys.argv[1])).keep("things", fill))) == ["b", "lives"]
"""


def test_a_cache_entry_is_made_once_even_by_many_processes_and_after_one_was_killed(tmp_path):
    def start(way: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", KEEPER, tmp_path / "cache", tmp_path / "log", way])

    assert start("dies").wait(30) == -9
    assert files(tmp_path / "cache") == ["data/things.part/dies"]
    assert [process.wait(30) for process in [start("lives") for _ in range(3)]] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n" * 2
    assert files(tmp_path / "cache") == ["data/things/b", "data/things/lives"]


def test_a_failure_leaves_nothing_in_the_cache(tmp_path):
    def fill(folder: Path) -> None:
        (folder / "half").touch()
        raise DataError("broken")

    with refused(DataError, "data", "broken"):
        Places(None, tmp_path).keep("things", fill)
    assert files(tmp_path) == [] and not (tmp_path / "data/things").exists()
    with refused(DataError, "not-writable", "/dev/null/data/things", "SAMEBENCH_CACHE_DIR"):
        Places(None, Path("/dev/null")).keep("things", fill)


ZEROS = bytes(20_000_000)
EVIL_TARS = {
    "parent": ("../out", {}, "unsafe-file", "'../out'"),
    "hidden parent": ("a/../../out", {}, "unsafe-file", "'a/../../out'"),
    "absolute": ("/tmp/out", {}, "unsafe-file", "'/tmp/out'"),
    "symlink": ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, "not-a-regular-file", "'link'"),
    "hard link": ("link", {"type": tarfile.LNKTYPE, "linkname": "../out"}, "not-a-regular-file", "'link'"),
    "device": ("null", {"type": tarfile.CHRTYPE}, "not-a-regular-file", "'null'"),
    "pipe": ("pipe", {"type": tarfile.FIFOTYPE}, "not-a-regular-file", "'pipe'"),
    "twice": ("./first", {}, "name-taken", "'./first'"),
    "bomb": ("zeros", {"content": ZEROS}, "unsafe-file", "bytes"),
}
EVIL_ZIPS = {
    "parent": ("../out", b"x", 0, "unsafe-file", "'../out'"),
    "absolute": ("/tmp/out", b"x", 0, "unsafe-file", "'/tmp/out'"),
    "backslash": ("..\\out", b"x", 0, "unsafe-file", repr("..\\out")),
    "symlink": ("link", b"/etc", 0o120777, "not-a-regular-file", "'first'"),
    "twice": ("first", b"y", 0, "name-taken", "'first'"),
    "bomb": ("zeros", ZEROS, 0, "unsafe-file", "bytes"),
}


def not_unpacked(archive: Path, folder: Path, code: str, value: str) -> None:
    target = folder / "inner" / "target"
    with refused(DataError, code, archive, value):
        unpack(archive, target)
    assert files(folder) == [archive.name], "nothing is written, there or elsewhere"


@pytest.mark.parametrize("evil", EVIL_TARS)
def test_a_tar_that_could_do_harm_is_refused_before_anything_is_written(tmp_path, evil):
    name, about, *said = EVIL_TARS[evil]
    not_unpacked(packed_tar(tmp_path / "evil.tar.gz", ("first", {}), (name, dict(about))), tmp_path, *said)


@pytest.mark.parametrize("evil", EVIL_ZIPS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_could_do_harm_is_refused_before_anything_is_written(tmp_path, evil):
    name, content, mode, *said = EVIL_ZIPS[evil]
    not_unpacked(packed_zip(tmp_path / "evil.zip", ("first", b"x"), (name, content), mode=mode), tmp_path, *said)


def test_good_archives_are_unpacked_and_damaged_ones_are_not(tmp_path):
    tar = packed_tar(
        tmp_path / "a.tar.gz", ("./d", {"type": tarfile.DIRTYPE}), ("./d/one", {"content": os.urandom(9999)})
    )
    unpack(tar, tmp_path / "tar")
    unpack(packed_zip(tmp_path / "a.zip", ("d/", b""), ("d/one", b"1")), tmp_path / "zip")
    assert files(tmp_path / "tar") == files(tmp_path / "zip") == ["d/one"]
    assert (tmp_path / "zip/d/one").read_bytes() == b"1"
    for name, content in (("cut.tar.gz", tar.read_bytes()[:-3000]), ("text.zip", b"no archive")):
        (tmp_path / name).write_bytes(content)
        with refused(DataError, "unreadable-file", tmp_path / name):
            unpack(tmp_path / name, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_archives_are_fetched_only_to_be_unpacked(tmp_path):
    archive = packed_tar(tmp_path / "flowers.tar.gz", ("rose", {}))
    download = Download("flowers", "http://127.0.0.1:9/flowers.tar.gz", places.file_hash(archive, "md5:"))
    folder = Places(tmp_path, tmp_path / "cache", offline=True).unpacked(download)
    archive.unlink()
    assert files(folder) == ["rose"]
    assert Places(tmp_path, tmp_path / "cache", offline=True).unpacked(download) == folder
