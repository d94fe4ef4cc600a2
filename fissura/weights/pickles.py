"""Reads pickles as data: plain containers, text, numbers, and where tensors lie. Nothing is run.

Python's own reader calls whatever a pickle names. This one has no way to do so: it steps through
the opcodes (`pickletools` only cuts them apart), knows a dozen names by heart, and turns every
other class and function into an inert `Foreign`, whatever the pickle then does with it.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_OPCODES = 300_000
"""Of all pickles of a file. With its optimiser a checkpoint has some 100,000."""
MAX_ARGUMENT_BYTES = 16 * 2**20
"""Of one text or row of bytes; the longest are a training's logs."""
MOST_TEXT = 1000
"""Longer text is neither a name nor of any use here, and is not kept."""
MAX_TEXT = 10_000_000
"""Characters that are kept of one file; each may take four bytes."""
MOST_NAME = 400
"""Of a class with its module."""
MOST_AXES = 8
MOST_NUMBERS = 2**40
"""Above this a count is nonsense, and arithmetic with it could be made slow."""

_DTYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}
ITEM_BYTES = dict(zip(_DTYPES.values(), (4, 8, 2, 2, 8, 4, 2, 1, 1, 1), strict=True))
_STORAGES = {
    f"{module} {kind}Storage": dtype
    for module in ("torch", "torch.cuda")
    for kind, dtype in _DTYPES.items()
}


class UnreadableError(ValueError):
    """Why a file is refused, as the rest of a sentence that begins with its name."""


@dataclass(slots=True)
class Foreign:
    """Stands for a class, a function or an object of one that is not ours to know.

    `note` is one of ours and constant: what is put together while reading could be made to grow.
    """

    name: str
    note: str = ""
    is_network: bool = False

    def __str__(self) -> str:
        named = f"an object of {told(self.name.replace(' ', '.'))}" if self.name else ""
        return f"{self.note} ({named})" if self.note and named else self.note or named


class LongText:
    """Stands for a text, or a row of bytes, that is not kept."""


LONG_TEXT = LongText()


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers that stands outside the pickle under `key`."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the file describes it; whether its storage is that long is not checked yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def told(name: str) -> str:
    """A name out of a file, quoted and cut to fit into a message."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


_PLAINLY: tuple[tuple[Any, str], ...] = (
    (LongText, "a long text"),
    (StoredTensor, "a single tensor"),
    (Storage, "a row of numbers"),
    (dict, "a dictionary"),
    ((list, tuple), "a list"),
    (str, "text"),
    ((bytes, bytearray), "bytes"),
    (bool, "true or false"),
    ((int, float), "a number"),
)


def plainly(found: object) -> str:
    """What something read is, in words for a message."""
    if found is None:
        return "nothing"
    if isinstance(found, Foreign):
        return str(found)
    return next(words for kinds, words in _PLAINLY if isinstance(found, kinds))


class Pickles(io.BytesIO):
    """The pickles of one file, one after the other, and how much of them may still be read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.opcodes_left = MAX_OPCODES
        self.text_left = MAX_TEXT

    def read(self, size: int | None = -1, /) -> bytes:
        """As asked for by an instruction of the pickle."""
        if size is not None and size > MAX_ARGUMENT_BYTES:
            raise UnreadableError("holds a longer text than any checkpoint and is refused")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """A line of a pickle in text form."""
        return super().readline(MAX_ARGUMENT_BYTES)

    def count_opcode(self) -> None:
        """One instruction more."""
        self.opcodes_left -= 1
        if self.opcodes_left < 0:
            raise UnreadableError("is longer than any checkpoint and is refused")

    def kept(self, value: object) -> object:
        """A value to be kept, which is counted, or a stand-in where it is a long text."""
        if not isinstance(value, str | bytes | bytearray):
            return value
        if len(value) > MOST_TEXT:
            return LONG_TEXT
        self.text_left -= len(value)
        if self.text_left < 0:
            raise UnreadableError("holds more text than any checkpoint and is refused")
        return value


def unpickle(file: Pickles, storages: dict[str, Storage] | None = None) -> object:
    """The next pickle in `file` as dict, list, tuple, text, number, StoredTensor or Foreign.

    What it says about storages is added to `storages`.
    """
    machine = _Machine({} if storages is None else storages)
    for opcode, argument, _ in pickletools.genops(file):
        file.count_opcode()
        name = opcode.name
        if name in _VALUES:
            machine.push(file.kept(argument))
        elif name in _FRESH:
            machine.push(_FRESH[name]())
        elif name in _STEPS:
            _STEPS[name](machine, argument)
        elif name not in _NOTHING:
            raise UnreadableError(f"has the pickle instruction {name}, which no checkpoint needs")
    return machine.stack[-1]


class _Machine:
    """The stack, the marks on it and the memo of one pickle.

    Nothing out of the file is compared, hashed or printed but text: nested references could make
    that take forever.
    """

    def __init__(self, storages: dict[str, Storage]) -> None:
        self.storages = storages
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def top(self, count: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError("stack is empty")
        del self.stack[-count:]
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    def remember(self, place: int) -> None:
        if not 0 <= place < 2**32:  # as in the binary form; others would make the memo slow
            raise ValueError("no such place")
        self.memo[place] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(_entries(items))

    def call(self, made_of: object, arguments: object) -> None:
        self.push(_made(made_of, arguments))

    def build(self, state: object) -> None:
        made = self.stack[-1]
        if isinstance(made, Foreign) and isinstance(state, dict) and "_modules" in state:
            made.is_network = True


def _entries(items: list[Any]) -> dict[str, Any]:
    """Keys and values in turn. Only names: other keys are of no use here, and slow if chosen so."""
    pairs = zip(items[::2], items[1::2], strict=True)
    if any(key is LONG_TEXT for key in items[::2]):
        raise UnreadableError("has an entry whose name is longer than any checkpoint's")
    return {key: value for key, value in pairs if isinstance(key, str)}


def _made(what: object, arguments: object) -> object:
    """What calling the named thing would give, for the few that are known; else a Foreign."""
    if not isinstance(what, Foreign):
        return Foreign("", "something made by what cannot be called")
    rebuild = _KNOWN.get(what.name)
    if rebuild is None or not isinstance(arguments, tuple):
        return Foreign(what.name)
    return rebuild(arguments)


def _dictionary(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """OrderedDict, empty or from a list of pairs, which is used up: it may be named again."""
    pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
    entries = _entries([part for pair in pairs for part in pair[:2]])
    pairs.clear()
    return entries


_NO_TENSOR = "a tensor whose numbers cannot be read"


def _tensor(arguments: tuple[Any, ...]) -> object:
    """From storage, offset, size and stride; hooks and the like are left behind."""
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, Storage):
        return Foreign(storage.name if isinstance(storage, Foreign) else "", _NO_TENSOR)
    axes = [*zip(size[:MOST_AXES], stride[:MOST_AXES], strict=True)]
    numbers = (offset, *(number for axis in axes for number in axis))
    sound = all(isinstance(n, int) and 0 <= n < MOST_NUMBERS for n in numbers)
    if not sound or len(size) > MOST_AXES or len(stride) > MOST_AXES:
        return Foreign("", "a tensor of an impossible size or place")
    return StoredTensor(storage, offset, tuple(size), tuple(stride))


def _typed_tensor(arguments: tuple[Any, ...]) -> object:
    """A tensor with attributes of its own: (what makes it, its class, arguments, attributes)."""
    made_of = arguments[0]
    if isinstance(made_of, Foreign) and _KNOWN.get(made_of.name) is _typed_tensor:
        return Foreign("", _NO_TENSOR)  # One within another, as none is saved, could go on and on.
    return _made(made_of, arguments[2])


_KNOWN: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "collections OrderedDict": _dictionary,
    "collections defaultdict": lambda _: {},
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda arguments: arguments[0],
    "torch._utils _rebuild_parameter_with_state": lambda arguments: arguments[0],
    "torch._tensor _rebuild_from_type_v2": _typed_tensor,
}


MOST_PARTS = 6
"""Of a reference. It is taken apart, which a long one would make slow."""


def _outside(machine: _Machine, _: object) -> None:
    """A reference to what stands outside: ("storage", class, key, device, count[, view])."""
    reference = machine.stack.pop()
    if not isinstance(reference, tuple) or len(reference) > MOST_PARTS:
        raise TypeError("no reference")
    kind, made_of, *rest = reference
    if kind == "module":  # The class, with its source code, of a network pickled as a whole.
        machine.push(made_of)
        return
    key, _device, count = rest[:3]
    if rest[3:] not in ([], [None]):
        raise UnreadableError("keeps its tensors as parts of others, as torch before 0.4 did")
    dtype = _STORAGES.get(made_of.name)
    if dtype is None:
        machine.push(Foreign(made_of.name))
        return
    if not (isinstance(key, str) and isinstance(count, int) and 0 <= count < MOST_NUMBERS):
        machine.push(Foreign("", "an impossible count of numbers"))
        return
    storage = Storage(key, dtype, count)
    machine.storages.setdefault(key, storage)
    machine.push(storage)


def _foreign(name: str) -> Foreign:
    if len(name) > MOST_NAME:
        raise UnreadableError("names a class by more than any name and is refused")
    return Foreign(name)


def _named(machine: _Machine, _: object) -> None:
    module, name = machine.top(2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise TypeError("names are text")
    machine.push(_foreign(f"{module} {name}"))


def _instance(machine: _Machine, name: str) -> None:
    machine.call(_foreign(name), tuple(machine.to_mark()))


def _object(machine: _Machine, _: object) -> None:
    made_of, *arguments = machine.to_mark()
    machine.call(made_of, tuple(arguments))


_VALUES = frozenset(
    {"INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
    | {"BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
"""Push their own argument."""
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,  # Not a set: nothing out of a file is compared or hashed but text.
}
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.to_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "TUPLE": lambda m, _: m.push(tuple(m.to_mark())),
    "TUPLE1": lambda m, _: m.push(m.top(1)),
    "TUPLE2": lambda m, _: m.push(m.top(2)),
    "TUPLE3": lambda m, _: m.push(m.top(3)),
    "LIST": lambda m, _: m.push(m.to_mark()),
    "FROZENSET": lambda m, _: m.push(m.to_mark()),
    "DICT": lambda m, _: m.push(_entries(m.to_mark())),
    "APPEND": lambda m, _: m.extend([*m.top(1)]),
    "APPENDS": lambda m, _: m.extend(m.to_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.to_mark()),
    "SETITEM": lambda m, _: m.update([*m.top(2)]),
    "SETITEMS": lambda m, _: m.update(m.to_mark()),
    "PUT": lambda m, place: m.remember(place),
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GET": lambda m, place: m.push(m.memo[place]),
    "BINGET": lambda m, place: m.push(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.push(m.memo[place]),
    "GLOBAL": lambda m, name: m.push(_foreign(name)),
    "STACK_GLOBAL": _named,
    "REDUCE": lambda m, _: m.call(*m.top(2)),
    "NEWOBJ": lambda m, _: m.call(*m.top(2)),
    "NEWOBJ_EX": lambda m, _: m.call(*m.top(3)[:2]),
    "INST": _instance,
    "OBJ": _object,
    "BUILD": lambda m, _: m.build(*m.top(1)),
    "BINPERSID": _outside,
}
