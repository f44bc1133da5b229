"""One backend a process: PyTorch imported after TensorFlow crashes, so backend tests name theirs by --backend."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

import pytest

from harness.environment import cores, worker_environment

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""How many processes test at the same time. They share the cores: threads that wait for each other would spin."""

os.environ.update(worker_environment(max(cores() // WORKERS, 1) if WORKERS > 1 else None))
os.environ["SAMEBENCH_CACHE_DIR"] = tempfile.mkdtemp(prefix="samebench-tests-")  # nothing known from before
atexit.register(shutil.rmtree, os.environ["SAMEBENCH_CACHE_DIR"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", help="the backend whose tests are run in this process")
    parser.addoption("--mode", default="default", help="the mode it is tested in")
    parser.addoption("--slow", action="store_true", help="also the tests that take too long for every change")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="too long for every change: tox -e slow"))


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> type:
    """The class of the backend under test; nothing else in this process may import a framework."""
    from harness.plugins import load_backend

    name = request.config.getoption("--backend")
    if not name:
        pytest.skip("needs --backend NAME: one framework a process")
    return load_backend(name)


@pytest.fixture(scope="session")
def mode(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--mode")


@pytest.fixture
def quick_compiler(backend: type, mode: str, request: pytest.FixtureRequest) -> None:
    """For tests that are too long where PyTorch compiles: each of its kernels takes a C++ compiler seconds."""
    if (backend.name, mode) == ("pytorch", "compiled") and not request.config.getoption("--slow"):
        pytest.skip("PyTorch's compiler takes minutes: tox -e slow")


@pytest.fixture
def nothing_hangs():
    """A test that waits for a pipe fails."""

    def fail(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
