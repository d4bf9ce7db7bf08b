"""The software quadrature decoder: real edges are counts, pulses too short are none, missed ones are told."""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.build import build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
FORWARD = (0b00, 0b10, 0b11, 0b01)
FILTER, EDGE = 5, 20


@pytest.fixture
def core() -> Path:
    return build_core(BUILD)


class Encoder(ctypes.Structure):
    """struct core_encoder of firmware/core/encoder.h."""

    _fields_ = (
        ("filter", ctypes.c_uint32),
        ("ab", ctypes.c_uint8),
        ("next", ctypes.c_uint8),
        ("since", ctypes.c_uint32),
        ("counts", ctypes.c_int64),
        ("glitches", ctypes.c_uint32),
        ("errors", ctypes.c_uint32),
    )


class Wheel:
    """A wheel that turns by one count in each `EDGE` ticks, and its decoder."""

    def __init__(self, start: int = 0, library: Path | None = None) -> None:
        self.core = ctypes.CDLL(str(library or build_core(BUILD)))
        self.encoder = Encoder()
        self.tick, self.place = start, 0
        self.core.encoder_start(ctypes.byref(self.encoder), FILTER, start, FORWARD[0])

    def read(self, ab: int, after: int = 0) -> None:
        self.tick = (self.tick + after) & 0xFFFFFFFF
        self.core.encoder_sample(ctypes.byref(self.encoder), self.tick, ab)

    def turn(self, way: int) -> None:
        self.place += way
        self.read(FORWARD[self.place % 4], EDGE)

    def glitch(self, bit: int) -> None:
        """Let one input flicker for less than the filter's time."""
        level = FORWARD[self.place % 4]
        self.read(level, FILTER)
        self.read(level ^ bit, 1)
        self.read(level, FILTER - 1)

    def settle(self) -> tuple[int, int, int]:
        self.read(FORWARD[self.place % 4], FILTER)
        return self.encoder.counts, self.encoder.glitches, self.encoder.errors


@given(moves=st.lists(st.sampled_from([1, -1, "a", "b"]), max_size=200), start=st.sampled_from([0, 2**32 - 50]))
def test_counts_follow_the_wheel_through_glitches(moves: list[int | str], start: int) -> None:
    """Whatever way the wheel turns and however the inputs flicker, each real edge is one count, also over the wrap."""
    wheel = Wheel(start)
    for move in moves:
        if isinstance(move, int):
            wheel.turn(move)
        else:
            wheel.glitch(2 if move == "a" else 1)
    flickers = sum(isinstance(move, str) for move in moves)

    assert (sum(move for move in moves if isinstance(move, int)), flickers, 0) == wheel.settle()


@pytest.mark.parametrize("start", range(4))
def test_a_missed_edge_is_an_error_and_no_count(core: Path, start: int) -> None:
    """Two inputs that change at once lost a count somewhere: nobody knows which way."""
    wheel = Wheel(library=core)
    for _ in range(start):
        wheel.turn(1)
    wheel.place += 2
    wheel.read(FORWARD[wheel.place % 4], EDGE)

    assert (start, 0, 1) == wheel.settle()


def test_a_level_counts_only_once_it_held(core: Path) -> None:
    """Reading more often than the level changes counts nothing twice, and nothing early."""
    wheel = Wheel(library=core)
    seen = []
    wheel.read(FORWARD[1], EDGE)
    for _ in range(2 * FILTER):
        seen.append(wheel.encoder.counts)
        wheel.read(FORWARD[1], 1)

    assert [0] * FILTER + [1] * FILTER == seen
    assert all(after >= before for before, after in itertools.pairwise(seen))
