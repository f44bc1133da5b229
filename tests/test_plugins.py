"""Discovery of plugins imports none of them, and refuses duplicates and misspelt hooks. A backend may be a file."""

from __future__ import annotations

import subprocess
import sys
from email.message import Message
from importlib.metadata import EntryPoint

import pytest
from refusals import refused

from harness import plugins
from harness.errors import PluginError, Unavailable, UsageError
from harness.plugins import FRAMEWORKS as FRAMEWORKS_OF
from harness.plugins import find_backends, load_backend, load_plugins, unknown_backend


class Package:
    """The metadata of an installed package."""

    def __init__(self, name: str) -> None:
        self.metadata = Message()
        self.metadata["Name"], self.metadata["Provides-Extra"] = name, "mine"


BACKEND = """
from harness import hookimpl
from harness.reference.backend import NumPy

class Mine(NumPy):
    name = "mine"

@hookimpl
def samebench_backend():
    return Mine
"""


@pytest.fixture
def announce(monkeypatch, tmp_path):
    """Install entry points: (group, name, module, package). They are read once for each path of packages, so the path changes
    with each call."""

    def announce(*points):
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / f"packages{len(sys.path)}")])

        def entry_points(*, group):
            found = []
            for of, name, module, package in points:
                if of == group:
                    point = EntryPoint(name, module, group)
                    vars(point)["dist"] = Package(package)
                    found.append(point)
            return found

        monkeypatch.setattr(plugins, "entry_points", entry_points)

    return announce


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    for name in [name for name, loaded in sys.modules.items() if str(tmp_path) in str(getattr(loaded, "__file__", ""))]:
        del sys.modules[name]


def test_the_shipped_backends_are_found():
    assert {"jax", "keras", "numpy", "pytorch"} <= find_backends().keys()
    assert find_backends()["numpy"].status == "available"


def test_a_backend_is_found_without_importing_it(announce, module):
    announce(
        ("samebench.backends", "mine", module("mine_backend", "import sys\nsys.exit('imported!')"), "their-package")
    )
    assert find_backends()["mine"].status == "available"
    with refused(PluginError, "import-failed", "mine", "SystemExit: imported!"):
        load_backend("mine")


def test_a_backend_is_loaded_by_its_name(announce, module):
    announce(("samebench.backends", "mine", module("mine_backend", BACKEND), "their-package"))
    assert load_backend("mine").name == "mine"


def test_a_missing_framework_is_named_with_the_package_to_install(announce, module):
    announce(("samebench.backends", "mine", module("mine_backend", "import no_such_framework"), "their-package"))
    entry = find_backends()["mine"]
    assert (entry.status, entry.reason) == (
        "not-installed",
        "no_such_framework not installed: pip install 'their-package[mine]'",
    )
    with refused(Unavailable, "not-installed", "mine", "no_such_framework"):
        load_backend("mine")


def test_a_backend_without_its_module_is_broken(announce):
    announce(("samebench.backends", "mine", "no_such_module.at_all", "their-package"))
    assert find_backends()["mine"].status == "broken"


def test_a_name_that_two_packages_use_is_refused_with_both_packages(announce, module):
    first, second = module("first_backend", BACKEND), module("second_backend", BACKEND)
    announce(
        ("samebench.backends", "mine", first, "one-package"), ("samebench.backends", "mine", second, "other-package")
    )
    entry = find_backends()["mine"]
    assert entry.status == "broken"
    assert "claimed by one-package (first_backend) and other-package (second_backend)" in entry.reason


def test_a_duplicate_entry_point_counts_once(announce, module):
    point = ("samebench.backends", "mine", module("mine_backend", BACKEND), "one-package")
    announce(point, point)
    assert find_backends()["mine"].status == "available"


def test_the_error_for_an_unknown_backend_suggests_a_similar_name():
    with refused(UsageError, "unknown-name", "'pytoch'", "'pytorch'"):
        load_backend("pytoch")


def write(tmp_path, text):
    file = tmp_path / "my_backend.py"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(("framework", "backend"), FRAMEWORKS_OF.items())
def test_the_name_of_a_framework_suggests_its_backend(framework, backend):
    with refused(UsageError, "unknown-name", f"'{framework}'", f"'{backend}'"):
        load_backend(framework)


def test_a_framework_without_an_installed_backend_is_not_suggested():
    assert "did you mean" not in str(unknown_backend("tensorflow", ["numpy"]))


def test_a_file_is_a_backend(tmp_path):
    assert load_backend(write(tmp_path, BACKEND)).name == "mine"


@pytest.mark.parametrize(
    ("change", "code", "values"),
    [
        (("def samebench_backend", "def samebench_backnd"), "plugin", ["samebench_backnd", "'samebench_backend'"]),
        (("samebench_backend()", "samebench_backend(framework)"), "plugin", ["framework"]),
        (("@hookimpl\n", ""), "plugin", ["harness.hookimpl"]),
        (("return Mine", "return 'Mine'"), "wrong-type", ["harness.Backend", "'Mine'"]),
        (
            ("class Mine(NumPy):", "from harness import Backend\nclass Mine(Backend):"),
            "plugin",
            ["Mine", "build, device_of, forward"],
        ),
        (
            ("from harness", "import no_such_framework\nfrom harness"),
            "import-failed",
            ["ModuleNotFoundError", "'no_such_framework'"],
        ),
    ],
)
def test_the_error_names_the_problem_of_a_backend_file(tmp_path, change, code, values):
    with refused(PluginError, code, *values):
        load_backend(write(tmp_path, BACKEND.replace(*change, 1)))


def test_a_backend_file_that_does_not_exist():
    with refused(UsageError, "not-found", "nowhere.py"):
        load_backend("nowhere.py")


def model_of(kind, things):
    return f"from harness import hookimpl\n\n@hookimpl\ndef samebench_{kind}():\n    return {things}\n"


def test_a_backend_file_that_does_not_parse_is_broken(announce, module):
    announce(("samebench.backends", "mine", module("mine_backend", "def oops(:"), "their-package"))
    assert find_backends()["mine"].status == "broken"
    assert "SyntaxError" in find_backends()["mine"].reason


def test_a_broken_plugin_does_not_hide_the_others(announce, module):
    data = model_of("datasets", "{'theirs': None, '../escaped': None}")
    model = model_of("models", "{'mine': None}")
    announce(
        ("samebench.plugins", "good", module("good_plugin", model), "one"),
        ("samebench.plugins", "lost", module("lost_plugin", "raise RuntimeError('lost')"), "two"),
        ("samebench.plugins", "same", module("same_plugin", model), "three"),
        ("samebench.plugins", "left", module("left_plugin", model.replace("return", "raise SystemExit(0) #")), "four"),
        ("samebench.plugins", "data", module("data_plugin", data), "five"),
    )
    found = load_plugins()
    assert list(found.models) == []
    assert "RuntimeError: lost" in found.broken["lost"]
    assert "SystemExit: 0" in found.broken["left"]
    assert "the model 'mine' is claimed by one (good_plugin) and three (same_plugin)" in found.refused()["mine"]
    with refused(PluginError, "name-taken", "'mine'", "one", "three"):
        found.models["mine"]
    assert list(found.datasets) == ["theirs"]
    assert "'../escaped' is not a valid name for a dataset" in found.refused()["../escaped"]


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "..", "/etc/x", "a\0b", "x" * 300, "e\u0301", "é", " a", "a\n", "-a"],
    ids=lambda name: ascii(name[:9]),
)
def test_a_name_that_could_harm_a_file_or_a_terminal_is_refused(tmp_path, announce, module, name):
    with refused(PluginError, "wrong-form", repr(name)):
        load_backend(write(tmp_path, BACKEND.replace('"mine"', repr(name))))
    announce(
        ("samebench.backends", name, module("mine_backend", BACKEND), "one"),
        ("samebench.plugins", "theirs", module("theirs_plugin", model_of("models", f"{{{name!r}: None}}")), "two"),
    )
    assert find_backends()[name].status == "broken" and repr(name) in find_backends()[name].reason
    found = load_plugins()
    assert list(found.models) == [] and "theirs" not in found.broken and repr(name) in found.refused()[name]


def test_the_error_for_an_unknown_name_lists_the_known_names():
    with refused(UsageError, "unknown-name", "'lenet'", "'lenet5'", "alexnet", "vgg19"):
        load_plugins().models["lenet"]


FRAMEWORKS = "{'torch', 'tensorflow', 'keras', 'jax', 'flax', 'optax', 'sklearn', 'scipy', 'backends'}"
PURE = """
import pkgutil, sys
import harness
{extra}
for module in pkgutil.walk_packages(harness.__path__, "harness."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
found = {{name.split(".")[0] for name in sys.modules}} & {frameworks}
sys.exit(f"imported: {{sorted(found)}}" if found else 0)
"""


def purity(extra=""):
    code = PURE.format(extra=extra, frameworks=FRAMEWORKS)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_the_harness_imports_no_framework():
    assert purity().returncode == 0, purity().stderr


def test_the_test_above_can_fail():
    assert "imported: ['backends']" in purity("import backends").stderr
