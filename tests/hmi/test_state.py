"""What the touchscreen knows is a fold of messages, and holds nothing that people may not see yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, McuTicks, S, UtcNs
from appliance.schema.finding import Finding, ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.verdict import Disposition, InspectionResult, Reason, StageTimes, Verdict
from hmi.fold import ALARMS, PARTS, StationFold
from hmi.state import Baseline, Counts, Presence, ReviewLoad

BEGIN = HostNs(100 * S)
UTC = UtcNs(1_800_000_000 * S)
LOAD = ReviewLoad(0, 0, 0, 200, BEGIN)


def fold_of(mode=Mode.PRIMARY, units=("judge", "line")):
    fold = StationFold(units, BEGIN, 5 * MS)
    fold.run_recipe(mode, "aa")
    return fold


def part(number, boot=7):
    return PartId(boot, number)


def entered(number):
    return PartEntered(part(number), BEGIN, 0, McuTicks(0), EncoderCounts(0), HostNs(BEGIN + S), ("top",))


def exposed(number, at=BEGIN):
    return PartExposed(part(number), "top", number, at, 0, McuTicks(0), EncoderCounts(0))


def frame(number, at=BEGIN):
    ref = SlotRef(3, number % 8, 2)
    counts = FrameCounts()
    return FrameReady("top", ref, number, CameraNs(0), at, 0, None, at, 8, 8, PixelFormat.MONO8, 900.0, 0.0, 0, counts)


def result(number, score=0.5, kinds=()):
    findings = tuple(Finding(kind, score, score) for kind in kinds)
    view = ViewResult("top", 3, number, score, 0.1, findings)
    return InspectionResult(part(number), (view,), "sha256:1", "openvino", "f32", StageTimes(), 0, BEGIN)


def verdict(number, disposition=Disposition.ACCEPT, reasons=(Reason.WITHIN_LIMITS,), sampling=0.01):
    return Verdict(part(number), disposition, reasons, BEGIN, HostNs(BEGIN + S), number, sampling)


def actuation(number, lane=Lane.ACCEPT, cause=Cause.ACCEPTED, disposition=Disposition.ACCEPT, boot=7):
    return Actuation(part(number, boot), lane, cause, disposition, number, BEGIN, McuTicks(0), EncoderCounts(0))


def manual(number, *, accept=True):
    kind = "good" if accept else "scratch"
    return ManualVerdict("m", part(number), accept, kind, "o-1", Occasion.REVIEW, 2.0, False, BEGIN, UTC)


def line(digest="aa"):
    return LineState(BEGIN, JobMode.CONTINUOUS, "acquiring", ready=True, recipe_sha256=digest)


def state_of(fold, *messages, now=BEGIN):
    for message in messages:
        fold.hear(message, now, UTC)
    return fold.at(now, UTC)


model_answers = st.tuples(
    st.sampled_from(list(Disposition)),
    st.lists(st.sampled_from(list(Reason)), min_size=1, max_size=3).map(tuple),
    st.floats(0, 1),
    st.lists(st.sampled_from(["scratch", "dent"]), max_size=2).map(tuple),
)


def said(number, answer):
    """Give everything through which a model's answer could show."""
    disposition, reasons, score, kinds = answer
    cause = Cause.DECIDED_REJECT if disposition is not Disposition.ACCEPT else Cause.ACCEPTED
    return [
        result(number, score, kinds),
        verdict(number, disposition, reasons),
        actuation(number, Lane.REJECT, cause, disposition),
    ]


@given(st.data(), model_answers, model_answers, st.sampled_from([Mode.PARALLEL, None]))
def test_nothing_of_the_model_shows_before_a_person_has_decided(data, one, other, mode):
    """In parallel mode, or in a mode not known, the state is the same whatever the model says and in whatever order."""
    around = [entered(1), exposed(1), frame(1), line("aa" if mode else "bb")]
    order = data.draw(st.permutations(range(len(around) + 3)))
    states = []
    for answer in (one, other):
        messages = [*around, *said(1, answer)]
        states.append(
            state_of(fold_of(mode or Mode.PRIMARY), line("aa" if mode else "bb"), *(messages[i] for i in order))
        )

    assert states[0] == states[1]
    assert (None, None, True) == (states[0].parts[0].verdict, states[0].parts[0].result, states[0].parts[0].withheld)


def test_after_the_decision_the_model_is_shown():
    """Once a person has decided, nothing is withheld."""
    answer = (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,), 0.9, ("dent",))
    seen = state_of(fold_of(Mode.PARALLEL), line(), *said(1, answer), manual(1)).parts[0]

    assert (Disposition.REJECT, False, 0.9) == (seen.disposition, seen.withheld, seen.result.views[0].score)


@given(st.permutations(range(3)), st.floats(0, 1), st.floats(0, 1))
def test_a_random_sample_looks_like_any_review(order, one, other):
    """Until a person has decided, a sample and a review of the model's doubt cannot be told apart."""
    states = []
    for reason, score, sampling in ((Reason.RANDOM_SAMPLE, one, 0.01), (Reason.BETWEEN_LIMITS, other, 0.0)):
        review = verdict(1, Disposition.REVIEW, (reason,), sampling)
        messages = [entered(1), result(1, score), review]
        states.append(state_of(fold_of(), *(messages[i] for i in order)))

    assert states[0] == states[1]
    assert (Disposition.REVIEW, None, True) == (
        states[0].parts[0].disposition,
        states[0].parts[0].result,
        states[0].parts[0].withheld,
    )


def test_a_decided_review_shows_why():
    """Who has decided may see what the model saw."""
    messages = [result(1, 0.5), verdict(1, Disposition.REVIEW, (Reason.RANDOM_SAMPLE,))]
    seen = state_of(fold_of(), *messages, manual(1)).parts[0]

    assert ((Reason.RANDOM_SAMPLE,), 0.5) == (seen.verdict.reasons, seen.result.views[0].score)


def test_a_result_waits_for_its_verdict():
    """A result that comes first could belong to a sample; it is not shown before the verdict says otherwise."""
    fold = fold_of()
    before = state_of(fold, result(1)).parts[0].result
    after = state_of(fold, verdict(1)).parts[0].result

    assert (None, 0.5) == (before, after.views[0].score)


@pytest.mark.parametrize(
    ("silent_ms", "presence"),
    [(0, Presence.PRESENT), (2999, Presence.PRESENT), (3000, Presence.ABSENT), (60_000, Presence.ABSENT)],
)
def test_a_service_is_absent_after_three_silent_seconds(silent_ms, presence):
    """A service that says nothing for 3 s is shown as absent, by name; a word from it ends that."""
    fold = fold_of()
    fold.hear(Health("judge", Condition.OK, (), 1, BEGIN), BEGIN, UTC)
    now = HostNs(BEGIN + silent_ms * MS)
    state = fold.at(now, UTC)
    back = state_of(fold, Health("judge", Condition.OK, (), 2, now), now=now)

    assert (presence, Presence.PRESENT) == (state.services["judge"].presence, back.services["judge"].presence)
    assert (presence is Presence.ABSENT) == ("judge" in state.absent)


def test_a_service_never_heard_is_awaited_then_absent():
    """What the station needs is missed although it never spoke."""
    fold = fold_of()

    assert [Presence.AWAITED, Presence.ABSENT] == [
        fold.at(HostNs(BEGIN + ms * MS), UTC).services["judge"].presence for ms in (2999, 3000)
    ]


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (1000, False), (1001, True)])
def test_a_picture_older_than_a_second_is_stale(age_ms, stale):
    """A live picture is live for one second."""
    fold = fold_of()
    fold.hear(frame(1), BEGIN, UTC)
    state = fold.at(HostNs(BEGIN + age_ms * MS), UTC)

    assert (stale, True) == (state.frame_stale("top"), state.frame_stale("side"))


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (2000, False), (2001, True)])
def test_a_line_state_is_stale_a_second_after_the_next_was_due(age_ms, stale):
    """`line.state` comes once a second; when it is a second late it is stale, and one never heard is too."""
    fold = fold_of()
    before = fold.at(BEGIN, UTC).line_stale
    fold.hear(line(), BEGIN, UTC)

    assert (True, stale) == (before, fold.at(HostNs(BEGIN + age_ms * MS), UTC).line_stale)


def test_counts_are_those_of_the_store_and_what_came_after():
    """A part counts once, whether the store held it already, or it was heard twice."""
    fold = fold_of()
    base = Baseline(Counts(UTC, 10, 9, {Cause.ACCEPTED: 9}, {}), {7: 10})
    early = [actuation(10), actuation(11, Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REJECT)]
    before = state_of(fold, *early).counts
    fold.take_baseline(base, LOAD)
    after = state_of(fold, actuation(10), actuation(11), actuation(12), actuation(1, boot=8)).counts

    assert (2, 1) == (before.parts, before.accepted)
    assert (13, 11, 2) == (after.parts, after.accepted, after.rejected)


def test_a_later_baseline_replaces_what_was_heard():
    """What the store holds by then is not counted again."""
    fold = fold_of()
    state_of(fold, actuation(1), actuation(2))
    fold.take_baseline(Baseline(Counts(UTC, 2, 2), {7: 2}), LOAD)

    assert fold.at(BEGIN, UTC).counts.parts == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_part_has_its_frame_without_a_result(order):
    """In parallel mode no result names the frame: it is the one exposed when the part's trigger was sent."""
    messages = [exposed(1, HostNs(BEGIN + 50 * MS)), frame(4, HostNs(BEGIN + 52 * MS))]
    others = [frame(3, HostNs(BEGIN - 50 * MS)), frame(5, HostNs(BEGIN + 150 * MS))]
    seen = state_of(fold_of(Mode.PARALLEL), *others, *(messages[i] for i in order)).parts[0]

    assert seen.frames["top"].frame_id == 4


def test_a_frame_that_fits_two_ways_is_nobodys():
    """Two frames at one instant prove nothing."""
    messages = [frame(3), frame(4), exposed(1)]

    assert {} == state_of(fold_of(), *messages).parts[0].frames


def test_a_result_names_its_frames():
    """The judge's pairing stands above this one."""
    seen = state_of(fold_of(), exposed(1), frame(3), frame(4, HostNs(BEGIN + S)), result(4), verdict(4)).part(part(4))

    assert seen.frames["top"].frame_id == 4


def test_another_recipe_on_the_line_hides_the_mode():
    """While the line runs a recipe that was not read, nobody knows whether people decide."""
    fold = fold_of()

    assert [Mode.PRIMARY, None, Mode.PRIMARY] == [state_of(fold, line(digest)).mode for digest in ("aa", "bb", "aa")]


def test_a_hand_says_where_a_part_lies():
    """The lane of a part is where a person put it last."""
    hand = HandActuation(part(1), Lane.ACCEPT, Cause.OPERATOR, "m", "o-1", BEGIN)
    gate = actuation(1, Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REVIEW)
    seen = state_of(fold_of(), gate, hand).parts[0]

    assert (Lane.ACCEPT, Lane.REJECT) == (seen.lane, seen.actuation.lane)


def test_what_is_held_is_bounded():
    """A day of parts and a flood of alarms leave the newest."""
    fold = fold_of()
    for number in range(PARTS + 50):
        fold.hear(entered(number), BEGIN, UTC)
    for number in range(ALARMS + 50):
        fold.hear(Alarm("line", "late", str(number)), BEGIN, UTC)
    state = fold.at(BEGIN, UTC)

    assert (PARTS, PARTS + 49) == (len(state.parts), state.parts[0].part.number)
    assert (ALARMS, ALARMS + 50) == (len(state.alarms), state.alarms[-1].number)


def test_a_state_already_given_does_not_change():
    """Screens may keep what they were given."""
    fold = fold_of()
    early = state_of(fold, entered(1), exposed(1))
    copy = replace(early, parts=tuple(replace(item, frames=dict(item.frames)) for item in early.parts))
    state_of(fold, frame(1), verdict(1), actuation(1))

    assert copy == early
