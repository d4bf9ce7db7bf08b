"""Frames, generated sources and the sending window."""

from __future__ import annotations

import binascii
import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from appliance.build_c import compiler
from appliance.config import Camera
from appliance.config_mcu import STROBE_REST
from appliance.schema.clocks import MS, HostNs
from firmware_bridge import generate, messages
from firmware_bridge.build import CORE, core_sources
from firmware_bridge.configuration import configuration
from firmware_bridge.framing import Decoder, Frame, cobs_decode, cobs_encode, encode
from firmware_bridge.messages import Configure, GateEvent, HelloAck
from firmware_bridge.window import QUEUE_LIMIT, SIZE, Window

frames = st.builds(
    Frame,
    version=st.integers(0, 3),
    id=st.integers(0, 63),
    flags=st.integers(0, 255),
    seq=st.integers(0, 255),
    ack=st.integers(0, 255),
    key=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=196),
)
zero_rich = st.lists(st.sampled_from([b"\0", b"\1", b"\xff", b"a" * 253, b"a" * 254, b"a" * 255])).map(b"".join)


def slow_cobs(data: bytes) -> bytes:
    """COBS as its paper words it: byte by byte, a block ends at a zero or after 254 others."""
    blocks, block = [], bytearray()
    pending = True
    for byte in data:
        pending = True
        if byte == 0:
            blocks.append(bytes([len(block) + 1]) + block)
            block = bytearray()
            continue
        block.append(byte)
        if len(block) == 254:
            blocks.append(b"\xff" + block)
            block, pending = bytearray(), False
    if pending:
        blocks.append(bytes([len(block) + 1]) + block)
    return b"".join(blocks)


@given(data=st.binary(max_size=600) | zero_rich)
def test_cobs_is_the_published_code(data: bytes) -> None:
    """Both directions agree with an independent definition, and no zero is left."""
    assert slow_cobs(data) == cobs_encode(data)
    assert data == cobs_decode(cobs_encode(data))


@given(block=st.binary(max_size=300))
def test_cobs_refuses_or_repeats(block: bytes) -> None:
    """What decodes has exactly one code, so a damaged block cannot pass for another one."""
    data = cobs_decode(block)
    if data is not None and block and block[-1:] != b"\x01":
        assert block == cobs_encode(data)


@given(sent=st.lists(frames, max_size=6), cuts=st.lists(st.integers(0, 1200), max_size=6))
def test_frames_survive_any_cut(sent: list[Frame], cuts: list[int]) -> None:
    """The decoder gives the same frames however the stream is cut."""
    stream = b"".join(encode(f) for f in sent)
    decoder, got = Decoder(), []
    edges = [0, *sorted(c for c in cuts if c < len(stream)), len(stream)]
    for start, end in itertools.pairwise(edges):
        got += decoder.feed(stream[start:end])

    assert sent == got
    assert decoder.damaged == 0


@given(frame=frames, at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_damaged_frame_is_dropped_and_the_next_read(frame: Frame, at: int, flip: int) -> None:
    """One changed byte loses at most its own frame."""
    wire = bytearray(encode(frame))
    wire[at % len(wire)] ^= flip
    decoder = Decoder()
    got = decoder.feed(bytes(wire) + encode(frame))

    assert [frame] == got[-1:]
    assert all(f == frame for f in got)


def test_garbage_without_end_is_bounded() -> None:
    """A stream without a delimiter is forgotten, not kept."""
    decoder = Decoder()
    frame = Frame(1, 5, 0, 0, 0, 9, b"x")
    got = [f for _ in range(50) for f in decoder.feed(b"\x55" * 1000)]
    got += decoder.feed(encode(frame))

    assert [frame] == got
    assert decoder.damaged == 1


def test_crc_is_the_zlib_one() -> None:
    """The check value of CRC-32/ISO-HDLC ties both ends to one polynomial."""
    raw = cobs_decode(encode(Frame(1, 5, 0, 0, 0, 9, b"123456789")).strip(b"\0"))

    assert raw is not None
    assert binascii.crc32(raw[:-4]).to_bytes(4, "little") == raw[-4:]


@pytest.mark.parametrize("path", list(generate.generated()), ids=lambda p: p.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    """Both ends come from messages.toml; run python -m firmware_bridge.generate."""
    assert generate.generated()[path] == path.read_text(encoding="utf-8")


def test_every_message_fits_a_frame_and_returns() -> None:
    """Pack and unpack are inverse, and no payload exceeds what the MCU takes."""
    station = configuration(
        gate_counts=5000, lead_counts=300, camera_counts=(-1, 70), min_gap_counts=200, gate_hold_counts=200
    )
    gate = GateEvent(1, 2, messages.Lane.REJECT, messages.GateCause.HOST_LOST, 3, -4, 2**63)
    for message in (station, gate):
        packed = messages.PACK[type(message)](message)

        assert message == messages.UNPACK[messages.IDS[type(message)]](packed)
    assert (-1, 70) == station.camera_counts
    assert len(messages.IDS) == len(set(messages.IDS.values()))


def test_the_schema_hash_follows_the_layout() -> None:
    """A changed type is another schema; a changed sentence is not."""
    source = {"enums": {}, "messages": [{"name": "A", "id": 1, "direction": "to_mcu", "doc": "x", "fields": []}]}
    reworded = {"enums": {}, "messages": [{**source["messages"][0], "doc": "y"}]}
    widened = {"enums": {}, "messages": [{**source["messages"][0], "fields": [{"name": "b", "type": "u8"}]}]}

    assert generate.schema_hash(source) == generate.schema_hash(reworded)
    assert generate.schema_hash(source) != generate.schema_hash(widened)


def test_messages_of_another_length_are_not_read() -> None:
    """A payload of another schema is refused by its length."""
    with pytest.raises(Exception, match="unpack requires"):
        messages.UNPACK[messages.IDS[HelloAck]](b"123")
    assert Configure in messages.RELIABLE


@pytest.mark.parametrize("cc", [compiler(), [sys.executable, "-m", "ziglang", "cc"]], ids=["system", "zig"])
def test_the_core_is_freestanding_c11(tmp_path: Path, cc: list[str]) -> None:
    """The core builds without a C library's headers beyond stdint, stddef and string, and warns of nothing."""
    if "ziglang" in cc and not importlib.util.find_spec("ziglang"):
        pytest.skip("ziglang is not installed")
    flags = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wshadow",
        "-Wconversion",
        "-Werror",
        "-O2",
        "-ffreestanding",
        "-c",
    ]
    for source in core_sources():
        done = subprocess.run(
            [*cc, *flags, str(source), "-o", str(tmp_path / "core.o")], capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
    text = "".join(p.read_text(encoding="utf-8") for p in [*CORE.glob("*.c"), *CORE.glob("*.h")])
    assert {"stdint.h", "stddef.h", "string.h"} == set(re.findall(r"#include <(.*)>", text))
    assert "malloc" not in text.replace("no malloc", "")


def test_the_window_sends_eight_and_repeats_them() -> None:
    """At most eight frames fly; a time-out repeats them all, an acknowledgement lets the next go."""
    window = Window()
    for n in range(20):
        assert window.push(7, bytes([n]))
    first = window.due(HostNs(0))
    again = window.due(HostNs(60 * MS))
    window.acknowledge(3, nak=False, now=HostNs(61 * MS))
    more = window.due(HostNs(62 * MS))

    assert list(range(1, SIZE + 1)) == [f.seq for f in first] == [f.seq for f in again]
    assert [9, 10, 11] == [f.seq for f in more]
    assert window.retransmits == SIZE


def test_a_full_queue_says_so() -> None:
    """Decisions that cannot leave in time are refused at once, not hoarded."""
    window = Window()

    assert [True] * QUEUE_LIMIT + [False] == [window.push(7, b"") for _ in range(QUEUE_LIMIT + 1)]


CAMERA = {"producer": "p", "serial": "1", "width_px": 16, "height_px": 16}


def test_station_and_firmware_know_the_same_lamps() -> None:
    """What the configuration allows is what the core of this release obeys."""
    header = (CORE / "core.h").read_text("utf-8")
    limits = {name: int(value) for name, value in re.findall(r"#define (CORE_STROBE_\w+) (\d+)u", header)}
    with pytest.raises(ValidationError):
        convert({**CAMERA, "strobe_us": limits["CORE_STROBE_MAX_US"] + 1}, Camera)

    assert limits["CORE_STROBE_MAX_US"] == convert({**CAMERA, "strobe_us": 5000}, Camera).strobe_us
    assert limits["CORE_STROBE_DUTY"] == STROBE_REST
