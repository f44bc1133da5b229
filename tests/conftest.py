"""Fixtures of all tests. A process tests one backend, `--backend`: PyTorch crashes if imported after TensorFlow."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

import pytest

from harness.environment import cores, worker_environment

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""The number of parallel test processes. They share the cores; otherwise, waiting threads would use processor time."""

os.environ.update(worker_environment(max(cores() // WORKERS, 1) if WORKERS > 1 else None))
os.environ["SAMEBENCH_CACHE_DIR"] = tempfile.mkdtemp(prefix="samebench-tests-")  # an empty cache
atexit.register(shutil.rmtree, os.environ["SAMEBENCH_CACHE_DIR"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", help="the backend to test in this process")
    parser.addoption("--mode", default="default", help="the mode of the backend")
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run it with tox -e slow"))


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> type:
    """The class of the backend under test. This process may import no other framework."""
    from harness.plugins import load_backend

    name = request.config.getoption("--backend")
    if not name:
        pytest.skip("needs --backend NAME: a process has only one framework")
    return load_backend(name)


@pytest.fixture(scope="session")
def mode(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--mode")


@pytest.fixture
def quick_compiler(backend: type, mode: str, request: pytest.FixtureRequest) -> None:
    """Skips a test that is slow if PyTorch compiles: a C++ compiler needs seconds for each kernel."""
    if (backend.name, mode) == ("pytorch", "compiled") and not request.config.getoption("--slow"):
        pytest.skip("PyTorch's compiler takes minutes: tox -e slow")


@pytest.fixture
def nothing_hangs():
    """Fails a test that hangs, for example at a pipe."""

    def fail(number, frame):
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
