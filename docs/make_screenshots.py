"""Takes the pictures of reports in docs/screenshots: python docs/make_screenshots.py [RUN...]

Each run is shown as a page in Chromium, on a screen and on a phone, light and dark; a run with pictures is shown where they begin.
Without arguments, the runs are those of results/, whose pictures are not kept. It needs Playwright, Pillow and the system's Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from harness import Report, html_page
from harness.running.store import Store

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "screenshots"
RUNS = [ROOT / "results" / name for name in ("digits", "cats-vs-dogs")]
WIDTHS, SCHEMES = {1280: 1000, 390: 844}, ("light", "dark")
"""The widths of the screens, each with its height."""


def take(runs: list[Path]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root cannot have a sandbox
        for run in runs:
            file = Path(folder, f"{run.name}.html")
            file.write_text(html_page(Report.of(Store.open(run))), encoding="utf-8")
            for width, height in WIDTHS.items():
                for scheme in SCHEMES:
                    size = {"width": width, "height": height}
                    page = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
                    page.goto(file.as_uri())
                    page.wait_for_selector("#controls")
                    page.evaluate("document.getElementById('pictures')?.scrollIntoView()")
                    page.wait_for_timeout(500)  # pictures are loaded when they come into view
                    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                    picture = picture.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                    picture.save(FOLDER / f"{run.name}-{width}-{scheme}.png", optimize=True)
                    page.close()
        browser.close()


if __name__ == "__main__":
    take([Path(argument) for argument in sys.argv[1:]] or RUNS)
