"""Lose sync at the gate of a whole line, and get it back: nothing passes in between, and nobody has to trust a word."""

from pathlib import Path

import pytest

from appliance.schema.actuation import Cause
from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.schema.command import Accepted, PurgeDone, RefusedReply, Reply, ResetFault
from appliance.sim.line_world import LineWorld
from firmware_bridge.build import build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
GATE_SENSOR_MM = 370.0
BATCH, PAUSE = 25, 12_000
"""Parts before and after a pause, and the pause's length in counts: more than the way from sensor to gate."""


class TwoBatches(LineWorld):
    """Lay the parts in two batches with an empty belt between them."""

    def _place(self, parts: int) -> None:
        super()._place(parts // 2)
        last = self.enters[-1] + PAUSE
        for n in range(parts - parts // 2):
            self.enters.append(last + 1000 * n)
            self.defective.append(False)
            self.board.place_part(EncoderCounts(self.enters[-1]), EncoderCounts(self.enters[-1] + 600))


def world() -> TwoBatches:
    return TwoBatches(build_core(BUILD), 2 * BATCH, gate_sensor_mm=GATE_SENSOR_MM)


def lanes(made: TwoBatches) -> tuple[int, int]:
    """Count the accepted parts of each batch."""
    passed = [made.physical_lane(part).value == "accept" for part in range(1, 2 * BATCH + 1)]
    return sum(passed[:BATCH]), sum(passed[BATCH:])


def at(made: TwoBatches, after_ns: int, command: object, replies: list[Reply]) -> None:
    made.world.at(HostNs(made._start + after_ns), lambda: made.world.ask("line", command, replies.append))


def test_a_line_in_step_is_left_alone() -> None:
    """The sensor at the gate confirms every part; good ones pass in both batches."""
    made = world()
    made.play()
    first, second = lanes(made)

    assert [] == made.breaches()
    assert first > BATCH // 2
    assert second == BATCH


@pytest.mark.parametrize("purged", [True, False])
def test_an_extra_part_stops_all_passes_until_the_belt_ran_empty(purged: bool) -> None:
    """Only the purge leads on: not the reset, and not the empty belt by itself."""
    made = world()
    replies: list[Reply] = []
    extra = EncoderCounts(made.enters[9] + 3700 + 700)
    made.board.place_at_gate(extra, EncoderCounts(extra + 100))
    at(made, 2200 * MS, ResetFault("op"), replies)
    if purged:
        at(made, 2400 * MS, PurgeDone("op"), replies)
    made.play()
    first, second = lanes(made)
    causes = [made.actuations[part][0].cause for part in range(11, BATCH + 1)]

    assert [] == made.breaches()
    assert first <= 10
    assert {Cause.FAULT} == set(causes)
    assert (second > BATCH // 2) == purged
    assert [RefusedReply, Accepted][: 1 + purged] == [type(reply) for reply in replies]
    assert any(shown.kind == "alarm" and shown.value == "mcu_fault" for shown in made.shown)


def test_a_reset_of_the_microcontroller_forgets_no_lost_sync() -> None:
    """Power and pin resets do not lead round the purge."""
    made = world()
    extra = EncoderCounts(made.enters[9] + 3700 + 700)
    made.board.place_at_gate(extra, EncoderCounts(extra + 100))
    made.world.at(HostNs(made._start + 2500 * MS), lambda: made.board.reset(77))
    made.play()
    after_lost = [part for part in range(11, 2 * BATCH + 1) if made.physical_lane(part).value == "accept"]

    assert [] == after_lost
    assert [] == made.breaches()
    assert made.world.now > made._start + 5 * S
