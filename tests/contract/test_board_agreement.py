"""The same script on two boards: the Cortex-M3's Thumb code decides each part as the host's build does.

This proves code generation, start-up, memory map, both UARTs and every decision. It says nothing about timing: the
clock is a number that both are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.schema.clocks import HostNs
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import CORE, build_core
from firmware_bridge.messages import Decision, GateCause, GateEvent, Lane, PartEvent
from tests.contract.board_rigs import BOARDS, BUILD, Rig, armed_link, kinds, make_rig, talk
from tests.contract.board_script import Run, Script, outcome
from tests.contract.emulator import EmulatedBoard
from tests.unit.broken_core import break_core

PARTS = 300


def on_core(script: Callable[[CoreBoard], Script], library: Path) -> Run:
    return script(CoreBoard(library, 5, HostNs(0), 10**6, 40)).play()


def on_emulator(script: Callable[[CoreBoard], Script]) -> Run:
    board = EmulatedBoard(5, HostNs(0), 10**6, 40)
    try:
        return script(board).play()
    finally:
        board.close()


@pytest.mark.parametrize(("seed", "noise", "trouble"), [(1, 0.0, 0.0), (2, 0.05, 0.0008)], ids=["calm", "storm"])
def test_part_by_part(seed: int, noise: float, trouble: float) -> None:
    """Lane, cause, verdict, count and tick of each part agree, and so does every byte on the wire and every edge."""

    def script(board: CoreBoard) -> Script:
        return Script(board, seed, PARTS, noise, trouble)

    host, cortex = on_core(script, build_core(BUILD)), on_emulator(script)
    causes = Counter(GateCause(one.cause) for one in host.outcomes)

    assert host.outcomes == cortex.outcomes
    assert host.said == cortex.said
    assert (host.gate, host.cameras) == (cortex.gate, cortex.cameras)
    assert causes[GateCause.ACCEPTED] > PARTS // 10
    assert len(causes) >= 4
    assert not noise or (host.noises > 50 and host.troubles > 2 and host.sessions > 1)


def test_another_core_does_not_agree(tmp_path: Path) -> None:
    """Agreement is not given away: a core with one rule turned round differs from the emulated one."""
    broken = break_core(
        tmp_path, "parts.c", "return p->decision == DECISION_ACCEPT", "return p->decision != DECISION_NONE"
    )

    def script(board: CoreBoard) -> Script:
        return Script(board, 1, 40, 0.0, 0.0)

    assert on_core(script, build_core(tmp_path, core=broken)).outcomes != on_emulator(script).outcomes
    assert on_core(script, build_core(tmp_path / "as_it_is", core=CORE)).outcomes == on_emulator(script).outcomes


def scene(rig: Rig) -> list[tuple[int, int, int, int]]:
    """Play forty parts in the rig's own time; return part, lane, cause, verdict and distance of each."""
    link = armed_link(rig)
    edges = {n + 1: rig.place_part(500 + 230 * n) for n in range(40)}

    def react(message: object) -> None:
        if not isinstance(message, PartEvent):
            return
        part = message.part
        words = {0: [], 1: [0], 2: [1, 0], 3: [0, 1]}.get(part % 7, [1])
        rig.write(b"\0noise" + bytes([part]) + b"\0")
        for n, accept in enumerate(words):
            link.send(Decision(part, accept, part * 10 + n), rig.now())

    got = talk(rig, link, lambda got: len(kinds(got, GateEvent)) == 40, react)
    return [(*outcome(0, m)[1:5], m.counts - edges[m.part]) for m in kinds(got, GateEvent)]


def test_three_boards_one_outcome(tmp_path: Path) -> None:
    """The process in real time, the library and the Cortex-M3 on a virtual clock: each part has the same fate."""
    scenes = []
    for board in BOARDS:
        rigs = make_rig(board, tmp_path)
        scenes.append(scene(next(rigs)))
        rigs.close()

    assert scenes[0] == scenes[1] == scenes[2]
    assert 10 < sum(lane == Lane.ACCEPT for _, lane, *_ in scenes[0]) < 40
