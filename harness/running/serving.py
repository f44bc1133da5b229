"""Serves the page of a run on this machine, and keeps it up to date from the run's folder.

Only this machine can reach it: it listens on the loopback address, and refuses requests for another host, which a page of a
stranger could send through the user's browser. It only reads.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.errors import SamebenchError, UsageError
from harness.report.page import html_page
from harness.report.summary import Report
from harness.result import digest
from harness.running.store import RECORD, Store

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost", "[::1]")
"""The names of this machine in the header Host."""

LATER = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>samebench</title>
<noscript><meta http-equiv="refresh" content="2"></noscript>
<script>setTimeout(() => location.reload(), 2000)</script></head>
<body><p>{}</p></body></html>"""
"""A page that asks again after two seconds. A refresh without a script would not leave an address with a hash."""


class Pages:
    """The page of a run, made anew when the folder has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._made: tuple[str, bytes] | None = None

    def version(self) -> str:
        """A text that changes with every result of the run."""
        files = [self.folder / RECORD, *self.folder.glob("cells/*/result.json"), *self.folder.glob("judgements/*.json")]
        return digest([[str(file), *_state(file)] for file in sorted(files)])[:16]

    def page(self) -> bytes:
        """The page of the present version. A folder that has vanished, or cannot be read, is said on the page."""
        with self._lock:
            version = self.version()
            if self._made is None or self._made[0] != version:
                self._made = version, self._make(version)
            return self._made[1]

    def _make(self, version: str) -> bytes:
        if not self.folder.is_dir():
            return LATER.format(html.escape(f"The folder {self.folder} does not exist any more.")).encode()
        try:
            return html_page(Report.of(Store.open(self.folder)), live=version).encode(errors="backslashreplace")
        except (SamebenchError, OSError) as error:
            return LATER.format(html.escape(str(error))).encode(errors="backslashreplace")


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the page and for its version, and nothing else."""

    server: Server
    server_version, sys_version = "samebench", ""

    def do_GET(self) -> None:
        answers = {"/": ("text/html; charset=utf-8", self.server.pages.page), "/version": ("text/plain", self._version)}
        if not self._is_for_us():
            self._answer(403, "text/plain", b"This server answers only to its own machine.")
        elif (path := self.path.partition("?")[0]) in answers:
            kind, make = answers[path]
            self._answer(200, kind, make())
        else:
            self._answer(404, "text/plain", b"There is only one page, at /.")

    def _version(self) -> bytes:
        return self.server.pages.version().encode()

    def _is_for_us(self) -> bool:
        name, _, port = self.headers.get("Host", "").rpartition(":")
        return name in NAMES and port == str(self.server.server_port)

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not printed."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.pages = Pages(folder)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used: {error.strerror}; choose another --port", code="in-use"
            ) from None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve the page of a run in a thread. Gives its address."""
    with Server(folder, port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.url
        finally:
            server.shutdown()
