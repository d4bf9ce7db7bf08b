"""Whatever bytes, levels and counts come: no byte of memory is touched that should not be, and no promise breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.firmware import fuzzing
from tests.unit.broken_core import break_core

SHORT, LONG = 4_000_000, 400_000_000


def hold(seed: int, size: int) -> None:
    done = fuzzing.run(fuzzing.build(), seed, size)
    told = fuzzing.counts(done.stdout) if done.returncode == 0 else {}

    assert (0, "") == (done.returncode, done.stderr[-2000:])
    assert told["bytes"] >= size
    # It reached what is behind an armed gate, and did not only knock at the door.
    assert told["armed"] > size // 50
    assert told["accepts"] > size // 4000
    assert min(told["faults"], told["round_trips"]) > size // 10_000


def test_four_megabytes_of_nonsense() -> None:
    """Clean under the address, leak and undefined-behaviour sanitizers."""
    hold(1, SHORT)


@pytest.mark.slow
def test_four_hundred_megabytes_of_nonsense() -> None:
    """The same for longer."""
    hold(2, LONG)


BROKEN = {
    "a buffer overrun": ("session.c", "if (c->rx_length < sizeof c->rx)", "if (c->rx_length < sizeof c->rx + 64)"),
    "a byte read too far": ("session.c", "if (n < HEADER + KEY + CRC || n > CORE_FRAME) {", "if (n > CORE_FRAME) {"),
    "a part too many": ("parts.c", "if (c->part_count == CORE_PARTS || !c->configured) {", "if (!c->configured) {"),
    "an open gate": ("parts.c", "uint8_t lane = LANE_REJECT; /* RULE", "uint8_t lane = LANE_ACCEPT; /* RULE"),
    "a lamp too long": ("parts.c", "out->strobe_us[k] = (uint16_t)on;", "out->strobe_us[k] = (uint16_t)(on * 50u);"),
}


SOME = ("a byte read too far", "an open gate")


@pytest.mark.parametrize(
    "fault", [fault if fault in SOME else pytest.param(fault, marks=pytest.mark.slow) for fault in BROKEN]
)
def test_a_planted_fault_is_found(tmp_path: Path, fault: str) -> None:
    """A fuzzer that finds nothing in a broken core proves nothing for a sound one."""
    program = fuzzing.build(break_core(tmp_path, *BROKEN[fault]), tmp_path)

    assert fuzzing.run(program, 1, SHORT).returncode != 0
