"""Every chart of a run as a file: `svg` needs nothing else, `png` needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import Report, hookimpl


def as_svg(report: Report) -> Mapping[str, bytes]:
    """An SVG file for each chart, by its name."""
    from harness import report_figures

    return {f"{name}.svg": data for name, data in report_figures(report, "svg")}


def as_png(report: Report) -> Mapping[str, bytes]:
    from harness import report_figures

    return {f"{name}.png": data for name, data in report_figures(report, "png")}


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], Mapping[str, bytes]]]:
    return {"svg": as_svg, "png": as_png}
