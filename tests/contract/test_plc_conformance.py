"""`plc conformance`: green on our appliance, red on each of those with one promise turned round, and nowhere else."""

import json
import threading
from collections.abc import Iterator

import pytest

from appliance.cli import main
from appliance.outputs.plc.modbus import ModbusServer
from appliance.schema.clocks import MS
from appliance.sim.plc_conformance import Report, lines
from appliance.sim.plc_rules import TEXTS, Rule, Score
from tests.contract.conformance_rig import ACK_TIMEOUT_MS, STALE_MS, Honest, Live, checks_of
from tests.contract.faulty_appliances import FAULTS, Fault, Frozen
from tests.contract.modbus_rig import HERE

HASTY = ("--stale-ms", str(STALE_MS), "--ack-timeout-ms", "100", "--seconds", "0.1")
LIMITS = ("--stale-ms", str(STALE_MS), "--ack-timeout-ms", str(ACK_TIMEOUT_MS), "--seconds", "0.6")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert before == set(threading.enumerate())


def test_our_appliance_is_green_and_every_rule_is_tried() -> None:
    """Our handshake keeps every promise of the register page while parts pass."""
    checks = checks_of(Honest())
    told = {rule: check.result for rule, check in checks.items()}

    assert {Rule.PLC_TRIGGER: "not tried"} == {rule: result for rule, result in told.items() if result != "pass"}


def test_our_appliance_is_green_where_the_plc_triggers() -> None:
    """Where the PLC makes the parts the same promises hold; only a ninth result cannot come, as nothing asks for it."""
    checks = checks_of(Honest(), plc_triggers=True)
    told = {rule: check.result for rule, check in checks.items()}

    assert {Rule.FULL: "not tried"} == {rule: result for rule, result in told.items() if result != "pass"}
    assert "8 waited, no further part came" == checks[Rule.FULL].seen


@pytest.mark.parametrize("plc_triggers", [False, True])
@pytest.mark.parametrize(
    ("gaps_ms", "travel_ms"), [((15,), 5), ((1200, 15, 15), 700), ((40, 400, 40, 1200, 400), 300), ((120, 25), 40)]
)
def test_no_rhythm_of_parts_turns_a_rule_red(gaps_ms: tuple[int, ...], travel_ms: int, *, plc_triggers: bool) -> None:
    """However densely parts come and however long they travel, what our appliance does is never called a breach."""
    belt = (tuple(gap * MS for gap in gaps_ms), travel_ms * MS)
    checks = checks_of(Honest(), belt=belt, plc_triggers=plc_triggers)

    assert {} == {rule: check.seen for rule, check in checks.items() if check.passed is False}
    assert all(check.seen for check in checks.values() if check.passed is None)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_a_planted_fault_is_named(fault: Fault) -> None:
    """An appliance that breaks one promise is red in the rule that states it, and green where it rests on no such."""
    checks = checks_of(fault.make(), fault.start(), plc_triggers=fault.plc_triggers)
    red = {rule for rule, check in checks.items() if check.passed is False}

    assert fault.named in red
    assert set() == red - {fault.named} - fault.others
    assert checks[fault.named].seen


def test_every_rule_can_fail() -> None:
    """There is no rule that no appliance can break."""

    assert set(Rule) == {fault.named for fault in FAULTS}
    assert set(Rule) == set(TEXTS)


def test_without_parts_nothing_is_claimed() -> None:
    """A rule that was not tried says why, and neither passes nor fails."""
    score = Score()
    score.skip(Rule.HELD, "no part passed in 5 s")
    check = {check.rule: check for check in score.checks()}[Rule.HELD]

    assert ("not tried", 0, "no part passed in 5 s", None) == (check.result, check.tried, check.seen, check.passed)


def test_command_on_a_live_appliance(capsys: pytest.CaptureFixture[str]) -> None:
    """In real time our appliance is green, but for a heartbeat that a busy machine may delay; it prints one object."""
    live = Live(Honest())
    try:
        code = main(["plc", "conformance", "--host", HERE, "--port", str(live.port), *LIMITS, "--json", "-"])
    finally:
        live.close()
    told = json.loads(capsys.readouterr().out)
    failed = {check["rule"]: check["seen"] for check in told["checks"] if check["result"] == "FAIL"}

    assert {} == {rule: seen for rule, seen in failed.items() if rule != Rule.BEAT}
    assert (not failed, int(bool(failed))) == (told["green"], code)
    assert set(Rule) == {check["rule"] for check in told["checks"]}


def test_command_on_a_broken_appliance(capsys: pytest.CaptureFixture[str]) -> None:
    """In real time an appliance whose heartbeat stands still is red: exit code 1, and what that means for the line."""
    live = Live(Frozen())
    try:
        code = main(["plc", "conformance", "--host", HERE, "--port", str(live.port), *HASTY])
    finally:
        live.close()
    printed = capsys.readouterr().out.splitlines()
    place = next(place for place, line in enumerate(printed) if line.startswith("FAIL"))

    assert 1 == code
    assert printed[place].startswith("FAIL       the heartbeat toggles at least every 100 ms: tried")
    assert "           else: a hung appliance would go on showing its last words" == printed[place + 1]
    assert printed[-1].startswith("RED: ")


def test_command_without_an_appliance(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody answers the exit code is 2, with one line that names address and remedy."""
    server = ModbusServer(HERE, 0)
    server.close()
    code = main(["plc", "conformance", "--host", HERE, "--port", str(server.port)])
    told = capsys.readouterr().err

    assert 2 == code
    assert f"firstshift: plc: {HERE}:{server.port} does not answer: [Errno 111] Connection refused" in told
    assert "check address, port, plc.allow and the line service" in told


def test_report_has_two_lines_a_rule() -> None:
    """A person reads of each rule what was seen, and what its breach would mean."""
    checks = Score().checks()
    printed = list(lines(Report("h", 502, green=True, results=0, seconds=1.0, checks=checks)))

    assert 2 * len(Rule) + 1 == len(printed)
    assert f"green: 0 pass, 0 FAIL, {len(Rule)} not tried; 0 results in 1 s" == printed[-1]
