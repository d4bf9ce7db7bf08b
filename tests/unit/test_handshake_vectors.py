"""Protect what PLC engineers get: page, diagrams and vectors are the code's own, and a replay of them holds."""

import sys

import pytest
from msgspec.structs import replace

from appliance.outputs.plc import generate
from appliance.outputs.plc.registers import STATUS, Status, StatusBit, pack_status, unpack_status
from appliance.outputs.plc.scenarios import SCENARIOS, Arrow, Scenario
from appliance.outputs.plc.stage import Step, mask, replay
from appliance.outputs.plc.timing import diagram
from appliance.outputs.plc.variables import variables
from appliance.outputs.plc.vectors import Vector, read

VECTORS = read(generate.VECTORS.read_text("utf-8"))


def test_what_is_generated_is_up_to_date(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Page, diagrams and vectors are what the code gives now; `--check` says so and writes nothing."""
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])

    assert (0, "") == (generate.main(), capsys.readouterr().out)


def test_a_stale_page_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A change of the table that nobody generated again fails the check."""
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    monkeypatch.setattr(generate, "vectors", lambda: "other")

    assert 1 == generate.main()
    assert "plc_vectors.json: not up to date" in capsys.readouterr().out


@pytest.mark.parametrize("vector", VECTORS.scenarios, ids=lambda vector: vector.name)
@pytest.mark.parametrize("session", [VECTORS.session, 0xFFFF_0001])
def test_vectors_replay(vector: Vector, session: int) -> None:
    """Each vector, as it stands in the file, gives the same answers on a fresh handshake, whatever its session."""
    assert [] == replay(vector.steps, VECTORS.mask, plc_triggers=vector.plc_triggers, session=session)


def test_a_wrong_word_is_found() -> None:
    """The replay compares every word that the mask leaves in."""
    vector = VECTORS.scenarios[0]
    for word, bits in enumerate(VECTORS.mask):
        last = vector.steps[-1]
        words = tuple(value ^ (bits if place == word else 0) for place, value in enumerate(last.status))
        faults = replay([*vector.steps[:-1], replace(last, status=words)], VECTORS.mask, plc_triggers=False)
        assert (bits != 0) == (len(faults) == 1)


def test_mask_leaves_out_heartbeat_and_session_alone() -> None:
    """What a PLC decides by is compared."""
    status = unpack_status(mask())
    whole = Status(**{item.field: 0xFFFF if item.type.words == 1 else 0xFFFF_FFFF for item in STATUS})

    assert replace(whole, bits=0xFFFF & ~StatusBit.HEARTBEAT, session=0) == status


def test_every_scenario_ends_with_nothing_pending() -> None:
    """A scenario shows the whole of a thing: at its end the PLC owes nothing, but for a part on the belt."""
    ends = {one.name: unpack_status(one.steps()[-1].status).queue_depth for one in SCENARIOS}

    assert {"queue_overflow": 7} == {name: depth for name, depth in ends.items() if depth}


def test_pass_and_reject_never_stand_together() -> None:
    """Rule 1, at every step of every scenario: ResultValid comes with exactly one of both."""
    for step in [step for one in SCENARIOS for step in one.steps()]:
        shown = StatusBit(unpack_status(step.status).bits)
        both = shown & (StatusBit.PASS | StatusBit.REJECT)

        assert both in ({StatusBit.PASS, StatusBit.REJECT} if shown & StatusBit.RESULT_VALID else {StatusBit(0)})


@pytest.mark.parametrize(
    ("arrow", "reason"),
    [
        (Arrow("Enable+", "Late+", "no"), "the run shows 0 of 'Late\\+'"),
        (Arrow("@part 9 at the gate", "Pass+", "no"), "does not tell"),
        (Arrow("ResultAck+", "TriggerReady+", "no"), "comes before its cause"),
    ],
)
def test_a_diagram_claims_only_what_the_run_shows(arrow: Arrow, reason: str) -> None:
    """An arrow to an edge that is not there, or back in time, is an error of the scenario."""
    normal: Scenario = replace(SCENARIOS[0], arrows=(arrow,), signals=(*SCENARIOS[0].signals, "Late"))

    with pytest.raises(ValueError, match=reason):
        diagram(normal)


def test_variables_show_each_word_and_bit_once() -> None:
    """OPC UA shows what Modbus serves: every value, and every bit by its name."""
    told = variables()
    status = Status(bits=StatusBit.PASS, session=0xFFFF_FFFF, score=7)
    values = {one.browse_name: one.value(unpack_status(pack_status(status))) for one in told}

    assert len(told) == len(values) == len(STATUS) + 16 + 5
    assert (True, False, 0xFFFF_FFFF, 7) == (values["Pass"], values["Reject"], values["Session"], values["Score"])
    assert {"Boolean", "UInt16", "UInt32"} == {one.ua_type for one in told}


def test_a_step_that_cannot_be_told_is_an_error() -> None:
    """A word that the station does not know is not passed over."""
    happening = VECTORS.scenarios[0].steps[0].happening
    assert happening is not None
    unknown = Step(0, (0,) * len(VECTORS.mask), happening=replace(happening, word="sings"))

    with pytest.raises(ValueError, match="'sings': unknown"):
        replay([unknown], VECTORS.mask, plc_triggers=False)
