"""Hold what each person answered against what proved true, class by class; pure.

Truth comes from another person who looked again, from parts whose class was known before, and from seeded parts. A
label drawn for audit whose part is in dispute speaks for its author until the dispute is settled.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from appliance.labelling.audits import INDEPENDENT
from appliance.labelling.draws import AuditDraw, audit_draws
from appliance.labelling.standing import TRAINABLE, Standing, by_part, countable, standing
from appliance.learning.rates import Rate, rate
from appliance.schema.clocks import UtcNs
from appliance.schema.label import UNSURE, Label


class Source(StrEnum):
    """Say how a person's answer came to be checked."""

    AUDIT = "audit"
    """The label was drawn; its probability is known."""
    KNOWN_ANSWER = "known_answer"
    SEEDED = "seeded"
    OTHER = "other"
    """Somebody happened to look again: nobody knows how likely that was, so no test of a person uses it."""


class Check(Struct, frozen=True):
    """Hold one answer of a person beside the truth."""

    label_id: str
    person: str
    said: str
    truth: str
    """`said` while the part is in dispute."""
    source: Source
    weight: float
    """In a test of the person; 0: none."""
    at: UtcNs
    settled: bool = True
    """False: the part is in dispute, in conflict or unsure."""

    @property
    def is_wrong(self) -> bool:
        """Whether the person said another class."""
        return self.said != self.truth


class Cell(Struct, frozen=True):
    """Count how often a person takes one class for another, or is right."""

    person: str
    truth: str
    said: str
    share: Rate
    """Of the person's checked answers on parts of this class."""


def checks(labels: Iterable[Label], seed: int, seeded_answers: Iterable[tuple[Label, str]] = ()) -> list[Check]:
    """Give every answer whose truth is known or in dispute, oldest first.

    labels: all labels of the station in the order kept, none of a seeded part. seeded_answers: labels of seeded parts,
    each with the class of the seed.
    """
    those = list(labels)
    groups = by_part(those)
    standings = {part: standing(group) for part, group in groups.items()}
    draws = {draw.label_id: draw for draw in audit_draws(those, seed)}
    found = [_seeded(label, kind) for label, kind in seeded_answers if label.kind != UNSURE]
    for label in those:
        check = _check(label, groups[label.part], standings[label.part], draws)
        if check is not None:
            found.append(check)
    return sorted(found, key=lambda check: check.at)


def error_matrix(found: Iterable[Check]) -> list[Cell]:
    """Count settled checks by person, class and answer, exact intervals."""
    counts: Counter[tuple[str, str, str]] = Counter()
    totals: Counter[tuple[str, str]] = Counter()
    for check in found:
        if check.settled:
            counts[check.person, check.truth, check.said] += 1
            totals[check.person, check.truth] += 1
    return [
        Cell(person, truth, said, rate(count, totals[person, truth]))
        for (person, truth, said), count in sorted(counts.items())
    ]


def _seeded(label: Label, kind: str) -> Check:
    return _found(label, kind, Source.SEEDED, 1.0)


def _check(label: Label, group: Sequence[Label], found: Standing, draws: Mapping[str, AuditDraw]) -> Check | None:
    if label.kind == UNSURE:
        return None
    if not countable(label):
        truth = found.kind or label.old
        return _found(label, truth, Source.KNOWN_ANSWER, 1.0) if truth else None
    if label.purpose not in INDEPENDENT:
        return None
    others = [one for one in group if countable(one) and one.person != label.person]
    if not others or _took_back(label, group):
        return None
    draw = draws.get(label.label_id)
    source, weight = (Source.AUDIT, draw.weight) if draw is not None and draw.drawn else (Source.OTHER, 0.0)
    if found.state in TRAINABLE:
        confirmed = any(one.kind == found.kind for one in others)
        return _found(label, found.kind, source, weight) if confirmed else None
    return _found(label, label.kind, source, weight, settled=False) if source is Source.AUDIT else None


def _found(label: Label, truth: str, source: Source, weight: float, *, settled: bool = True) -> Check:
    return Check(label.label_id, label.person, label.kind, truth, source, weight, label.at, settled)


def _took_back(label: Label, group: Sequence[Label]) -> bool:
    """Say whether the person said something else before anybody else spoke."""
    later = iter(group)
    for one in later:
        if one.label_id == label.label_id:
            break
    after = next((one for one in later if countable(one)), label)
    return after.person == label.person and after.label_id != label.label_id
