"""The stored cells as a file of Parquet, for pandas, Polars, DuckDB and R: a row for each cell, with typed columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from harness import Report, Unavailable, columns_of, hookimpl, wide_rows


def as_parquet(report: Report) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Unavailable(
            "the format parquet needs pyarrow: pip install 'samebench[parquet]'", code="not-installed"
        ) from None

    rows = wide_rows(report)
    table = pyarrow.table({name: _column(pyarrow, [row.get(name) for row in rows]) for name in columns_of(rows)})
    data = io.BytesIO()
    pyarrow.parquet.write_table(table, data, compression="zstd")
    return data.getvalue()


def _column(pyarrow: Any, values: list[Any]) -> Any:
    """A column of one type: of texts if the values are of several."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pyarrow.array([None if value is None else float(value) for value in values])
    if len(kinds) > 1:
        return pyarrow.array([None if value is None else str(value) for value in values])
    return pyarrow.array(values, None if kinds else pyarrow.string())


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], bytes]]:
    return {"parquet": as_parquet}
