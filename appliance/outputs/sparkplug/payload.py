"""Write and read Sparkplug B payloads (Sparkplug 3.0.0, section 6.4: field numbers and data types)."""

import struct
from enum import IntEnum

from msgspec import Struct

from appliance.outputs.sparkplug.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    block,
    fields,
    float32,
    float64,
    integer,
)
from appliance.schema.errors import LinkError

Value = int | float | bool | str | bytes | None

LONGEST = 1 << 16
"""Bytes of the longest payload that is read; commands and their like have a few hundred."""


class DataType(IntEnum):
    """Name the basic data types; what is structured (DataSet, Template, properties) is skipped when read."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    """Milliseconds since 1970-01-01 UTC."""
    TEXT = 14
    UUID = 15
    BYTES = 17
    FILE = 18


class Metric(Struct, frozen=True):
    """Give one value; births carry name, alias and type, data messages alias and type."""

    datatype: DataType
    value: Value = None
    """None is written as null. Floats of type FLOAT are rounded to 32 bit."""
    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    """Milliseconds since 1970-01-01 UTC."""
    historical: bool = False
    """True: the host files the value and leaves its present one as it is."""


class Payload(Struct, frozen=True):
    """Give what one message carries."""

    metrics: tuple[Metric, ...] = ()
    timestamp_ms: int | None = None
    seq: int | None = None
    """0 ... 255; None in NDEATH and commands."""


def encode(payload: Payload) -> bytes:
    """Write a payload; ValueError where a value does not fit its type."""
    parts = [] if payload.timestamp_ms is None else [integer(1, payload.timestamp_ms)]
    parts += [block(2, _metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(integer(3, payload.seq))
    return b"".join(parts)


def decode(data: bytes) -> Payload:
    """Read a payload; LinkError for anything that is none, whatever its bytes."""
    if len(data) > LONGEST:
        raise LinkError(f"payload: {len(data)} bytes exceed {LONGEST}; the sender must split it")
    timestamp, seq = None, None
    metrics: list[Metric] = []
    for number, wire, value in fields(data):
        match number:
            case 1:
                timestamp = _whole(value, number, wire)
            case 2:
                metrics.append(_read_metric(_block(value, number, wire)))
            case 3:
                seq = _whole(value, number, wire)
    return Payload(tuple(metrics), timestamp, seq)


_BITS = {
    DataType.INT8: 8,
    DataType.INT16: 16,
    DataType.INT32: 32,
    DataType.INT64: 64,
    DataType.UINT8: 8,
    DataType.UINT16: 16,
    DataType.UINT32: 32,
    DataType.UINT64: 64,
    DataType.DATETIME: 64,
}
_SIGNED = frozenset({DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64})
_TEXTS = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})
_VALUES = frozenset(range(10, 17))
_STRUCTURED = frozenset({17, 18, 19})
"""dataset_value, template_value, extension_value."""


def _metric(metric: Metric) -> bytes:
    parts = [block(1, metric.name.encode())] if metric.name else []
    if metric.alias is not None:
        parts.append(integer(2, metric.alias))
    if metric.timestamp_ms is not None:
        parts.append(integer(3, metric.timestamp_ms))
    parts.append(integer(4, metric.datatype))
    if metric.historical:
        parts.append(integer(5, 1))
    parts.append(integer(7, 1) if metric.value is None else _value(metric.datatype, metric.value, metric.name))
    return b"".join(parts)


def _value(kind: DataType, value: Value, name: str) -> bytes:
    match value:
        case bool() if kind is DataType.BOOLEAN:
            return integer(14, value)
        case int() if kind in _BITS and not isinstance(value, bool):
            bits = _BITS[kind]
            lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind in _SIGNED else (0, (1 << bits) - 1)
            if not lowest <= value <= highest:
                raise ValueError(f"metric {name!r}: {value} does not fit {kind.name}, {lowest} ... {highest}")
            # 64 bit and UInt32 travel as long_value, as the reference implementations write them
            number = 11 if bits == 64 or kind is DataType.UINT32 else 10
            # negative Int8 and Int16 are widened to the 32 bit of int_value: some readers look at all of them
            return integer(number, value & (1 << max(bits, 32)) - 1)
        case int() | float() if kind is DataType.FLOAT and not isinstance(value, bool):
            return float32(12, value)
        case int() | float() if kind is DataType.DOUBLE and not isinstance(value, bool):
            return float64(13, value)
        case str() if kind in _TEXTS:
            return block(15, value.encode())
        case bytes() if kind in {DataType.BYTES, DataType.FILE}:
            return block(16, value)
    raise ValueError(f"metric {name!r}: {value!r:.40} is no {kind.name}")


def _read_metric(data: bytes) -> Metric:
    name, alias, timestamp, kind, historical, null = "", None, None, 0, False, False
    raw: int | bytes | None = None
    place = 0
    for number, wire, value in fields(data):
        match number:
            case 1:
                name = _text(_block(value, number, wire))
            case 2:
                alias = _whole(value, number, wire)
            case 3:
                timestamp = _whole(value, number, wire)
            case 4:
                kind = _whole(value, number, wire)
            case 5:
                historical = bool(_whole(value, number, wire))
            case 7:
                null = bool(_whole(value, number, wire))
            case _ if number in _VALUES:
                raw, place = _checked(value, number, wire), number
            case _ if number in _STRUCTURED:
                raw, place = None, 0
    datatype = DataType(kind) if kind in DataType._value2member_map_ else DataType.UNKNOWN
    given = None if null or raw is None else _read_value(datatype, place, raw)
    return Metric(datatype, given, name, alias, timestamp, historical)


_WIRES = {10: VARINT, 11: VARINT, 12: FIXED32, 13: FIXED64, 14: VARINT, 15: BYTES, 16: BYTES}


def _checked(value: int | bytes, number: int, wire: int) -> int | bytes:
    if wire != _WIRES[number]:
        raise LinkError(
            f"payload: field {number} of a metric has wire type {wire}, not {_WIRES[number]}; not Sparkplug"
        )
    return value


def _read_value(kind: DataType, place: int, raw: int | bytes) -> Value:
    """Turn a field into a value: by its place, then by the data type where several types share a place."""
    if isinstance(raw, int):
        if place == 14:
            return bool(raw)
        bits = _BITS.get(kind, 64)
        unsigned = raw & (1 << bits) - 1
        return unsigned - (1 << bits) if kind in _SIGNED and unsigned >> bits - 1 else unsigned
    if place == 12:
        return float(struct.unpack("<f", raw)[0])
    if place == 13:
        return float(struct.unpack("<d", raw)[0])
    return _text(raw) if place == 15 else raw


def _whole(value: int | bytes, number: int, wire: int) -> int:
    if not isinstance(value, int):
        raise LinkError(f"payload: field {number} has wire type {wire}, not {VARINT}; not Sparkplug")
    return value


def _block(value: int | bytes, number: int, wire: int) -> bytes:
    if not isinstance(value, bytes) or wire != BYTES:
        raise LinkError(f"payload: field {number} has wire type {wire}, not {BYTES}; not Sparkplug")
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise LinkError(f"payload: text is not UTF-8 ({error}); message damaged") from error
