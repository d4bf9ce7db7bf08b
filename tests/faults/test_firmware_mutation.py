"""A fail-safe line of the core that reads otherwise is noticed, by the storm or by the core's own tests."""

from __future__ import annotations

import pytest

from firmware_bridge.build import CORE
from tests.firmware.mutants import FILES, MARK, Mutant, mutants
from tests.firmware.mutation import fates

EQUIVALENT = {
    "parts.c constant: p->closed = 1; -> p->closed = 2;": "any value but 0 is closed",
    "parts.c constant: c->lost_rejects = 0; -> c->lost_rejects = 1;": "Arm sets it to 0 before it counts again",
    "parts.c dropped: p->cameras_due = 0; -> ;": "bar() in the line above has cleared it",
    "parts.c dropped: c->lost_rejects = 0; -> ;": "Arm sets it to 0 before it counts again",
    "watch.c swapped: if (!c->configured || c->config.gate_sensor_counts < 0) return; -> "
    "if (!c->configured || c->config.gate_sensor_counts <= 0) return;": "no sensor stands nearer than its window",
    "watch.c constant: if (!c->configured || c->config.gate_sensor_counts < 0) return; -> "
    "if (!c->configured || c->config.gate_sensor_counts < 1) return;": "no sensor stands nearer than its window",
    "watch.c dropped: c->standing_edges = 0; -> ;": "the next doubt comes sooner, never later",
    "watch.c constant: c->standing_edges = 0; -> c->standing_edges = 1;": "the next doubt comes sooner, never later",
    "session.c constant: c->ack_due = 1; -> c->ack_due = 2;": "any value but 0 is due",
    "session.c constant: if (idle && !c->part_count) c->restart_due = 1; -> "
    "if (idle && !c->part_count) c->restart_due = 2;": "any value but 0 is due",
    "parts.c swapped: return left > INT32_MAX ? INT32_MAX : (int32_t)left; -> "
    "return left >= INT32_MAX ? INT32_MAX : (int32_t)left;": "the two are the same number there",
    "core.c dropped: c->check_tick = c->tick; -> ;": "it checks at every step instead of ten times a second",
}
"""Mutants that are judged to do the same, and why."""


def named(mutant: Mutant) -> str:
    """Name a mutant by what it does, so that it keeps its name when lines move."""
    old, new = (text.partition("/*")[0].strip() for text in (mutant.old, mutant.new))
    return f"{mutant.file} {mutant.kind}: {old} -> {new}"


def living(chosen: list[Mutant]) -> list[str]:
    return [str(fate.mutant) for fate in fates(chosen) if fate.by == "nobody" and named(fate.mutant) not in EQUIVALENT]


def test_a_few_mutants_die() -> None:
    """A small sample, another line of the core each."""
    assert [] == living(mutants()[45::80])


@pytest.mark.slow
def test_every_mutant_dies() -> None:
    """All of them, but for those judged to do the same."""
    assert [] == living(mutants())


def test_a_lie_that_changes_nothing_lives() -> None:
    """The run does not call dead what only reads otherwise."""
    line = next(mutant for mutant in mutants() if mutant.file == "parts.c" and mutant.kind == "negated")
    same = line._replace(kind="same", new=line.old.replace("if (", "if (1 && ", 1))
    dead = line._replace(kind="broken", new=line.old.replace("if (", "if (no_such_name && ", 1))

    assert ["stillborn", "stillborn"] == [fate.by for fate in fates([same, dead])]


def test_every_marked_line_has_mutants() -> None:
    """A rule that no mutant touches is a rule that nobody checks."""
    touched = {(mutant.file, mutant.line) for mutant in mutants()}
    marked = {
        (name, number)
        for name in FILES
        for number, line in enumerate((CORE / name).read_text("utf-8").splitlines(), 1)
        if MARK in line
    }

    assert len(marked) > 30
    assert set() == marked - touched
