"""The notebook of the docs is executed, and prints what it shows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import needed

DOCS = Path(__file__).parent.parent / "docs"


def make_notebook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_notebook", DOCS / "make_notebook.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(cell) -> list[str]:
    """What a cell of a notebook prints or shows as text."""
    found = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ())]
    return ["".join(text) for text in found]


def test_the_notebook_prints_what_it_shows():
    needed.package("nbclient", "ipykernel", "pandas", "matplotlib")
    stored = json.loads((DOCS / "notebook.ipynb").read_text())["cells"]
    executed = make_notebook().executed().cells
    for before, now in zip(stored, executed, strict=True):
        if "varies" not in now.metadata.get("tags", ()):
            assert texts(before) == texts(now), "run python docs/make_notebook.py"
    outputs = [output for cell in executed for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert any("computed the same" in text for cell in executed for text in texts(cell))
