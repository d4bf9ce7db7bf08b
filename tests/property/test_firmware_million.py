"""For any sequence of losses, delays, resets and garbage no part without a valid accept in time reaches the good lane.

The storm plays the real core; the judge knows the bytes that reached the MCU, where the parts were and where the gate
was, and decides from the rule alone what each part was allowed. The two must agree part by part, both ways.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from firmware_bridge.messages import GateCause
from tests.firmware import storm
from tests.firmware.storm import Day, Told
from tests.unit.broken_core import break_core

SHORT, LONG = 20_000, 1_000_000


def vacuous(told: Told) -> list[str]:
    """Name what a run lacks without which it proves nothing."""
    parts = told.counts["parts"]
    lacking = [name for name in storm.TROUBLES if told.counts[name] * 2000 < parts]
    lacking += [
        cause.name for cause in GateCause if cause != GateCause.GATE_LATE and told.causes[cause.name] * 1000 < parts
    ]
    share = {"accepted": 0.2, "rejected": 0.2, "unseen": 0.005}
    return lacking + [name for name, least in share.items() if told.counts[name] < parts * least]


def hold(told: Told, parts: int) -> None:
    """Hold a run against the rule, and against having seen nothing."""
    print(dict(told.counts), dict(told.causes))  # noqa: T201  pytest shows it when the test fails

    assert [] == told.breaches[:5]
    assert 0 == told.counts["overkill"], [name for name in told.counts if name.startswith("overkill ")][:5]
    assert parts == told.counts["parts"] == told.counts["accepted"] + told.counts["rejected"]
    assert [] == vacuous(told)


def test_twenty_thousand_parts() -> None:
    """No part without a valid accept in time reaches the good lane, and each part with one does."""
    hold(storm.play_all(storm.build(), storm.days(1, SHORT)), SHORT)


@pytest.mark.slow
def test_a_million_parts() -> None:
    """The same for a million parts."""
    hold(storm.play_all(storm.build(), storm.days(2, LONG)), LONG)


def test_quiet_days_prove_nothing() -> None:
    """A run without faults, or without accepts, is no proof and is told apart."""
    quiet = storm.play_all(storm.build(), [Day(5, 1500, 0, 0, hostile=False, gap=(220, 400))])
    shut = Told(Counter({**dict.fromkeys(storm.TROUBLES, 99), "parts": 100, "rejected": 100}), Counter(), [])

    assert {"chunks_lost", "mcu_resets", "host_freezes"} <= set(vacuous(quiet))
    assert quiet.counts["accepted"] > 600
    assert "accepted" in vacuous(shut)


BROKEN = {
    "default": ("parts.c", "uint8_t lane = LANE_REJECT; /* RULE", "uint8_t lane = LANE_ACCEPT; /* RULE"),
    "no decision": ("parts.c", "return GATE_CAUSE_NO_DECISION;", "return GATE_CAUSE_ACCEPTED;"),
    "host lost": ("parts.c", "if (!host_alive(c)) return GATE", "if (!host_alive(c) && c->fault) return GATE"),
    "late": ("parts.c", "if (p->closed) return DECISION_OUTCOME_LATE;", "p->closed = 0;"),
    "key": ("session.c", "|| key != (c->session ^ c->boot)", "|| key == 0"),
    "sequence": ("session.c", "if (seq == (uint8_t)(c->rx_seq + 1)) {", "if (seq != c->rx_seq) {"),
    "checksum": (
        "session.c",
        "if (get_uint(&crc_at, 4) != frame_crc32(bytes, n - CRC)) {",
        "if (get_uint(&crc_at, 4) == 1) {",
    ),
}


SOME = ("default", "no decision", "late", "key")


@pytest.mark.parametrize(
    "rule", [rule if rule in SOME else pytest.param(rule, marks=pytest.mark.slow) for rule in BROKEN]
)
def test_a_broken_core_is_caught(tmp_path: Path, rule: str) -> None:
    """A proof that no broken core fails is none."""
    broken = storm.build(break_core(tmp_path, *BROKEN[rule]), tmp_path)
    told = storm.play_all(broken, storm.days(3, 12_000))

    assert [] != told.breaches
