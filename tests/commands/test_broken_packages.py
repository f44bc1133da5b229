"""An installed package whose plugins cannot be imported: it is named, and everything else works."""

from __future__ import annotations

import json
import os

import pytest
from command import SMALL, cells, samebench

MODULES = {
    "lost_model": "raise ImportError('libfoo.so.1 is missing')",
    "leaving_model": "raise SystemExit(0)",
    "rude_model": "raise BaseException('rude')",
    "lost_backend": "raise ImportError('libfoo.so.1 is missing')",
    "endless_backend": "import time\ntime.sleep(600)",
}
POINTS = """[samebench.plugins]
lost = lost_model
leaving = leaving_model
rude = rude_model
[samebench.backends]
lost = lost_backend
endless = endless_backend
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> dict[str, str]:
    """The environment in which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    (about := folder / "broken-1.0.dist-info").mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def test_the_list_names_broken_plugins_beside_all_others(broken):
    done = samebench("list", "--json", env=broken, timeout=60)
    found = json.loads(done.stdout)
    assert done.returncode == 0
    reasons = {row["name"]: row["reason"] for row in found["broken"]}
    assert "ImportError: libfoo.so.1 is missing" in reasons["lost"]
    assert "SystemExit: 0" in reasons["leaving"] and "BaseException: rude" in reasons["rude"]
    assert "lenet5" in [row["name"] for row in found["models"]]
    statuses = {row["name"]: row["status"] for row in found["backends"]}
    assert {statuses[name] for name in ("numpy", "lost", "endless")} == {"available"}, "no backend is imported"


def test_a_broken_backend_is_a_row_and_the_others_run(broken, tmp_path):
    arguments = ["--backend", "lost", "--backend", "numpy", "--no-parity", "--device", "cpu", "--out", tmp_path / "run"]
    done = samebench("run", *arguments, *SMALL, env=broken)
    found = cells(tmp_path / "run")
    assert done.returncode == 1 and found["numpy"] == ("ok", None)
    assert found["lost"][0] == "unavailable" and "ImportError: libfoo.so.1 is missing" in found["lost"][1]
