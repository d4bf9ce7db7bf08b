"""The payload codec writes what others read, reads what others write, and takes garbage for what it is."""

import base64
import json
import math
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.sparkplug.payload import LONGEST, DataType, Metric, Payload, decode, encode
from appliance.schema.errors import LinkError

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT / "build" / "foreign" / "node_modules"

U64 = st.integers(0, (1 << 64) - 1)
TEXT = st.text(max_size=40)
VALUES = {
    DataType.INT8: st.integers(-(1 << 7), (1 << 7) - 1),
    DataType.INT16: st.integers(-(1 << 15), (1 << 15) - 1),
    DataType.INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    DataType.INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    DataType.UINT8: st.integers(0, (1 << 8) - 1),
    DataType.UINT16: st.integers(0, (1 << 16) - 1),
    DataType.UINT32: st.integers(0, (1 << 32) - 1),
    DataType.UINT64: U64,
    DataType.FLOAT: st.floats(width=32, allow_nan=False),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: TEXT,
    DataType.DATETIME: U64,
    DataType.TEXT: TEXT,
    DataType.UUID: TEXT,
    DataType.BYTES: st.binary(max_size=40),
    DataType.FILE: st.binary(max_size=40),
}


def metrics_of(kind):
    return st.builds(
        Metric,
        st.just(kind),
        st.none() | VALUES[kind],
        name=TEXT,
        alias=st.none() | U64,
        timestamp_ms=st.none() | U64,
        historical=st.booleans(),
    )


METRICS = st.sampled_from(sorted(VALUES)).flatmap(metrics_of)
PAYLOADS = st.builds(
    Payload, st.lists(METRICS, max_size=6).map(tuple), st.none() | U64, st.none() | st.integers(0, 255)
)


@given(PAYLOADS)
def test_what_is_written_is_read_back(payload):
    """Every value of every type survives; null stays null."""
    assert payload == decode(encode(payload))


@given(st.binary(max_size=400))
def test_garbage_is_one_error_or_a_payload(data):
    """Whatever a broker hands over, there is one way to fail, and no other."""
    try:
        found = decode(data)
    except LinkError as error:
        found = error

    assert isinstance(found, Payload | LinkError)


@given(PAYLOADS, st.data())
def test_damage_is_one_error_or_a_payload(payload, data):
    """A payload with bytes changed, missing or doubled fails in the same one way."""
    raw = bytearray(encode(payload))
    for _ in range(data.draw(st.integers(1, 4))):
        if raw:
            place = data.draw(st.integers(0, len(raw) - 1))
            end = data.draw(st.integers(place, len(raw)))
            raw[place:end] = data.draw(st.binary(max_size=6))
    try:
        found = decode(bytes(raw))
    except LinkError as error:
        found = error

    assert isinstance(found, Payload | LinkError)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff" * 11, "varint at byte 0 does not end"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "does not end within 64 bit"),
        (b"\x12\x7f\x00", "field 2 wants 127 bytes, 1 are left"),
        (b"\x0b", "wire type 3 of field 1 is unknown"),
        (b"\x00\x00", "field number 0"),
        (b"\x0a\x00", "field 1 has wire type 2, not 0"),
        (b"\x12\x03\x0a\x01\xff", "text is not UTF-8"),
        (b"\x12\x02\x60\x01", "field 12 of a metric has wire type 0, not 5"),
        (b"\0" * (LONGEST + 1), "exceed 65536"),
    ],
)
def test_what_is_wrong_is_named(data, said):
    """A person who looks for a foreign sender reads what is wrong with its message."""
    with pytest.raises(LinkError, match=said):
        decode(data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DataType.INT8, 128),
        (DataType.UINT8, -1),
        (DataType.INT64, 1 << 63),
        (DataType.BOOLEAN, 1),
        (DataType.INT32, True),
        (DataType.STRING, 1),
        (DataType.DOUBLE, "1"),
        (DataType.UNKNOWN, 1),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_not_written(kind, value):
    """A wrong value is the writer's fault and shows there, not at the host."""
    with pytest.raises(ValueError, match="metric 'x'"):
        encode(Payload((Metric(kind, value, "x"),)))


def test_the_bytes_are_those_of_the_specification():
    """Field numbers and wire types are fixed; a changed one would be read as something else."""
    metric = Metric(DataType.BOOLEAN, value=True, name="ab", alias=3, timestamp_ms=300, historical=True)
    inner = b"\x0a\x02ab" + b"\x10\x03" + b"\x18\xac\x02" + b"\x20\x0b" + b"\x28\x01" + b"\x70\x01"

    assert b"\x08\x05" + b"\x12" + bytes([len(inner)]) + inner + b"\x18\x07" == encode(Payload((metric,), 5, 7))


def test_structured_values_are_skipped():
    """A DataSet or Template of a foreign sender reads as null, its neighbours as they are."""
    dataset = b"\x0a\x01d" + b"\x20\x10" + b"\x8a\x01\x02\x08\x01"
    plain = b"\x0a\x01p" + b"\x20\x0a" + b"\x69" + struct.pack("<d", 0.5)
    raw = b"".join(b"\x12" + bytes([len(part)]) + part for part in (dataset, plain))

    assert [("d", None), ("p", 0.5)] == [(metric.name, metric.value) for metric in decode(raw).metrics]


def plain(metric):
    """Say a metric as the foreign program's output says it."""
    value = metric.value
    if value is None:
        said = None
    elif isinstance(value, bool):
        said = str(value).lower()
    elif isinstance(value, bytes):
        said = value.hex()
    elif isinstance(value, float):
        said = str(int(value)) if value.is_integer() else str(value)
    else:
        said = str(value)
    return [metric.name, said, metric.historical]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(not (FOREIGN / "sparkplug-payload").is_dir(), reason="npm's sparkplug-payload is not installed")
def test_a_foreign_codec_reads_and_writes_the_same(rng):
    """A program that is not ours reads our bytes as we meant them, and we read what it writes from them.

    It reads Int64 as unsigned and UInt32 as signed, so the numbers of these types keep to what both can say.
    """
    numbers = [*VALUES]
    payloads = []
    for seq in range(100):
        metrics = []
        for place in range(5):
            kind = numbers[int(rng.integers(len(numbers)))]
            metrics.append(Metric(kind, sample(kind, rng), f"m{seq}/{place}", place, 1_700_000_000_000, bool(seq % 2)))
        payloads.append(Payload(tuple(metrics), 1_700_000_000_000 + seq, seq))
    lines = "".join(base64.b64encode(encode(payload)).decode() + "\n" for payload in payloads)
    run = subprocess.run(
        ["node", str(ROOT / "tests/foreign/sparkplug_codec.js")],
        input=lines,
        capture_output=True,
        text=True,
        env={**os.environ, "FOREIGN": str(FOREIGN)},
        check=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    seen = [[[name, said, historical] for name, _, said, historical in answer["seen"]] for answer in answers]

    assert [[plain(metric) for metric in payload.metrics] for payload in payloads] == seen
    assert payloads == [decode(base64.b64decode(answer["again"])) for answer in answers]


def sample(kind, rng):
    """Give a value that JavaScript holds exactly and writes as Python does."""
    if rng.random() < 0.1:
        return None
    if kind in {DataType.FLOAT, DataType.DOUBLE}:
        return float(rng.integers(-1000, 1000)) / 8
    if kind is DataType.BOOLEAN:
        return bool(rng.integers(2))
    if kind in {DataType.BYTES, DataType.FILE}:
        return rng.bytes(5)
    if kind in {DataType.STRING, DataType.TEXT, DataType.UUID}:
        return f"Prüfling {int(rng.integers(1000))}"
    low, high = {
        DataType.INT8: (-128, 127),
        DataType.INT16: (-32768, 32767),
        DataType.INT32: (-(1 << 31), (1 << 31) - 1),
        DataType.INT64: (0, 1 << 53),
        DataType.UINT8: (0, 255),
        DataType.UINT16: (0, 65535),
        DataType.UINT32: (0, (1 << 31) - 1),
        DataType.UINT64: (0, 1 << 53),
        DataType.DATETIME: (0, 1 << 53),
    }[kind]
    return int(rng.integers(low, high))


def test_not_a_number_is_written_as_it_is():
    """The codec does not judge; the metrics say null where there is no number."""
    metric = decode(encode(Payload((Metric(DataType.DOUBLE, math.nan, "x"),)))).metrics[0]

    assert math.isnan(metric.value)
