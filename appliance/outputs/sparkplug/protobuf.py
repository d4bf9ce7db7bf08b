"""Read and write the fields of a protocol buffer message; only what Sparkplug's payload needs.

Encoding: protobuf.dev, "Encoding": a field is a varint key (number << 3 | wire type) and its value.
"""

import struct
from collections.abc import Iterator

from appliance.schema.errors import LinkError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types; 3 and 4 are groups, which no payload of Sparkplug B has."""

_VARINT_BYTES = 10
"""Bytes of the longest varint: 64 bit in groups of 7."""

_U64 = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Write 0 ... 2**64 - 1 in groups of 7 bit, least first; ValueError beyond."""
    if not 0 <= value <= _U64:
        raise ValueError(f"varint: {value} is outside 0 ... {_U64}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """Write a field of type uint32, uint64 or bool."""
    return varint(number << 3 | VARINT) + varint(value)


def block(number: int, value: bytes) -> bytes:
    """Write a field of type string, bytes or message."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def float32(number: int, value: float) -> bytes:
    """Write a field of type float; OverflowError when it is too large for one."""
    return varint(number << 3 | FIXED32) + struct.pack("<f", value)


def float64(number: int, value: float) -> bytes:
    """Write a field of type double."""
    return varint(number << 3 | FIXED64) + struct.pack("<d", value)


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield (number, wire type, value) of each field; fixed values come as bytes. LinkError for what is no message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise LinkError(
                f"payload: field number {number} at byte {at} is outside 1 ... {(1 << 29) - 1}; not Sparkplug"
            )
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in {FIXED64, FIXED32}:
            size = 8 if wire == FIXED64 else 4
        else:
            raise LinkError(f"payload: wire type {wire} of field {number} is unknown; not Sparkplug")
        if size > len(data) - at:
            raise LinkError(f"payload: field {number} wants {size} bytes, {len(data) - at} are left; message cut short")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(min(_VARINT_BYTES, len(data) - at)):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value > _U64:
                break
            return value, at + place + 1
    raise LinkError(f"payload: varint at byte {at} does not end within 64 bit or the message; message damaged")
