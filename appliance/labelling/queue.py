"""Say which work a person gets next; pure.

Parts that wait for a decision come first. Work that only makes labels is offered to a person for whom no part waits:
known answers that are due, then labels that contradict each other or were unsure, then blind audits.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from appliance.decision.review_queue import Item, for_operators, for_quality, shown_as
from appliance.labelling.draws import audit_draws, hides_prediction, known_answers_due, shuffled_rank
from appliance.labelling.standing import Standing, State, by_part, countable, standing
from appliance.schema.clocks import UtcNs
from appliance.schema.label import Label, LabelLevel, Purpose
from appliance.schema.part import PartId
from appliance.schema.review import Occasion

BLINDED = frozenset({Occasion.SAMPLE, Occasion.PARALLEL})
"""Occasions whose prediction is always hidden: of a random sample the model said good, which would tell it from reviews
and lead the person; in parallel mode the person's word is compared with the model's."""


TURNS_BACK = 2
"""A person who errs on a known answer is soon known to have slipped, or not to know the class."""


class Work(Struct, frozen=True):
    """Hold what the station knows of work for people."""

    waiting: tuple[Item, ...]
    """Parts that wait for a decision."""
    labels: tuple[Label, ...]
    """All labels, in the order kept."""
    seeded: frozenset[PartId] = frozenset()
    kept: frozenset[PartId] = frozenset()
    """Labelled parts of which an image is on the disk; nobody can label another again."""


class Task(Struct, frozen=True):
    """Name one piece of work for one person."""

    part: PartId
    purpose: Purpose
    occasion: Occasion
    """As the person may see it: a known answer looks like a review."""
    level: LabelLevel
    """At which it is asked."""
    blind: bool
    """Earlier labels are not shown."""
    prediction_hidden: bool
    since: UtcNs
    """When the part began to wait, or was labelled last."""


def tasks(person: str, level: LabelLevel, work: Work, seed: int) -> list[Task]:
    """Give a person's work, most urgent first. level: the person's; seed: the station's."""
    waiting = _decisions(person, level, work, seed)
    if waiting:
        return waiting
    busy = {item.part for item in work.waiting} | work.seeded
    labels = {part: those for part, those in by_part(work.labels).items() if part not in busy and part in work.kept}
    standings = {part: standing(those) for part, those in labels.items()}
    unseen = {part: found for part, found in standings.items() if all(one.person != person for one in labels[part])}
    return [
        *_known_answers(person, work, unseen, seed),
        *_disagreements(person, level, standings, seed),
        *_audits(person, work, unseen, seed),
    ]


def next_level(found: Standing) -> LabelLevel | None:
    """Give the level at which a part in conflict or unsure is asked next; None: no level is above, or none is needed.

    Experts who contradict each other are settled by another expert.
    """
    if found.state is State.CONFLICT:
        return LabelLevel(min(found.level + 1, LabelLevel.EXPERT))
    if found.state is State.UNSURE:
        above = max(int(label.level) for label in found.counted) + 1
        return LabelLevel(above) if above <= LabelLevel.EXPERT else None
    return None


def is_known_answer(found: Standing) -> bool:
    """Say whether a part's class is sure enough to measure people by: settled, or agreed with a quality engineer."""
    return found.state is State.SETTLED or (found.state is State.AGREED and found.level >= LabelLevel.CLASSIFY)


def known_turns(own: Iterable[Label]) -> Counter[str]:
    """Count a person's known answers by class; a wrong one takes two turns back, so that the class comes again soon."""
    turns: Counter[str] = Counter()
    for label in own:
        if not countable(label):
            truth = label.old or label.kind
            turns[truth] += 1 if label.kind == truth else 1 - TURNS_BACK
    return turns


def _decisions(person: str, level: LabelLevel, work: Work, seed: int) -> list[Task]:
    choose = for_quality if level >= LabelLevel.CLASSIFY else for_operators
    return [
        Task(
            item.part,
            Purpose.REVIEW,
            shown_as(item),
            LabelLevel.CLASSIFY if item.needs_quality else LabelLevel.CONFIRM,
            blind=True,
            prediction_hidden=item.occasion in BLINDED or hides_prediction(seed, item.part, person),
            since=item.since,
        )
        for item in choose(work.waiting)
        if not (item.asked_by and person in item.people)
    ]


def _known_answers(person: str, work: Work, unseen: Mapping[PartId, Standing], seed: int) -> Iterator[Task]:
    """Give those due, the class first that has had fewest turns, within a class in an order that nobody can guess."""
    own = [label for label in work.labels if label.person == person]
    given = sum(not countable(label) for label in own)
    due = known_answers_due(seed, person, len(own) - given, given)
    known = [(part, found) for part, found in unseen.items() if is_known_answer(found)] if due else []
    known.sort(key=lambda one: shuffled_rank(seed, person, str(one[0])))
    turns = known_turns(own)
    ranked = []
    for part, found in known:
        ranked.append((turns[found.kind], shuffled_rank(seed, person, found.kind), part))
        turns[found.kind] += 1
    for _, _, part in sorted(ranked)[:due]:
        since = unseen[part].counted[-1].at
        yield _task(part, Purpose.KNOWN_ANSWER, Occasion.REVIEW, LabelLevel.CONFIRM, since, person, seed)


def _disagreements(person: str, level: LabelLevel, standings: Mapping[PartId, Standing], seed: int) -> Iterator[Task]:
    for part, found in standings.items():
        asked = next_level(found)
        if asked is not None and level >= asked and all(label.person != person for label in found.counted):
            since = found.counted[-1].at
            yield _task(part, Purpose.DISAGREEMENT, Occasion.REINSPECTION, asked, since, person, seed)


def _audits(person: str, work: Work, unseen: Mapping[PartId, Standing], seed: int) -> Iterator[Task]:
    """Give the labels drawn that nobody else has confirmed or contradicted yet, oldest first."""
    offered: set[PartId] = set()
    for draw in audit_draws((label for label in work.labels if label.part not in work.seeded), seed):
        found = unseen.get(draw.part)
        if draw.drawn and draw.part not in offered and found is not None and found.state is State.SINGLE:
            offered.add(draw.part)
            yield _task(draw.part, Purpose.AUDIT, Occasion.REINSPECTION, LabelLevel.CONFIRM, draw.at, person, seed)


def _task(
    part: PartId, purpose: Purpose, occasion: Occasion, level: LabelLevel, since: UtcNs, person: str, seed: int
) -> Task:
    """Give label-only work; who settles a disagreement sees what the others said."""
    blind = purpose is not Purpose.DISAGREEMENT
    return Task(part, purpose, occasion, level, blind, hides_prediction(seed, part, person), since)
