"""The report as a page: one file for a browser, with charts, pictures and all data, that needs no network. And its pictures alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import Report, hookimpl


def as_html(*reports: Report) -> str:
    """The page of one run, or of several."""
    from harness import html_page  # it needs NumPy and Pillow, and the other formats do not

    return html_page(*reports)


def as_gallery(report: Report) -> str:
    """The pictures of a run, with their numbers."""
    from harness import pictures_page

    return pictures_page(report)


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[..., str]]:
    return {"html": as_html, "gallery": as_gallery}
