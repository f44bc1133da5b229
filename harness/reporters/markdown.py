"""The report for issues, pull requests and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import Report, hookimpl, markdown_table, markdown_text, report_notes, report_tables


def as_markdown(report: Report) -> str:
    paragraphs = ["\n".join(f"- {markdown_text(line)}" for line in lines) for lines in report_notes(report) if lines]
    return "\n\n".join([*map(markdown_table, report_tables(report)), *paragraphs])


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"markdown": as_markdown}
