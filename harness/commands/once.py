"""Options that may be given only once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from harness.errors import UsageError


class Once(click.Option):
    """An option that must not be given twice, unless it is `multiple` or a flag. Click itself takes the last value."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        collecting: Any = _Collecting(parser)
        super().add_to_parser(collecting, ctx)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> Any:
        given = opts.get(self.name or "")
        if isinstance(given, list) and not self.multiple:
            if len(given) > 1:
                raise UsageError(
                    f"{self.opts[-1]} is given {len(given)} times: {' and '.join(map(str, given))}; give it once",
                    code="given-twice",
                )
            opts = {**opts, str(self.name): given[0]}
        return super().consume_value(ctx, opts)


class _Collecting:
    """A parser that collects all values of an option. Click's own parser keeps only the last."""

    def __init__(self, parser: Any) -> None:
        self.parser = parser

    def add_option(self, *given: Any, action: str = "store", **options: Any) -> None:
        self.parser.add_option(*given, action="append" if action == "store" else action, **options)


option = partial(click.option, cls=Once)
"""The replacement for `click.option` in all commands."""
