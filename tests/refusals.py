"""Asserts which error of samebench is raised, without its wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.errors import SamebenchError


@contextmanager
def refused(kind: type[SamebenchError], code: str, *values: Any) -> Iterator[pytest.ExceptionInfo[SamebenchError]]:
    """Assert that the block raises an error of this type and code, and that its message has each value as a whole word.

    Values are what a user needs to repair the mistake: names, paths, numbers, options and commands.
    """
    with pytest.raises(kind) as error:
        yield error
    message = str(error.value)
    assert error.value.code == code, f"{error.value.code}: {message}"
    for value in values:
        assert has(message, value), f"{value} is not in: {message}"


def has(message: str, value: Any) -> bool:
    """Whether the message has the value, and not as a part of a longer word or number."""
    return re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", message) is not None
