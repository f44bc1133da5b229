"""A real browser: Chromium of the system, driven by Playwright. It loads pages from files, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import needed
import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    needed.package("playwright")
    path = needed.program("chromium", "chromium-browser", "google-chrome")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root cannot have a sandbox
        yield running
        running.close()


class Watched:
    """A page in the browser, with everything that went wrong: messages of the console, errors, and requests."""

    def __init__(self, page: Any) -> None:
        self.page, self.wrong = page, list[str]()
        page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self._request)

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.wrong.append(f"request: {request.url[:200]}")


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    """Open a page of HTML, by default on a screen of 1280x900 in light colours. At the end nothing may have gone wrong."""
    contexts, opened = [], []

    def load(html: str, hash: str = "", **options: Any) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | options)
        contexts.append(context)
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(html, errors="backslashreplace")
        found = Watched(context.new_page())
        opened.append(found)
        found.page.goto(f"{file.as_uri()}{hash}")
        return found

    yield load
    for context in contexts:
        context.close()
    assert not [wrong for one in opened for wrong in one.wrong]
