"""Over any history of labels: what is disputed never trains, work fits the person, checks are another's word."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision.review_queue import Item
from appliance.labelling.audits import audit, independent
from appliance.labelling.draws import audit_draws
from appliance.labelling.error_matrix import checks, error_matrix
from appliance.labelling.queue import Work, next_level, tasks
from appliance.labelling.standing import TRAINABLE, State, by_part, countable, standing
from appliance.learning.agreement import agreement, krippendorff_alpha
from appliance.schema.clocks import UtcNs
from appliance.schema.label import UNSURE, Label, LabelLevel, Purpose
from appliance.schema.review import Change, Occasion
from tests.unit.labelling_rig import UTC, label, part

SEED = 7
KINDS = ("good", "scratch", "dent", UNSURE)
PEOPLE = ("op-1", "op-2", "qe-1", "qe-2")
SAID = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from(PEOPLE),
    st.integers(1, 5),
    st.sampled_from([Purpose.REVIEW, *Purpose]),
    st.integers(1, 3),
    st.integers(0, 6),
)
HISTORIES = st.lists(SAID, max_size=20)
FEW = settings(deadline=None, max_examples=40)


def labels_of(history: list[tuple]) -> list[Label]:
    """Make labels whose `previous` names one of the last labels of the part, as `record` fills it in."""
    labels: list[Label] = []
    for number, (kind, person, of, purpose, level, back) in enumerate(history):
        earlier = [one.label_id for one in labels if one.part == part(of)]
        previous = earlier[-min(back, len(earlier))] if earlier and back else ""
        labels.append(
            label(f"l{number}", kind, person, of=of, purpose=purpose, level=level, at=number, previous=previous)
        )
    return labels


@FEW
@given(HISTORIES)
def test_what_may_train_is_one_class_that_nobody_contradicts(history: list[tuple]) -> None:
    """The class is said by every counted label that says one; the label that stands is one of them."""
    for those in by_part(labels_of(history)).values():
        found = standing(those)
        definite = [one for one in found.counted if one.kind != UNSURE]

        assert (found.state in TRAINABLE) == bool(found.kind) == bool(found.label_id)
        if found.kind:
            assert {found.kind} == {one.kind for one in definite}
            assert found.label_id in {one.label_id for one in definite}
            assert UNSURE != found.counted[-1].kind
        assert (found.state is State.CONFLICT) == (len({one.kind for one in definite}) > 1)


@FEW
@given(HISTORIES, st.data())
def test_known_answers_change_nothing(history: list[tuple], data: st.DataObject) -> None:
    """However many are asked, wherever they fall."""
    labels = [one for one in labels_of(history) if one.part == part(1)]
    place = data.draw(st.integers(0, len(labels)))
    measured = label(
        "k", data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(PEOPLE)), purpose=Purpose.KNOWN_ANSWER
    )

    assert standing(labels) == standing([*labels[:place], measured, *labels[place:]])


@FEW
@given(HISTORIES, st.sampled_from(KINDS[:3]))
def test_a_settled_dispute_stands_until_somebody_contradicts(history: list[tuple], kind: str) -> None:
    """Whatever was said before."""
    labels = [one for one in labels_of(history) if one.part == part(1)]
    settled = standing([*labels, label("s", kind, "x", purpose=Purpose.DISAGREEMENT, level=3)])

    assert (State.SETTLED, kind, "s") == (settled.state, settled.kind, settled.label_id)


@FEW
@given(
    HISTORIES,
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from(list(Occasion))), max_size=3, unique_by=lambda one: one[0]),
    st.sets(st.integers(1, 6)),
    st.sampled_from((*PEOPLE, "new")),
    st.sampled_from(list(LabelLevel)),
)
def test_work_fits_the_person(
    history: list[tuple], waiting: list[tuple], seeded: set[int], person: str, level: LabelLevel
) -> None:
    """Decisions alone while a part waits; nothing above the level, of one's own, seeded, or twice."""
    labels = labels_of(history)
    items = tuple(
        Item(part(number), occasion, occasion, Change.OPENED, UtcNs(UTC + number), 1) for number, occasion in waiting
    )
    given_work = Work(items, tuple(labels), frozenset(map(part, seeded)), frozenset(map(part, range(1, 6))))
    found = tasks(person, level, given_work, SEED)
    own = {one.part for one in labels if one.person == person}

    assert len({one.part for one in found}) == len(found)
    assert all(one.level <= level for one in found)
    if any(level >= LabelLevel.CLASSIFY or not item.needs_quality for item in items):
        assert {Purpose.REVIEW} == {one.purpose for one in found}
        assert {item.part for item in items} >= {one.part for one in found}
        return
    assert not {Purpose.REVIEW, Purpose.CORRECTION} & {one.purpose for one in found}
    assert not {one.part for one in found} & ({item.part for item in items} | set(map(part, seeded)))
    for one in found:
        those = [each for each in labels if each.part == one.part]
        state = standing(those)
        if one.purpose is Purpose.DISAGREEMENT:
            assert next_level(state) == one.level
            assert person not in {each.person for each in state.counted}
            contradicting = {each.level for each in state.counted if each.kind != UNSURE}
            assert one.level > max(contradicting, default=0) or one.level is LabelLevel.EXPERT
        else:
            assert one.part not in own
            assert one.blind
            assert state.state in TRAINABLE


@FEW
@given(HISTORIES)
def test_draws_are_the_same_however_far_the_history_goes(history: list[tuple]) -> None:
    """A label's draw depends on what came before alone, and states a probability and a weight."""
    labels = labels_of(history)
    whole = audit_draws(labels, SEED)
    for end in range(len(labels) + 1):
        part_of = audit_draws(labels[:end], SEED)

        assert whole[: len(part_of)] == part_of
    assert all(0 < one.weight <= 1 and 0 < one.probability <= 1 for one in whole)
    assert all(one.drawn for one in whole if one.probability == 1)


@FEW
@given(HISTORIES)
def test_every_check_is_somebody_elses_word(history: list[tuple]) -> None:
    """Nobody's label is right because he says so; each answer is checked once; shares of a class sum to one."""
    labels = labels_of(history)
    groups = by_part(labels)
    found = checks(labels, SEED)
    by_id = {one.label_id: one for one in labels}
    sums: dict[tuple[str, str], int] = {}
    for cell in error_matrix(found):
        sums[cell.person, cell.truth] = sums.get((cell.person, cell.truth), 0) + cell.share.k
    totals = {(cell.person, cell.truth): cell.share.n for cell in error_matrix(found)}

    assert len({one.label_id for one in found}) == len(found)
    assert totals == sums
    for one in found:
        said = by_id[one.label_id]
        if one.settled and countable(said):
            others = {each.kind for each in groups[said.part] if each.person != said.person and countable(each)}
            assert one.truth in others
        assert one.settled or not one.is_wrong


@FEW
@given(HISTORIES)
def test_the_audit_never_counts_more_than_it_drew(history: list[tuple]) -> None:
    """Done of drawn of labels, overall and in each stratum."""
    found = audit(labels_of(history), SEED)

    assert found.labels >= found.drawn >= found.done == found.agreed.n
    assert (found.labels, found.drawn, found.done) == (
        sum(one.labels for one in found.strata), sum(one.drawn for one in found.strata),
        sum(one.done for one in found.strata),
    )  # fmt: skip


@FEW
@given(HISTORIES, st.permutations(KINDS[:3]))
def test_agreement_does_not_hang_on_names_or_order(history: list[tuple], renamed: list[str]) -> None:
    """Classes by other names, people and parts in another order: the same coefficients."""
    told = independent(labels_of(history))
    names = dict(zip(KINDS[:3], renamed, strict=True)) | {None: None}
    other = [tuple(names[kind] for kind in reversed(row)) for row in reversed(told.table)]
    one, two = krippendorff_alpha(told.table), krippendorff_alpha(other)

    assert (one is None) == (two is None)
    assert one is None or abs(one - (two or 0)) < 1e-9
    assert one is None or one <= 1
    assert agreement(told.table).observed == agreement(other).observed
