"""Programs and packages that some tests need. In CI their absence is a failure, elsewhere the tests are skipped with the reason."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

REQUIRED = "SAMEBENCH_TESTS_NEED_ALL"
"""If this variable is set, nothing is skipped because a program or a package is missing."""


def program(*names: str) -> str:
    """The path of the first of these programs that is installed."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        _missing(f"the program {names[0]}")
    return str(found)


def package(*names: str) -> None:
    """Skip the test unless these packages are installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            _missing(f"the package {name}")


def _missing(what: str) -> None:
    reason = f"{what} is not installed"
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
