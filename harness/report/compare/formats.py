"""The formats of a comparison: table for terminals, markdown for pull requests, json for programs, junit for CI systems."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

from harness.report.compare.comparison import Comparison
from harness.report.compare.text import Section, labels, sections, speed_text
from harness.report.markdown import markdown_table, markdown_text
from harness.report.terminal import draw_table, wrap_lines
from harness.text import printable


def as_table(found: Comparison) -> str:
    """Sections with tables and sentences, for a terminal."""
    return printable("\n\n".join(_drawn(section) for section in sections(found)))


def _drawn(section: Section) -> str:
    tables = [draw_table(table, left) for table, left in section.tables]
    parts = [wrap_lines([section.title, *section.head]), *tables, wrap_lines(section.lines)]
    return "\n\n".join(filter(None, parts))


def as_markdown(found: Comparison) -> str:
    """The same sections in Markdown."""
    return "\n\n".join(_in_markdown(section) for section in sections(found))


def _in_markdown(section: Section) -> str:
    head, lines = ("\n".join(f"- {markdown_text(line)}" for line in part) for part in (section.head, section.lines))
    tables = [markdown_table(table, left) for table, left in section.tables]
    return "\n\n".join(filter(None, [f"### {markdown_text(section.title)}", head, *tables, lines]))


def as_json(found: Comparison) -> str:
    """Everything, as plain data."""
    return json.dumps(found.as_json(), indent=1, allow_nan=False)


def as_junit(found: Comparison) -> str:
    """A test case for each gate and row, and one for the speed of each row. A speed alone never fails; a row without a verdict is
    skipped."""
    suite = ElementTree.Element("testsuite", name="samebench compare")
    for case in (*_gate_cases(found), *_speed_cases(found)):
        suite.append(case)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode")


def _gate_cases(found: Comparison) -> Iterator[ElementTree.Element]:
    label = labels(found.rows)
    for outcome in found.gates:
        row = label[id(outcome.row)] if outcome.row else "no row"
        case = _case(f"samebench.gate.{outcome.gate.metric}", f"{outcome.gate.text}, {row}")
        if outcome.fails:
            ElementTree.SubElement(
                case, "failure", type=outcome.status, message=_safe(outcome.message)
            ).text = _safe(outcome.message)  # fmt: skip
        else:
            ElementTree.SubElement(case, "system-out").text = _safe(outcome.message)
        yield case


def _speed_cases(found: Comparison) -> Iterator[ElementTree.Element]:
    label = labels(found.rows)
    for change in found.speeds:
        case = _case("samebench.speed", label[id(change.row)])
        text = _safe(speed_text(change))
        if change.p_different is None:
            ElementTree.SubElement(case, "skipped", message=text)
        else:
            ElementTree.SubElement(case, "system-out").text = text
        yield case


def _case(group: str, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=group, name=_safe(name), time="0")


def _safe(text: str) -> str:
    """The text without characters that XML does not allow."""
    return " ".join(printable(text).split())


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "json": as_json,
    "junit": as_junit,
}
