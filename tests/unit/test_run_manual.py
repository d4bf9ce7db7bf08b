"""A decision at the line: asked for the oldest part, sent once, followed until the gate has acted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, UtcNs
from appliance.schema.command import Accepted, RefusedReply
from appliance.schema.label import Label, LabelLevel
from appliance.schema.part import PartEntered, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.verdict import Disposition
from hmi.fold import StationFold
from hmi.screens.run.manual import Fate, answered, asked, decide, followed, left_s
from hmi.screens.run.stagehand import Stagehand
from hmi.state import StationState

PARTS = tuple(PartId(7, number) for number in range(1, 5))


def entered(part: PartId, *, replayed: bool = False) -> PartEntered:
    at = HostNs(part.number * 100 * MS)
    order = (at, 1000, McuTicks(0), EncoderCounts(0), HostNs(at + 900 * MS), ("top",))
    return PartEntered(part, *order, replayed=replayed)


def gate(part: PartId, lane: Lane = Lane.REJECT, cause: Cause = Cause.NO_VERDICT) -> Actuation:
    return Actuation(part, lane, cause, Disposition.NO_VERDICT, 0, HostNs(0), McuTicks(0), EncoderCounts(0))


def manual(part: PartId) -> ManualVerdict:
    rest = {"prediction_shown": False, "decided": HostNs(0), "at": UtcNs(0)}
    return ManualVerdict(f"v{part}", part, True, "good", "o-1", Occasion.PARALLEL, 2.0, **rest)  # type: ignore[arg-type]


def state(*messages: object, mode: Mode = Mode.PARALLEL) -> StationState:
    fold = StationFold((), HostNs(0), 5 * MS)
    fold.run_recipe(mode, "")
    for message in messages:
        fold.hear(message, HostNs(0), UtcNs(0))  # type: ignore[arg-type]
    return fold.at(HostNs(500 * MS), UtcNs(0))


def label(part: PartId, kind: str = "good", name: str = "l1", person: str = "o-1") -> Label:
    return Label(name, part, LabelLevel.CONFIRM, person, kind, 2.0, prediction_shown=False, at=UtcNs(0))


deeds = st.lists(
    st.tuples(st.sampled_from(("gate", "manual", "decide", "refuse")), st.sampled_from(PARTS)), max_size=12
)


@given(st.permutations(PARTS), deeds)
def test_the_oldest_open_part_is_asked_about(order: list[PartId], story: list[tuple[str, PartId]]) -> None:
    """Those that nobody has decided and the gate has not taken, in the order in which they came."""
    messages: list[object] = [entered(part) for part in order]
    decisions, taken = {}, set()
    for deed, part in story:
        if deed in {"gate", "manual"}:
            messages.append(gate(part) if deed == "gate" else manual(part))
            taken.add(part)
        else:
            decisions, one = decide(decisions, label(part))
            reply = RefusedReply("no") if deed == "refuse" else Accepted()
            decisions = answered(decisions, one.label.label_id, reply)
    open_ = [part for part in order if part not in taken]
    done = {part for part, one in decisions.items() if one.fate is not Fate.REFUSED}

    assert [part for part in open_ if part not in done] == [one.part for one in asked(state(*messages), decisions)]


def test_nobody_is_asked_in_primary_mode_or_about_the_past() -> None:
    """The model decides there; a part read from the gate's memory can be decided no more."""
    assert () == asked(state(entered(PARTS[0]), mode=Mode.PRIMARY), {})
    assert () == asked(state(entered(PARTS[0], replayed=True)), {})


def test_a_lost_answer_is_sent_again_as_it_was() -> None:
    """The same word of the same person keeps its label; another word, or another person's, is a new one."""
    decisions, first = decide({}, label(PARTS[0]))
    lost = answered(decisions, "l1", RefusedReply("none came", again=True))

    assert first.label == decide(lost, label(PARTS[0], name="l2"))[1].label
    assert "l2" == decide(lost, label(PARTS[0], "stain", "l2"))[1].label.label_id
    assert "l2" == decide(lost, label(PARTS[0], name="l2", person="o-2"))[1].label.label_id
    assert "l2" == decide(decisions, label(PARTS[0], name="l2"))[1].label.label_id


@pytest.mark.parametrize(
    ("kind", "act", "expected"),
    [
        ("good", gate(PARTS[0]), Fate.LATE),
        ("good", gate(PARTS[0], Lane.ACCEPT, Cause.OPERATOR), Fate.TAKEN),
        ("good", gate(PARTS[0], Lane.REJECT, Cause.OPERATOR), Fate.TAKEN),
        ("stain", gate(PARTS[0]), Fate.TAKEN),
        ("good", None, Fate.TAKEN),
    ],
)
def test_only_an_accept_that_the_gate_did_not_wait_for_is_late(
    kind: str, act: Actuation | None, expected: Fate
) -> None:
    """A reject agrees with what the gate does anyway; what a person ordered was in time."""
    decisions, one = decide({}, label(PARTS[0], kind))
    taken = answered(decisions, one.label.label_id, Accepted())
    seen = state(entered(PARTS[0]), *([act] if act is not None else []))

    assert expected is followed(taken, seen)[PARTS[0]].fate


def test_answers_to_nobodys_decision_change_nothing() -> None:
    """A late answer to what is forgotten is no answer to anything else."""
    decisions, _ = decide({}, label(PARTS[0]))

    assert decisions == answered(decisions, "other", Accepted())
    assert 64 == len(_many(80))


def _many(count: int) -> object:
    decisions: object = {}
    for number in range(count):
        decisions, _ = decide(decisions, label(PartId(1, number)))  # type: ignore[arg-type]
    return decisions


def test_the_time_left_is_that_of_the_belt_at_full_speed() -> None:
    """Counted to the instant at which the decision closes, never below nothing."""
    (seen,) = asked(state(entered(PARTS[0])), {})

    assert (0.5, 0.0) == (left_s(seen, HostNs(500 * MS)), left_s(seen, HostNs(5000 * MS)))
    assert 0.0 == left_s(replace(seen, entered=None), HostNs(0))


sources = st.sampled_from(("live:top", "part:a/top", "part:b/top"))
turns = st.lists(
    st.one_of(st.tuples(st.just("aim"), sources), st.tuples(st.sampled_from(("stand", "lack")), st.integers(0, 1))),
    max_size=30,
)


@given(turns)
def test_the_picture_in_front_never_blanks(story: list[tuple[str, object]]) -> None:
    """Once one stands there is always one; what is wanted comes forward when it stands, and nothing else does."""
    stage, wanted = Stagehand(), ""
    for deed, what in story:
        before = stage.standing
        if deed == "aim":
            wanted = str(what)
            stage.aim(wanted)

            assert before == stage.standing
        else:
            place = int(str(what))
            came = stage.sources[place]
            moved = stage.stands(place, came) if deed == "stand" else stage.lacks(place, came)

            assert moved is (came != "")
            assert (before if not moved else came if deed == "stand" else "") == stage.standing
        assert stage.standing in {"", stage.shown}
        assert wanted in {*stage.sources, ""}
    assert not Stagehand().stands(0, "")


def test_a_picture_that_is_not_wanted_any_more_does_not_come_forward() -> None:
    """What stands too late is somebody else's picture by then."""
    stage = Stagehand()
    stage.aim("part:a/top")
    stage.stands(0, "part:a/top")
    stage.aim("part:b/top")
    stage.aim("part:c/top")

    assert (False, "part:a/top") == (stage.stands(1, "part:b/top"), stage.standing)
    assert (True, "part:c/top") == (stage.stands(1, "part:c/top"), stage.standing)
