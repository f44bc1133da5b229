"""Reads a pickle as data.

A pickle is a program that may call any function. This module interprets only the instructions that build numbers, strings,
lists, tuples and dictionaries, and imports nothing. A pickle may call only the functions that its reader passes, and those
return plain values. Every other name is refused before it is used.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Container, Iterable, Mapping
from typing import IO, Any, NamedTuple

from harness.pretrained.formats.refusal import Refusal

Function = Callable[..., Any]

VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

TENSORS_ONLY = "save only its tensors, as safetensors"

LONGEST = 5_000_000
"""Maximum number of instructions. A tensor takes 40."""


class Named(NamedTuple):
    """A name in a pickle, such as that of a class."""

    name: str


def _no_storage(key: Any) -> Any:
    raise Refusal("it refers to data outside of the pickle", code="unsafe-file")


def read_pickle(
    file: IO[bytes],
    functions: Mapping[str, Function],
    names: Container[str] = (),
    outside: Function = _no_storage,
) -> Any:
    """Read the next pickle of a file, and leave the file at its end.

    The pickle may call `functions` and mention `names`. `outside` returns the value for the key of data that is stored
    outside of the pickle.
    """
    machine = _Machine({"collections.OrderedDict": _dictionary, **functions}, names, outside)
    for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if count >= LONGEST:
            raise Refusal(f"its pickle has more than {LONGEST:,} instructions", code="unsafe-file")
        if instruction.name == "STOP":
            return machine.stack.pop()
        machine.step(instruction.name, argument)
    raise Refusal("its pickle has no end")


def _dictionary(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    """A dictionary. Keys must be strings or whole numbers: hashing a deeply nested tuple may overflow Python's stack."""
    made = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise Refusal(f"its pickle has a dictionary with a key of the type {type(key).__name__}, not a name")
        made[key] = value
    return made


class _Machine:
    def __init__(self, functions: Mapping[str, Function], names: Container[str], outside: Function) -> None:
        self.functions, self.names, self.outside = functions, names, outside
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, instruction: str, argument: Any) -> None:
        stack = self.stack
        if instruction in VALUES:
            stack.append(argument)
            return
        if instruction in CONSTANTS:
            stack.append(CONSTANTS[instruction])
            return
        if instruction in TUPLES:
            stack[-TUPLES[instruction] :] = [tuple(self._top(TUPLES[instruction]))]
            return
        match instruction:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.outer.append(stack)
                self.stack = []
            case "TUPLE":
                items = self._since_mark()
                self.stack.append(tuple(items))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "APPEND":
                item = stack.pop()
                self._last(list).append(item)
            case "APPENDS":
                items = self._since_mark()
                self._last(list).extend(items)
            case "SETITEM":
                pair = self._top(2)
                del stack[-2:]
                self._set(pair)
            case "SETITEMS":
                self._set(self._since_mark())
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(self._named(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                module, name = self._top(2)
                stack[-2:] = [self._named(f"{module}.{name}" if type(module) is type(name) is str else "?")]
            case "REDUCE":
                function, arguments = self._top(2)
                stack[-2:] = [self._call(function, arguments)]
            case "BINPERSID":
                stack.append(self.outside(stack.pop()))
            case "BUILD":
                stack.pop()  # attributes of a state dict (`_metadata`), which are not weights
                self._last(dict)
            case _:
                raise Refusal(
                    f"its pickle has the instruction {instruction}, which plain tensors do not need",
                    do=TENSORS_ONLY,
                    code="unsafe-file",
                )

    def _top(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Refusal("its pickle is damaged: it uses values that do not exist")
        return self.stack[-count:]

    def _last(self, kind: type) -> Any:
        (last,) = self._top(1)
        if type(last) is not kind:
            raise Refusal(
                f"its pickle changes the contents of a {type(last).__name__}", do=TENSORS_ONLY, code="unsafe-file"
            )
        return last

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def _set(self, items: list[Any]) -> None:
        self._last(dict).update(_dictionary(zip(items[::2], items[1::2], strict=True)))

    def _named(self, name: str) -> Named:
        if name not in self.functions and name not in self.names:
            raise Refusal(
                f"it asks for {name}, which plain tensors do not need; no code was run",
                do=TENSORS_ONLY,
                code="unsafe-file",
            )
        return Named(name)

    def _call(self, function: Any, arguments: Any) -> Any:
        if type(function) is not Named or function.name not in self.functions or type(arguments) is not tuple:
            raise Refusal(f"its pickle calls a {type(function).__name__}", do=TENSORS_ONLY, code="unsafe-file")
        return self.functions[function.name](*arguments)
