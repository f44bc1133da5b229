"""Executes docs/notebook.ipynb and stores what it prints and draws: python docs/make_notebook.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FILE = Path(__file__).parent / "notebook.ipynb"


def executed() -> Any:
    """The notebook with its outputs. Raises an error if a cell fails."""
    notebook = nbformat.read(FILE, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FILE.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of the execution
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), FILE)
