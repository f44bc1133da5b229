"""Elements of HTML. Every text of a run is escaped here: it may come from a stranger."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.text import printable

UNITS = {"min": 60.0, "h": 3600.0, "GiB": 1024.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}
"""Units in tables, by which their numbers are multiplied to be sorted."""

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    header: str
    better: Literal["higher", "lower"] | None = None
    """The direction that is better, which an arrow shows."""

    measure: str = ""
    """The number that this column shows, for ratios to a baseline."""

    is_text: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table: its texts, or elements made by this module."""

    cells: Sequence[str | Markup]
    who: str = ""
    """The backend, by which readers hide rows."""

    attributes: Mapping[str, str] = field(default_factory=dict)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """A text that browsers show as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(printable(str(value))))


def element(name: str, *inner: object, **attributes: str | None) -> Markup:
    """An element. A trailing underscore of an attribute is left out, and others become hyphens; None leaves an attribute out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{''.join(map(text, inner))}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    return Markup("\n".join(map(text, parts)))


def link(to: str, label: object) -> Markup:
    """A link to a place of this page."""
    return element("a", label, href=f"#{to}")


def listing(lines: Iterable[object], class_: str | None = None) -> Markup:
    return element("ul", *(element("li", line) for line in lines), class_=class_)


def identifier(name: str) -> str:
    """A name as a part of an identifier: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "x"


def table(columns: Sequence[Column], lines: Sequence[Line], id_: str, caption: object = "", class_: str = "") -> Markup:
    """A table. Its first column names the rows; with the page's script, each column can be sorted."""
    heads = [_head(column) for column in columns]
    rows = [
        element("tr", *(_cell(cell, columns[place], place) for place, cell in enumerate(line.cells)),
                data_who=line.who or None, **line.attributes)
        for line in lines
    ]  # fmt: skip
    inner = [element("caption", caption)] if caption else []
    whole = element(
        "table",
        *inner,
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        id=id_,
        class_=f"sortable {class_}".strip(),
    )
    return element("div", whole, class_="wide", tabindex="0", role="region", aria_label=str(caption) or "table")


def _head(column: Column) -> Markup:
    arrow = ""
    if column.better:
        arrow = element("span", ARROWS[column.better], class_="better", title=f"{column.better} is better")
    button = element("button", column.header, *([" ", arrow] if arrow else []), type="button")
    return element("th", button, scope="col", class_=None if column.is_text else "n", aria_sort="none")


def _cell(cell: str | Markup, column: Column, place: int) -> Markup:
    if place == 0:
        return element("th", cell, scope="row")
    value = None if column.is_text else sort_value(_plain(cell))
    return element(
        "td", cell, class_=None if column.is_text else "n", data_v=None if value is None else f"{value:.10g}",
        data_m=column.measure or None,
    )  # fmt: skip


def sort_value(said: str) -> float | None:
    """The number that a text begins with, in its smallest unit; None if there is none."""
    if not (found := NUMBER.match(said.strip())):
        return None
    unit = said.strip()[found.end() :].split()[:1]
    return float(found[0].replace(",", "")) * UNITS.get(unit[0] if unit else "", 1.0)


def _plain(cell: str | Markup) -> str:
    return html.unescape(re.sub("<[^>]*>", "", cell)) if isinstance(cell, Markup) else cell
