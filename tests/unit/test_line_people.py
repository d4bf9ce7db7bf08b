"""Protect what a person's word does at the line: in parallel mode it decides, in primary mode it can only object."""

import pytest
from msgspec.structs import replace

from appliance.outputs.plc.modbus import StatusBlock
from appliance.outputs.plc.registers import StatusBit, unpack_status
from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import HostNs, S
from appliance.schema.health import Alarm
from appliance.schema.part import PartId
from appliance.schema.topics import MANUAL, SEALED, STATUS, VERDICT
from appliance.schema.verdict import Disposition, InspectionResult, SealedVerdict, StageTimes
from appliance.services._authority import BY_HAND, HandDecides, authority
from appliance.services._line_hands import WAITING
from firmware_bridge import messages as mcu
from tests.unit.line_rig import BEGIN, BOOT, HAND, MODEL, Rig, health_of
from tests.unit.test_line_plant import ready, stats


@pytest.fixture
def rig() -> Rig:
    return Rig(authority=HAND).connect()


def orders(rig: Rig) -> list[tuple[int, int]]:
    return [(one.part, one.accept) for one in rig.all(mcu.Decision)]


# ---- parallel mode --------------------------------------------------------------------------------------------------


def test_it_does_not_even_listen_to_the_model(rig: Rig) -> None:
    """In parallel mode neither verdicts nor sealed ones are subscribed to."""

    assert {MANUAL, STATUS} == set(rig.node.topics)
    assert {VERDICT, MANUAL, STATUS} == set(Rig().node.topics)


def test_a_verdict_that_comes_all_the_same_does_nothing(rig: Rig) -> None:
    """Whatever bears the model's word, on whatever topic: the gate hears nothing of it."""
    part = rig.enter()
    result = InspectionResult(part.part, (), "", "", "", StageTimes(), 0, HostNs(0))
    sealed = SealedVerdict(part.part, Disposition.ACCEPT, (), HostNs(rig.now), part.decide_by, result)
    told = [*rig.verdict(part), *rig.tell(sealed, topic=SEALED), *rig.tell(sealed, topic=MANUAL)]

    assert [] == told
    assert (Cause.NO_VERDICT, Disposition.NO_VERDICT) == (rig.gate().cause, rig.all(Actuation)[-1].disposition)


def test_a_persons_accept_in_time_opens_the_gate(rig: Rig) -> None:
    """One decision, marked as a person's, which the gate gives back as its reason."""
    part = rig.enter()
    rig.manual(part, part.decide_by)
    told = rig.gate(lane=mcu.Lane.ACCEPT, cause=mcu.GateCause.ACCEPTED, sequence=BY_HAND | 1)

    assert [mcu.Decision(1, 1, BY_HAND | 1)] == rig.all(mcu.Decision)
    assert (Cause.OPERATOR, Disposition.ACCEPT, 0) == (told.cause, told.disposition, told.verdict_sequence)
    assert [] == rig.all(Alarm)


def test_a_late_accept_of_a_person_is_a_reject(rig: Rig) -> None:
    """One nanosecond after the deadline is late, and the account says so."""
    part = rig.enter()
    rig.manual(part, part.decide_by + 1)
    told = rig.gate(cause=mcu.GateCause.DECIDED_REJECT, sequence=BY_HAND | 1)

    assert [(1, 0)] == orders(rig)
    assert (Cause.LATE, Disposition.ACCEPT) == (told.cause, told.disposition)


def test_a_persons_reject_is_his(rig: Rig) -> None:
    """The account names the person's decision, in the reject lane too."""
    rig.manual(rig.enter(), accept=False)
    told = rig.gate(cause=mcu.GateCause.DECIDED_REJECT, sequence=BY_HAND | 1)

    assert [(1, 0)] == orders(rig)
    assert (Lane.REJECT, Cause.OPERATOR, Disposition.REJECT) == (told.lane, told.cause, told.disposition)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((True, False), [(1, 1), (1, 0)]),
        ((False, True), [(1, 0)]),
        ((True, True), [(1, 1)]),
        ((False, False), [(1, 0)]),
    ],
)
def test_only_towards_reject_may_a_person_change_his_mind(
    rig: Rig, words: tuple[bool, ...], expected: list[tuple[int, int]]
) -> None:
    """A reject after an accept wins; an accept after a reject is none."""
    part = rig.enter()
    for accept in words:
        rig.manual(part, accept=accept)

    assert expected == orders(rig)


def test_a_doubled_word_acts_once(rig: Rig) -> None:
    """The bus may double a message; its id tells."""
    part = rig.enter()
    rig.manual(part, verdict_id="same")
    rig.manual(part, verdict_id="same", accept=False)

    assert [(1, 1)] == orders(rig)


@pytest.mark.parametrize("part", [PartId(BOOT, 2), PartId(BOOT + 1, 1)])
def test_a_word_about_another_part_does_not_open(rig: Rig, part: PartId) -> None:
    """Neither a part of another boot with the same number, nor one that was never seen."""
    rig.manual(rig.enter(), part=part)

    assert [] == orders(rig)


def test_a_part_known_too_late_is_never_accepted(rig: Rig) -> None:
    """A part out of the microcontroller's memory is accounted for; no person's word can help it."""
    rig.now = BEGIN + S
    rig.tell(mcu.PartEvent(1, 1, 1000, BEGIN // 1000))
    rig.belt(1000)
    rig.belt(1000, BEGIN + 2 * S)
    rig.manual(replace(rig.enter(2), part=PartId(BOOT, 1)))

    assert [(1, 0)] == orders(rig)


def test_the_plc_reads_a_persons_pass_and_holds_back_what_it_cannot_take() -> None:
    """In parallel mode the result carries the manual decision; a PLC that is not ready rejects all the same."""
    rig = ready(Rig(plc_required=True, authority=HAND).connect())
    rig.manual(rig.enter())
    rig.gate(lane=mcu.Lane.ACCEPT, cause=mcu.GateCause.ACCEPTED, sequence=BY_HAND | 1)
    shown = unpack_status(rig.all(StatusBlock)[-1].words)
    unready = Rig(plc_required=True, authority=HAND).connect()
    unready.manual(unready.enter())
    told = unready.gate(cause=mcu.GateCause.DECIDED_REJECT, sequence=BY_HAND | 1)

    assert (StatusBit.PASS, 12) == (shown.bits & (StatusBit.PASS | StatusBit.REJECT), shown.cause)
    assert [(1, 0)] == orders(unready)
    assert (Cause.PLC_NOT_READY, Disposition.ACCEPT) == (told.cause, told.disposition)


def test_people_need_no_judge() -> None:
    """Only where the model decides must it be ready before the gate is armed."""

    def armed(authority_: object) -> bool:
        rig = Rig(authority=authority_).connect(state=mcu.State.CONFIGURED)
        rig.tell(health_of("acquire@top"), topic=STATUS + "acquire@top")
        rig.tell(stats(mcu.State.CONFIGURED, rig.node._configure.crc))
        return bool(rig.all(mcu.Arm))

    assert [True, False] == [armed(HAND), armed(MODEL)]


def test_without_a_proof_people_decide() -> None:
    """The safe authority is the default."""

    assert isinstance(authority(None), HandDecides)
    assert MODEL.primary == authority(MODEL.primary).primary


# ---- primary mode ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["verdict", "manual"])
def test_an_objection_in_time_rejects(first: str) -> None:
    """In primary mode a person's reject wins over the model's ACCEPT, whichever comes first."""
    rig = Rig().connect()
    part = rig.enter()
    for what in (first, "manual" if first == "verdict" else "verdict"):
        rig.verdict(part) if what == "verdict" else rig.manual(part, accept=False)
    told = rig.gate(cause=mcu.GateCause.DECIDED_REJECT, sequence=BY_HAND | 1)

    assert (1, 0) == orders(rig)[-1]
    assert (Cause.OPERATOR, Disposition.REJECT, 0) == (told.cause, told.disposition, told.verdict_sequence)


@pytest.mark.parametrize("disposition", [None, *Disposition])
def test_a_persons_accept_opens_nothing_in_primary_mode(disposition: Disposition | None) -> None:
    """Whatever the model said or did not say, a person cannot open the gate for it."""
    plain, spoken = Rig().connect(), Rig().connect()
    for rig in (plain, spoken):
        part = rig.enter()
        if rig is spoken:
            rig.manual(part)
        if disposition is not None:
            rig.verdict(part, disposition=disposition)
        if rig is spoken:
            rig.manual(part)

    assert orders(plain) == orders(spoken)
    assert [] == spoken.all(HandActuation)


def test_an_objection_that_the_gate_did_not_hear_leaves_the_account_true() -> None:
    """A reject lost on the wire: the gate opened on the ACCEPT, and says so."""
    rig = Rig().connect()
    part = rig.enter()
    rig.verdict(part)
    rig.manual(part, accept=False)
    told = rig.gate(lane=mcu.Lane.ACCEPT, cause=mcu.GateCause.ACCEPTED, sequence=41)

    assert (Cause.ACCEPTED, Disposition.ACCEPT, 41) == (told.cause, told.disposition, told.verdict_sequence)
    assert [] == rig.all(Alarm)


# ---- behind the gate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [HAND, MODEL])
@pytest.mark.parametrize("accept", [True, False])
def test_a_word_behind_the_gate_is_a_hands_act(who: object, accept: bool) -> None:
    """A part that was held back is put by hand: one fact per word, and the gate's own stays what it is."""
    rig = Rig(authority=who).connect()
    part = rig.enter()
    rig.gate()
    rig.manual(part, verdict_id="w", accept=accept)
    rig.manual(part, verdict_id="w", accept=accept)
    told = rig.all(HandActuation)

    lane = Lane.ACCEPT if accept else Lane.REJECT
    assert [(part.part, lane, Cause.OPERATOR, "w", "op-1")] == [
        (one.part, one.lane, one.cause, one.verdict_id, one.person) for one in told
    ]
    assert len(rig.all(Actuation)) == 1
    assert [] == rig.all(mcu.Decision)


def test_a_word_that_decided_at_the_gate_is_no_hands_act(rig: Rig) -> None:
    """A double that comes behind the gate is the word that opened it."""
    part = rig.enter()
    rig.manual(part, verdict_id="w")
    rig.gate(lane=mcu.Lane.ACCEPT, cause=mcu.GateCause.ACCEPTED, sequence=BY_HAND | 1)
    rig.manual(part, verdict_id="w")

    assert [] == rig.all(HandActuation)


def test_a_word_about_an_earlier_boot_is_a_hands_act(rig: Rig) -> None:
    """The parts of a microcontroller that restarted are behind its gate for good."""
    part = rig.enter()
    rig.connect(BOOT + 1)
    rig.manual(part)

    assert [part.part] == [one.part for one in rig.all(HandActuation)]
    assert [] == orders(rig)


def test_a_word_waits_until_its_part_is_known() -> None:
    """A `line` that has just begun knows no parts: the word is kept until the microcontroller told what it knows."""
    rig = Rig(authority=HAND)
    early = rig.manual(Rig(authority=HAND).connect().enter(3))
    rig.connect()
    connected = rig.all(HandActuation)
    rig.gate(2)
    passed = rig.all(HandActuation)
    rig.gate(3)

    assert ([], [], []) == (early, connected, passed)
    assert [PartId(BOOT, 3)] == [one.part for one in rig.all(HandActuation)]


def test_a_word_that_overtook_its_part_decides_it(rig: Rig) -> None:
    """Two writers' messages may overtake each other."""
    other = Rig(authority=HAND).connect()
    rig.manual(other.enter(1))
    before = orders(rig)
    rig.enter(1)

    assert ([], [(1, 1)]) == (before, orders(rig))


def test_words_about_parts_that_never_come_are_bounded(rig: Rig) -> None:
    """Whoever invents parts fills no memory."""
    part = rig.enter()
    for number in range(2, 4 * WAITING):
        rig.manual(part, part=PartId(BOOT, number))

    assert len(rig.node._hands._waiting) == WAITING


@pytest.mark.parametrize("topic", [VERDICT, SEALED, STATUS + "record"])
def test_a_persons_word_is_taken_on_its_own_topic_alone(rig: Rig, topic: str) -> None:
    """What is written on another topic is not `record`'s."""
    part = rig.enter()
    rig.manual(part, topic=topic)

    assert [] == orders(rig)
