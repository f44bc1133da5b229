"""Finds plugins without importing them, and loads them."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, EntryPoint, EntryPoints, PackageMetadata, entry_points
from pathlib import Path, PurePath
from typing import Any, Generic, NamedTuple, TypeVar

import pluggy

from harness import API_VERSION, OLDEST_API, hookspecs
from harness.errors import PluginError, Unavailable, UsageError
from harness.hookspecs import PROJECT
from harness.options import nearest
from harness.text import is_file, stem

BACKENDS = "samebench.backends"
PLUGINS = "samebench.plugins"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "use at most 64 letters, digits, '.', '_' and '-'"
HOOK = "samebench_backend"
FRAMEWORKS = {"tensorflow": "keras", "tf": "keras", "flax": "jax", "torch": "pytorch"}
"""The backend for each other name of a framework."""

Thing = TypeVar("Thing")


class BackendEntry(NamedTuple):
    """A backend according to the metadata of its package. It is not imported."""

    name: str
    status: str  # available, not-installed, broken
    reason: str | None
    module: str


def find_backends() -> dict[str, BackendEntry]:
    """All backends of installed packages."""
    return {name: _look_at(name, points) for name, points in sorted(_by_name(_entry_points(BACKENDS)).items())}


def find_backend(name: str) -> BackendEntry | None:
    """The backend of this name; None if there is none. The others are not examined."""
    points = _by_name(_entry_points(BACKENDS)).get(name)
    return _look_at(name, points) if points else None


def unknown_backend(name: str, known: Iterable[str]) -> UsageError:
    """The error for a name of no backend. It suggests a backend for the name of a framework."""
    backend = FRAMEWORKS.get(name.lower())
    names = sorted(known)
    hint = f"did you mean {backend!r}? There are: {', '.join(names)}" if backend in names else nearest(name, names)
    return UsageError(f"there is no backend {name!r}; {hint}; or give the path of a file, FILE.py", code="unknown-name")


def no_such_file(file: str | Path, kind: str) -> UsageError:
    """The error for a file of the user that does not exist. `kind` says what the file is for, such as "backend"."""
    return UsageError(f"there is no {kind} file {file}: give the path of a file that exists", code="not-found")


def load_backend(name: str) -> type[Any]:
    """Import one backend, by its name or from a .py file, and return its class."""
    from harness.backend import Backend

    manager = plugin_manager()
    if name.endswith(".py"):
        plugin, origin = import_file(Path(name), "backend"), name
        _register(manager, plugin, origin)
    else:
        entry = find_backend(name)
        if entry is None:
            raise unknown_backend(name, find_backends())
        if entry.status != "available":
            raise Unavailable(
                f"backend {name} is {entry.status}: {entry.reason}",
                code="not-installed" if entry.status == "not-installed" else "unavailable",
            )
        plugin, origin = _import_entry(name, entry.module), f"{name} ({entry.module})"
        _register(manager, plugin, origin)
    try:
        backend = manager.hook.samebench_backend()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{origin}: samebench_backend() raised {type(error).__name__}: {error}; it must return the class, and start nothing",
            code="import-failed",
        ) from error
    if not (isinstance(backend, type) and issubclass(backend, Backend)):
        raise PluginError(
            f"{origin}: its hook samebench_backend() must return a subclass of harness.Backend, not {backend!r}",
            code="wrong-type",
        )
    if missing := sorted(getattr(backend, "__abstractmethods__", ())):
        raise PluginError(
            f"{origin}: {backend.__name__} does not define {', '.join(missing)}: define all that is abstract"
        )
    if not NAME.fullmatch(backend.name):
        raise _invalid_name(origin, backend.name, "backend")
    if not name.endswith(".py") and backend.name != name:
        raise PluginError(
            f"{origin}: the entry point is named {name!r}, but the class has the name {backend.name!r}; use the same name",
            code="wrong-form",
        )
    return backend


class Catalogue(Generic[Thing]):
    """Plugins of one kind by name. An unknown name raises UsageError."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.things: dict[str, Thing] = {}
        self.refused: dict[str, PluginError] = {}

    def fill(self, offered: Iterable[tuple[str, str, Thing]]) -> None:
        """Add (origin, name, thing) of all plugins. A name that two plugins claim is given to neither."""
        claims: dict[str, list[tuple[str, Thing]]] = {}
        for origin, name, thing in offered:
            claims.setdefault(name, []).append((origin, thing))
        for name, claimed in claims.items():
            if not NAME.fullmatch(name):
                self.refused[name] = _invalid_name(claimed[0][0], name, self.kind)
            elif len(claimed) > 1:
                origins = [origin for origin, _ in claimed]
                self.refused[name] = PluginError(_claimed_twice(self.kind, name, origins), code="name-taken")
            else:
                self.things[name] = claimed[0][1]

    def __getitem__(self, name: str) -> Thing:
        if name in self.refused:
            raise self.refused[name]
        if name not in self.things:
            raise UsageError(f"there is no {self.kind} {name!r}; {nearest(name, self.things)}", code="unknown-name")
        return self.things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.things))


@dataclass
class Plugins:
    """All plugins but backends. They import no framework, so all of them are loaded."""

    models: Catalogue[Any] = field(default_factory=lambda: Catalogue("model"))
    datasets: Catalogue[Any] = field(default_factory=lambda: Catalogue("dataset"))
    weights: Catalogue[Any] = field(default_factory=lambda: Catalogue("entry of weights"))
    tasks: Catalogue[Any] = field(default_factory=lambda: Catalogue("task"))
    reporters: Catalogue[Any] = field(default_factory=lambda: Catalogue("report format"))
    sinks: Catalogue[Any] = field(default_factory=lambda: Catalogue("sink"))
    broken: dict[str, str] = field(default_factory=dict)

    def refused(self) -> dict[str, str]:
        """Reasons for plugins that are broken and names that are claimed twice."""
        catalogues = (self.models, self.datasets, self.weights, self.tasks, self.reporters, self.sinks)
        return self.broken | {name: str(error) for catalogue in catalogues for name, error in catalogue.refused.items()}


def load_plugins() -> Plugins:
    """Load every plugin that is not a backend. Broken plugins are left out, with the reason in `broken`."""
    found = Plugins()
    offered: dict[str, list[tuple[str, str, Any]]] = {}
    for name, points in sorted(_by_name(_entry_points(PLUGINS)).items()):
        try:
            if len(points) > 1:
                raise PluginError(_claimed_twice("plugin name", name, map(_origin, points)), code="name-taken")
            module, manager = points[0].module, plugin_manager()
            _register(manager, _import_entry(name, module), f"{name} ({module})")
            hook = manager.hook
            things = {
                "models": [pair for models in hook.samebench_models() for pair in models.items()],
                "datasets": [pair for datasets in hook.samebench_datasets() for pair in datasets.items()],
                "weights": [(entry.name, entry) for entries in hook.samebench_weights() for entry in entries],
                "tasks": [(task.name, task) for tasks in hook.samebench_tasks() for task in tasks],
                "reporters": [pair for reporters in hook.samebench_reporters() for pair in reporters.items()],
                "sinks": [pair for sinks in hook.samebench_sinks() for pair in sinks.items()],
            }
        except (Exception, SystemExit) as error:
            found.broken[name] = f"{type(error).__name__}: {error}"
            continue
        for kind, pairs in things.items():
            offered.setdefault(kind, []).extend((f"{_owner(points[0])} ({module})", *pair) for pair in pairs)
    for kind, claims in offered.items():
        getattr(found, kind).fill(claims)
    return found


def plugin_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _entry_points(group: str) -> EntryPoints:
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:
    """The entry points of all packages on this path. They are read once, because that takes milliseconds."""
    return entry_points(group=group)


def _by_name(points: Iterable[EntryPoint]) -> dict[str, list[EntryPoint]]:
    """Entry points by name. An entry point that a package declares twice counts once."""
    found: dict[str, list[EntryPoint]] = {}
    for point in points:
        if not any(
            _owner(other) == _owner(point) and other.value == point.value for other in found.get(point.name, [])
        ):
            found.setdefault(point.name, []).append(point)
    return found


@cache
def _metadata(package: Distribution) -> PackageMetadata:
    """The metadata of a package. It is parsed only once, because it contains the whole README."""
    return package.metadata


def _owner(point: EntryPoint) -> str:
    return _metadata(point.dist)["Name"] if point.dist else "an unnamed package"


def _origin(point: EntryPoint) -> str:
    return f"{_owner(point)} ({point.value})"


def _claimed_twice(kind: str, name: str, origins: Iterable[str]) -> str:
    return f"the {kind} {name!r} is claimed by {' and '.join(origins)}: uninstall one of them"


def _invalid_name(origin: str, name: str, kind: str) -> PluginError:
    return PluginError(f"{origin}: {name!r} is not a valid name for a {kind}; {NAME_RULE}", code="wrong-form")


def _look_at(name: str, points: list[EntryPoint]) -> BackendEntry:
    if len(points) > 1:
        return BackendEntry(name, "broken", _claimed_twice("backend name", name, map(_origin, points)), "")
    if not NAME.fullmatch(name):
        return BackendEntry(
            name, "broken", f"{name!r} is not a valid name for a backend; {NAME_RULE}", points[0].module
        )
    spec = find_module(points[0].module)
    if spec is None or spec.origin is None:
        return BackendEntry(name, "broken", f"its module {points[0].module} does not exist", points[0].module)
    try:
        missing = [module for module in _imports(Path(spec.origin)) if find_module(module) is None]
    except (SyntaxError, ValueError, OSError) as error:
        return BackendEntry(name, "broken", f"{type(error).__name__} in {spec.origin}: {error}", points[0].module)
    if not missing:
        return BackendEntry(name, "available", None, points[0].module)
    reason = f"{', '.join(missing)} not installed" + _how_to_install(name, points[0])
    return BackendEntry(name, "not-installed", reason, points[0].module)


def find_module(module: str) -> ModuleSpec | None:
    """The spec of a module. Neither the module nor its parent packages are imported."""
    path: Any = None
    spec = None
    for step in range(1, module.count(".") + 2):
        name = ".".join(module.split(".")[:step])
        spec = PathFinder.find_spec(name, path)
        for finder in () if spec else sys.meta_path:  # editable installs bring finders of their own
            spec = spec or (finder.find_spec(name, path) if finder is not PathFinder else None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


@cache
def _imports(file: Path) -> list[str]:
    """The top-level packages that a file imports at its top, without the standard library."""
    packages = set()
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            packages.add(statement.module.split(".")[0])
    return sorted(packages - sys.stdlib_module_names)


def _how_to_install(name: str, point: EntryPoint) -> str:
    """The command that installs the requirements of a backend, if its package has an extra of the same name."""
    if point.dist and name in (_metadata(point.dist).get_all("Provides-Extra") or []):
        return f": pip install '{_owner(point)}[{name}]'"
    return ""


def _import_entry(name: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except BaseException as error:  # a plugin may even call sys.exit() at import
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"{name} ({module}) cannot be imported: {type(error).__name__}: {error}; run python -m {module} to see where",
            code="import-failed",
        ) from error


def import_file(file: Path, kind: str) -> Any:
    """Import a .py file of the user. `kind` says in messages what the file is for."""
    spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", f"samebench_file_{file.stem}"), file)
    if not file.exists() or spec is None or spec.loader is None:
        raise no_such_file(file, kind)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"{file} cannot be imported: {type(error).__name__}: {error}; run it with Python to see where",
            code="import-failed",
        ) from error
    return module


def _register(manager: pluggy.PluginManager, plugin: Any, origin: str) -> None:
    """Register a module. Raise PluginError if it has no hook, or hooks that do not exist."""
    _check_api_version(plugin, origin)
    try:
        manager.register(plugin, origin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = [name for name in dir(hookspecs) if name.startswith("samebench_")]
        wrong = [
            name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None and name not in known
        ]
        hint = "".join(f"; {name}: {nearest(name, known)}" for name in wrong)
        raise PluginError(f"{origin}: {error}{hint}") from None
    if not manager.get_hookcallers(plugin):
        raise PluginError(f"{origin} has no hook: mark a function named samebench_... with harness.hookimpl")


def _check_api_version(plugin: Any, origin: str) -> None:
    """Raise PluginError if this samebench does not support the API version of the plugin."""
    version = getattr(plugin, "api_version", OLDEST_API)
    if type(version) is not int:
        raise PluginError(
            f"{origin}: api_version must be a whole number such as {API_VERSION}, not {version!r}", code="wrong-type"
        )
    if OLDEST_API <= version <= API_VERSION:
        return
    versions = f"{OLDEST_API} to {API_VERSION}" if OLDEST_API < API_VERSION else f"{API_VERSION}"
    do = "update samebench" if version > API_VERSION else "update the plugin"
    raise PluginError(
        f"{origin} is written for API version {version}, and this samebench supports {versions}: {do}",
        code="wrong-version",
    )


def own_names(backends: Iterable[str], installed: Collection[str] = ()) -> dict[str, str]:
    """The names of backends given as files. If an installed backend has the same name, the name of the file is added."""
    found = {backend: own_name(Path(backend)) for backend in backends if is_file(backend)}
    return {
        backend: f"{name} ({PurePath(backend).name})" if name in installed else name for backend, name in found.items()
    }


def own_name(file: Path) -> str:
    """The `name` of the class that the file's hook returns, found without running the file; or the file's own name."""
    name = _declared(file, "name", str)
    return name if name and NAME.fullmatch(name) else stem(str(file))


def declared_modes(backend: str) -> tuple[str, ...] | None:
    """The `modes` of a backend's class, found without running it; None where its source does not tell."""
    if is_file(backend):
        file = Path(backend)
    else:
        entry = find_backend(backend)
        spec = find_module(entry.module) if entry else None
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin)
    modes = _declared(file, "modes", tuple)
    return modes if modes and all(isinstance(mode, str) for mode in modes) else None


class _Source:
    """A file of Python as text: its classes, and where the names come from that it imports."""

    def __init__(self, file: Path) -> None:
        try:
            self.tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            self.tree = ast.Module([], [])
        nodes = list(ast.walk(self.tree))
        self.classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
        self.origins = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level
            for alias in node.names
        }  # fmt: skip
        self.modules = {
            alias.asname or alias.name: alias.name
            for node in nodes if isinstance(node, ast.Import)
            for alias in node.names
        }  # fmt: skip

    def chosen(self) -> str | None:
        """The class that the hook returns; else the only class that names itself."""
        hooks = [node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name == HOOK]
        returns = [node.value for hook in hooks for node in ast.walk(hook) if isinstance(node, ast.Return)]
        found = [value.id for value in returns if isinstance(value, ast.Name) and value.id in self.classes]
        named = [name for name, node in self.classes.items() if isinstance(_literal(node, "name"), str)]
        return found[0] if found else named[0] if len(named) == 1 else None

    def origin(self, base: ast.expr) -> tuple[str, str] | None:
        """The module and the name of a base class that is imported."""
        if isinstance(base, ast.Name):
            return self.origins.get(base.id)
        if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name) and base.value.id in self.modules:
            return self.modules[base.value.id], base.attr
        return None


NOT_TOLD = object()


def _declared(file: Path, attribute: str, kind: type[Thing]) -> Thing | None:
    """What the class that a file's hook returns, or a base of it, says of an attribute: a literal of this kind."""
    source = _Source(file)
    name = source.chosen()
    value = _inherited(source, name, attribute, set()) if name else NOT_TOLD
    return value if isinstance(value, kind) else None


def _inherited(source: _Source, name: str, attribute: str, seen: set[str]) -> Any:
    """The literal that a class gives an attribute, or has from its bases, in this file or another."""
    node = source.classes.get(name)
    if node is None or name in seen:
        return NOT_TOLD
    if (value := _literal(node, attribute)) is not None:
        return value
    for base in node.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(base, ast.Name) and base.id in source.classes:
            value = _inherited(source, base.id, attribute, seen | {name})
        elif origin := source.origin(base):
            value = _imported(*origin, attribute)
        if value not in (None, NOT_TOLD):
            return value
    return NOT_TOLD


def _imported(module: str, name: str, attribute: str) -> Any:
    """The same of a class in another module. The contract itself is known."""
    from harness.backend import Backend

    if module.split(".")[0] == "harness" and name == "Backend":
        return getattr(Backend, attribute, NOT_TOLD)
    spec = find_module(module)
    return _inherited(_Source(Path(spec.origin)), name, attribute, set()) if spec and spec.origin else NOT_TOLD


def _literal(node: ast.ClassDef, attribute: str) -> Any:
    """What the body of a class assigns to an attribute: None if nothing, `NOT_TOLD` if it is no literal."""
    for statement in node.body:
        targets = (
            statement.targets if isinstance(statement, ast.Assign)
            else [statement.target] if isinstance(statement, ast.AnnAssign)
            else []
        )  # fmt: skip
        if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
            try:
                return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
            except (AttributeError, TypeError, ValueError):
                return NOT_TOLD
    return None
