"""The page of a running run in a real browser: it shows each new result by itself, and says when nothing comes any more."""

from __future__ import annotations

import time
from contextlib import suppress

from runs import cell, finished, stored_run

from harness.result import Result
from harness.running.serving import serving
from harness.running.store import Store


def becomes(page, script: str, seconds: float = 15.0) -> bool:
    """Whether a script in the page becomes true. The page's policy forbids Playwright's own way of waiting."""
    from playwright.sync_api import Error

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(Error):  # the page is loading itself again
            if page.evaluate(script):
                return True
        time.sleep(0.1)
    return False


def test_a_live_page_shows_new_results_and_keeps_what_the_reader_has_chosen(browser, tmp_path):
    run = stored_run(tmp_path / "run", [finished(cell()), Result(cell(seed=1), "failed", "it broke")])
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    with serving(run) as url:
        page.on("request", lambda request: None if request.url.startswith(url) else wrong.append(request.url))
        page.goto(url)
        assert "it broke" in page.inner_text("main")
        page.fill("#filter", "numpy")
        assert becomes(page, "location.hash.includes('numpy')")
        Store(run).save(finished(cell(seed=1)))
        assert becomes(page, "!document.querySelector('main').innerText.includes('it broke')")
        assert page.input_value("#filter") == "numpy" and wrong == []
        gone = run.rename(tmp_path / "elsewhere")
        assert becomes(page, "document.body.innerText.includes('does not exist any more')")
        gone.rename(run)
        assert becomes(page, "document.body.innerText.includes('Repeat this')")
    assert becomes(page, "document.documentElement.dataset.live === 'gone'")
    page.close()
