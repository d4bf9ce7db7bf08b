"""Frames on the MCU wire: 0x00 | COBS(version and id, flags, seq, ack, key, payload, CRC-32) | 0x00.

COBS (Cheshire and Baker 1999) keeps 0x00 for the delimiter, so one 0x00 is enough to find the next frame after any
damage. The key is the session XOR the MCU's boot number: a frame of another session or boot names itself.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

RELIABLE = 1
"""Flag: `seq` is valid and wants an acknowledgement."""
ACK = 2
"""Flag: `ack` is valid."""
NAK = 4
"""Flag: a reliable frame came out of order, send again from `ack` + 1."""

MAX_PAYLOAD = 196
"""Bytes after the key; with the key 200."""

_HEAD = struct.Struct("<BBBBI")
_CRC = struct.Struct("<I")
_MAX_RAW = _HEAD.size + MAX_PAYLOAD + _CRC.size
_MAX_CODED = _MAX_RAW + 1
_CODE = [bytes([n]) for n in range(256)]


class Frame(NamedTuple):
    """One undamaged frame."""

    version: int
    id: int
    flags: int
    seq: int
    ack: int
    key: int
    payload: bytes


class Decoder:
    """Cut a byte stream into frames, keeping the unfinished rest between calls."""

    def __init__(self) -> None:
        self.damaged = 0
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[Frame]:
        """Return the undamaged frames that `data` completes; `damaged` counts the others."""
        *blocks, rest = (self._rest + data).split(b"\0")
        frames = []
        for block in blocks:
            if self._skipping:
                self._skipping = False
                continue
            if block:
                frame = decode(block)
                if frame is None:
                    self.damaged += 1
                else:
                    frames.append(frame)
        if len(rest) > _MAX_CODED or self._skipping:
            self.damaged += not self._skipping
            self._skipping = True
            rest = b""
        self._rest = rest
        return frames


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes on the wire, both delimiters included."""
    head = _HEAD.pack(frame.version << 6 | frame.id, frame.flags, frame.seq, frame.ack, frame.key)
    body = head + frame.payload
    return b"\0" + cobs_encode(body + _CRC.pack(zlib.crc32(body))) + b"\0"


def decode(block: bytes) -> Frame | None:
    """Return the frame in one block between delimiters, or None when it is damaged."""
    raw = cobs_decode(block)
    if raw is None or not _HEAD.size + _CRC.size <= len(raw) <= _MAX_RAW:
        return None
    body = raw[: -_CRC.size]
    if _CRC.unpack(raw[-_CRC.size :])[0] != zlib.crc32(body):
        return None
    first, flags, seq, ack, key = _HEAD.unpack_from(body)
    return Frame(first >> 6, first & 63, flags, seq, ack, key, body[_HEAD.size :])


def cobs_encode(data: bytes) -> bytes:
    """Return `data` without zero bytes, one code byte longer per 254 bytes begun."""
    out: list[bytes] = []
    for run in data.split(b"\0"):
        at = 0
        while len(run) - at >= 254:
            out += (b"\xff", run[at : at + 254])
            at += 254
        out += (_CODE[len(run) - at + 1], run[at:])
    # A full run at the very end needs no empty block after it.
    if len(out) >= 4 and out[-2] == b"\x01" and out[-4] == b"\xff":
        del out[-2:]
    return b"".join(out)


def cobs_decode(block: bytes) -> bytes | None:
    """Return what `cobs_encode` was given, or None when `block` is no such thing."""
    out, at, size = [], 0, len(block)
    if 0 in block:
        return None
    while at < size:
        code = block[at]
        end = at + code
        if end > size:
            return None
        out.append(block[at + 1 : end])
        if code != 0xFF and end < size:
            out.append(b"\0")
        at = end
    return b"".join(out)
