"""Play a PLC against a running appliance, do to it what goes wrong on a line, and report rule by rule what held.

For commissioning, not for production: it takes the place of the PLC, renews the session and clears pending results.
Rules about results are tried on the parts that pass meanwhile; without any they are reported as not tried.
"""

import struct
from collections.abc import Callable, Iterator

from msgspec import Struct

from appliance.outputs.plc.registers import CONTROL_ADDRESS, CONTROL_COUNT
from appliance.schema.clocks import MS, S
from appliance.schema.errors import LinkError
from appliance.sim import plc_faults
from appliance.sim.plc_player import Player
from appliance.sim.plc_rules import Check, Score
from appliance.sim.plc_wire import TcpWire, Wire
from appliance.sim.plc_wire_checks import check_wire

_STEPS: tuple[Callable[[Player], None], ...] = (
    check_wire,
    plc_faults.without_session,
    plc_faults.join,
    plc_faults.cycles,
    plc_faults.held_ack,
    plc_faults.wrong_ack,
    plc_faults.cut,
    plc_faults.silence,
    plc_faults.full_queue,
    plc_faults.latched,
    plc_faults.cleared,
    plc_faults.plc_trigger,
    plc_faults.missed_trigger,
    plc_faults.job_change,
    plc_faults.refused_job,
    plc_faults.restart,
)
"""In this order: first what needs no session, then normal work, then what raises errors, last what ends a session."""

_COLUMNS = 9
_READ_HOLDING = 3
_LOOK_S = 0.03
RIVAL_WATCH = 400 * MS
"""How long the control block is watched before the run: four times the slowest heartbeat that a PLC may have."""


class Report(Struct, frozen=True):
    """Sum a run up."""

    host: str
    port: int
    green: bool
    results: int
    """Results seen, each once."""
    seconds: float
    checks: tuple[Check, ...]


def conformance(
    host: str, port: int, *, seconds: float = 5.0, stale_ms: int = 500, ack_timeout_ms: int = 2000
) -> Report:
    """Try every rule on a real appliance; LinkError when it cannot be reached or falls silent.

    seconds: how long parts are watched, and waited for at most in each rule.
    stale_ms, ack_timeout_ms: the limits that the station's configuration sets.
    """
    wire = TcpWire(host, port)
    began = wire.now()
    try:
        if rival(wire):
            raise LinkError(
                f"plc conformance: {host}:{port}: another PLC writes to this appliance; stop it or disconnect "
                "it, since two of them only disturb each other"
            )
        results, checks = play(wire, seconds=seconds, stale_ms=stale_ms, ack_timeout_ms=ack_timeout_ms)
    finally:
        wire.cut()
    green = all(check.passed is not False for check in checks)
    return Report(host, port, green, results, round((wire.now() - began) / S, 1), checks)


def play(wire: Wire, *, seconds: float, stale_ms: int, ack_timeout_ms: int) -> tuple[int, tuple[Check, ...]]:
    """Try every rule over a wire; gives the results seen and the report of each rule."""
    score = Score()
    player = Player(wire, score, stale_ms=stale_ms, ack_timeout_ms=ack_timeout_ms, patience_s=seconds)
    player.read()
    for step in _STEPS:
        step(player)
    player.leave()
    return player.watch.results, score.checks()


def rival(wire: Wire) -> bool:
    """Tell whether somebody else writes the control block: a PLC moves its heartbeat at least every 100 ms."""
    request = struct.pack(">BHH", _READ_HOLDING, CONTROL_ADDRESS, CONTROL_COUNT)
    first, end = wire.ask(request), wire.now() + RIVAL_WATCH
    while wire.now() < end:
        wire.wait(_LOOK_S)
        if wire.ask(request) != first:
            return True
    return False


def lines(report: Report) -> Iterator[str]:
    """Give the report for a person: of each rule two lines, what was seen and what its breach means for the line."""
    for check in report.checks:
        seen = f"; {check.seen}" if check.seen else ""
        yield f"{check.result:<{_COLUMNS}}  {check.text}: tried {check.tried}, failed {check.failed}{seen}"
        yield f"{'':<{_COLUMNS}}  else: {check.meaning}"
    counts = {word: sum(check.result == word for check in report.checks) for word in ("pass", "FAIL", "not tried")}
    told = ", ".join(f"{n} {word}" for word, n in counts.items())
    verdict = "green" if report.green else "RED"
    yield f"{verdict}: {told}; {report.results} results in {report.seconds:g} s"
