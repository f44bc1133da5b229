"""The settings of a run: from a profile, then a configuration file, then --set, then other options of the command line.

Each source is a mapping from paths to values, such as `seeds` or `scratch-cnn.optimizer.lr`. Later sources override earlier
ones. `Settings.as_record` writes all settings as one such mapping, so that a run can be repeated from its record.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.backend import Precision
from harness.errors import SpecError, UsageError
from harness.forms import is_too_large, shown
from harness.options import ABOVE_0, AT_LEAST_1, Range, change, check_ranges, flatten, names_first, nearest, parse
from harness.pictures.inputs import DataOptions
from harness.plugins import Plugins
from harness.result import Cell, Semantics
from harness.text import is_file

Profile = Literal["quick", "standard", "rigorous"]

LARGER: Mapping[str, Any] = {"dataset": "cifar10", "weights": "efficientnet-lite0"}

PROFILES: Mapping[Profile, Mapping[str, Any]] = {
    "quick": {"segment_s": 0.3},
    "standard": {**LARGER, "seeds": 6},
    "rigorous": {**LARGER, "seeds": 10, "modes": ["default", "compiled"]},
}
"""The settings of each profile that differ from the defaults of `Config`."""

MEMORY = Range(0, 2**20, without_low=True)
"""The memory limit in GiB. The system does not accept much larger limits."""

SEGMENT = Range(0, 3600)
"""The shortest timed segment in seconds."""

SEED, SEED_COUNT = Range(0, 2**32 - 1), Range(1, 2**20)
"""The numbers that every framework accepts as seeds, and the number of seeds of a run."""


@dataclass(frozen=True)
class Config:
    """The settings of a run, without the options of tasks and of data. If `model`, `dataset` or `weights` is None, each task
    uses its own default."""

    tasks: tuple[str, ...] = ()
    """The tasks; an empty list for all that can start from the chosen weights."""
    backends: tuple[str, ...] = ()
    """The backends, by name or FILE.py; an empty list for all that are installed."""
    modes: tuple[str, ...] = ("default",)
    """The modes of the backends, such as compiled."""
    model: str | None = None
    dataset: str | None = None
    weights: str | None = None
    train_limits: tuple[int, ...] = ()
    """Each task runs once with each of these values of its option `train_limit`. The command learning-curve sets them."""
    seeds: int | tuple[int, ...] = 1
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """The device of all cells; auto for a GPU if there is one."""
    precision: Precision = "float32"
    """The precision of matrix products and convolutions."""
    semantics: Semantics = "aligned"
    waterfall: bool = False
    """Whether each cell runs with every semantics, from aligned to native, one default at a time."""
    parity: bool = True
    """Whether to make certificates. Without them, verdicts are not-checked."""
    timeout: float = 3600.0
    segment_s: float = 2.0
    """The shortest timed segment in seconds. A training that is too short for five of them is repeated, on a network that is
    thrown away. With 0, nothing is repeated, and speeds are only rough."""
    compiler_caches: Literal["fresh", "kept"] = "fresh"
    """Whether each cell starts with empty compiler caches, or may use those of earlier cells. With `kept`, first steps are not
    comparable."""
    threads: int | None = None
    """The number of threads of each framework; none for as many as cores."""
    memory_gb: float | None = None
    """The memory that a cell may use, in GiB; none for no limit."""
    data_dir: str | None = None
    offline: bool = False
    sinks: tuple[str, ...] = ()
    """Trackers of experiments that get every finished cell: NAME, or NAME=PLACE. The record of a run does not name them."""

    def __post_init__(self) -> None:
        check_ranges(
            self, timeout=ABOVE_0, segment_s=SEGMENT, threads=AT_LEAST_1, memory_gb=MEMORY, train_limits=AT_LEAST_1,
            seeds=SEED_COUNT if isinstance(self.seeds, int) else SEED,
        )  # fmt: skip
        if len(set(self.train_limits)) < len(self.train_limits):
            raise UsageError(f"train_limits must be different numbers, not {self.train_limits}", code="given-twice")
        if self.waterfall and self.semantics != "aligned":
            raise UsageError(
                f"waterfall runs all semantics, and semantics is {self.semantics}: leave one of them out",
                code="conflicting-options",
            )
        if not self.modes:
            raise UsageError(
                'modes is an empty list: name one or more modes, such as ["default"]', code="missing-option"
            )
        numbers = self.seed_numbers
        if not numbers or len(set(numbers)) < len(numbers):
            raise UsageError(
                f"seeds must be one or more different numbers, not {self.seeds!r}",
                code="given-twice" if numbers else "missing-option",
            )

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


class Source(NamedTuple):
    """Settings from one place, such as a file or an option."""

    where: str
    settings: Mapping[str, Any]
    recorded: bool = False
    """Whether they come from the record of a run, not from the user."""

    @property
    def by_path(self) -> dict[str, Any]:
        """All values by their paths, with the full paths of backend files, so that a run can be resumed from another folder. Raises
        UsageError if two spellings of a path set it twice."""
        values: dict[str, Any] = {}
        for path, value in map(_with_full_paths, _paths(self.settings)):
            if path in values:
                raise UsageError(
                    f"{self.where}: {path} is given twice: {values[path]!r} and {value!r}; give it once",
                    code="given-twice",
                )
            values[path] = value
        return values

    @property
    def named(self) -> set[str]:
        """The backends that the user names here."""
        if self.recorded:
            return set()
        pythons = {path.removeprefix("python.") for path in self.by_path if path.startswith("python.")}
        return pythons | set(self.by_path.get("backends", ()))


def _with_full_paths(setting: tuple[str, Any]) -> tuple[str, Any]:
    path, value = setting
    first, dot, backend = path.partition(".")
    if path == "backends" and isinstance(value, list | tuple):
        return path, [_full(name) for name in value]
    return (f"{first}{dot}{_full(backend)}" if first == "python" else path), value


def _full(backend: Any) -> Any:
    """The full path of a backend file; another backend, or a value of a wrong type, as it is."""
    return os.path.abspath(backend) if isinstance(backend, str) and is_file(backend) else backend


def each_once(sources: Sequence[Source]) -> list[Source]:
    """The sources of one command line. Raises UsageError if two of them set the same path."""
    known: dict[str, str] = {}
    for source in sources:
        for path in source.by_path:
            if path in known:
                raise UsageError(
                    f"{path} is given twice: {known[path]} and {source.where}; give it once", code="given-twice"
                )
            known[path] = source.where
    return list(sources)


@dataclass(frozen=True)
class Settings:
    """A run's whole configuration."""

    config: Config
    data: DataOptions
    tasks: Mapping[str, Any]
    """The options of every installed task, by the name of the task."""

    python: Mapping[str, str]
    """The interpreter of each backend that does not run in this one."""

    @classmethod
    def of(cls, plugins: Plugins, sources: Sequence[Source]) -> Settings:
        """The defaults, changed by each source in turn. An unknown path is an error that suggests the nearest name."""
        settings = cls(Config(), DataOptions(), {name: plugins.tasks[name].options() for name in plugins.tasks}, {})
        for source in sources:
            for path, value in names_first(source.by_path):
                try:
                    settings = settings.with_value(path, value)
                except (SpecError, UsageError) as error:
                    raise UsageError(f"{source.where}: {error}", code=error.code) from None
        return settings

    def with_value(self, path: str, value: Any) -> Settings:
        _check_texts(path, value)
        settings = self._with_value(path, value)
        _check_numbers(path, value)
        return settings

    def _with_value(self, path: str, value: Any) -> Settings:
        first, dot, rest = path.partition(".")
        if first in self.tasks and dot:
            return replace(self, tasks={**self.tasks, first: change(self.tasks[first], {rest: value}, f"{first}.")})
        if first == "data" and dot:
            return replace(self, data=change(self.data, {rest: value}, "data."))
        if first == "python" and dot:
            return replace(self, python={**self.python, rest: str(value)})
        names = [field.name for field in fields(Config)]
        if first not in names:
            raise UsageError(
                f"there is no option {path}; {nearest(first, [*names, *self.tasks, 'data', 'python'])}",
                code="unknown-option",
            )
        return replace(self, config=change(self.config, {path: value}))

    def as_record(self, cells: Sequence[Cell]) -> dict[str, Any]:
        """All settings as one source, for run.json. Options of tasks that are not run are left out. All tasks and backends
        of the run are named, because another installation may have others."""
        used = {name: list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("task", "backend")}
        config = asdict(replace(self.config, tasks=tuple(used["task"]), backends=tuple(used["backend"])))
        tasks = {f"{name}.{path}": value for name in used["task"] for path, value in flatten(self.tasks[name]).items()}
        data = {f"data.{path}": value for path, value in flatten(self.data).items()}
        python = {f"python.{name}": path for name, path in self.python.items()}
        del config["sinks"]
        return config | data | tasks | python


def _check_texts(path: str, value: Any) -> None:
    """Raise UsageError if a text has a character that names and paths must not have."""
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str) and not _can_be_a_path(text):
            raise UsageError(
                f"{path} cannot be {text!r}: it has a character that names and paths must not have", code="wrong-form"
            )


def _check_numbers(path: str, value: Any) -> None:
    """Raise UsageError if a whole number is too large for the files of a run."""
    for number in value if isinstance(value, list | tuple) else [value]:
        if is_too_large(number):
            raise UsageError(f"{path} must be smaller than 2**63, not {shown(number)}", code="out-of-range")


def _can_be_a_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def from_file(file: Path) -> Source:
    """The settings of a TOML file."""
    try:
        source = Source(str(file), tomllib.loads(file.read_text(encoding="utf-8")))
        source.by_path  # noqa: B018 - raises RecursionError if a dotted key has too many steps
    except FileNotFoundError:
        raise UsageError(
            f"there is no configuration file {file}: give the path of a file that exists", code="not-found"
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise UsageError(f"{file} cannot be read as TOML: {error}; correct it", code="unreadable-file") from None
    return source


def from_words(texts: Sequence[str]) -> list[Source]:
    """The sources of --set KEY=VALUE."""
    return each_once([_from_word(text) for text in texts])


def _from_word(text: str) -> Source:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise UsageError(f"--set takes KEY=VALUE, such as scratch-cnn.epochs=3; not {text!r}", code="wrong-form")
    source = Source(f"--set {text}", {path: parse(value)})
    if not source.by_path:
        raise UsageError(
            f"--set {text} sets nothing: {path} takes a value, or an object of options", code="missing-option"
        )
    return source


def from_profile(name: str) -> Source:
    if not isinstance(name, str) or name not in PROFILES:
        raise UsageError(f"there is no profile {name!r}; {nearest(f'{name}', PROFILES)}", code="unknown-name")
    return Source(f"profile {name}", PROFILES[name])  # type: ignore[index]


def seeds_of(text: str) -> int | list[int]:
    """Parse --seeds: the number of seeds, such as 3, or the seeds themselves, such as 0,1,2."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--seeds takes a number of seeds, 3, or the seeds themselves, 0,1,2; not {text!r}", code="wrong-form"
        ) from None
    return numbers if "," in text else numbers[0]


def _paths(settings: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """All values by their paths. Each nested table of TOML is a step of the path."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value
