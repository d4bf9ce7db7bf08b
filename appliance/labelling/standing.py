"""Say what the labels of a part amount to: what stands, or why nothing does; pure.

Labels are never overwritten, so what stands is a fold over all of them, in the order in which `record` kept them. The
record database answers the same question in SQL; a property test holds both equal.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from appliance.schema.label import UNSURE, Label, Purpose
from appliance.schema.part import PartId


class State(StrEnum):
    """Name what the labels of a part amount to."""

    NONE = "none"
    """Nobody has labelled it, or nothing said of it counts."""
    SINGLE = "single"
    """One person has said a class."""
    AGREED = "agreed"
    """Two or more people say the same class."""
    SETTLED = "settled"
    """A label that overrules those before it says the class, and nobody contradicts since."""
    CONFLICT = "conflict"
    """People contradict each other."""
    UNSURE = "unsure"
    """Who looked last could not say."""


TRAINABLE = frozenset({State.SINGLE, State.AGREED, State.SETTLED})
"""States that training may use."""


class Standing(Struct, frozen=True):
    """Hold where a part stands in the eyes of the people who labelled it."""

    state: State
    kind: str = ""
    """Class of the part; empty unless training may use it."""
    label_id: str = ""
    """The label that stands, whose regions are the truth: of the highest level the newest; empty as `kind` is."""
    level: int = 0
    """Highest level among the counted labels that say a class; 0: none does."""
    counted: tuple[Label, ...] = ()
    """Labels that count, in order; the others are overruled, replaced, or measure a person."""


def standing(labels: Iterable[Label], *, seeded: bool = False) -> Standing:
    """Fold the labels of one part, in the order kept. seeded: a known defect that somebody put there."""
    valid = [] if seeded else [label for label in labels if countable(label)]
    first = _settling(valid)
    newest = {label.person: place for place, label in enumerate(valid) if first is None or place >= first}
    counted = tuple(valid[place] for place in sorted(newest.values()))
    definite = [label for label in counted if label.kind != UNSURE]
    kinds = {label.kind for label in definite}
    level = max((int(label.level) for label in definite), default=0)
    if not counted:
        return Standing(State.NONE)
    if len(kinds) > 1:
        return Standing(State.CONFLICT, level=level, counted=counted)
    if counted[-1].kind == UNSURE:
        return Standing(State.UNSURE, level=level, counted=counted)
    alone = State.AGREED if len(definite) > 1 else State.SINGLE
    best = max(reversed(definite), key=lambda label: label.level)
    return Standing(alone if first is None else State.SETTLED, best.kind, best.label_id, level, counted)


def by_part(labels: Iterable[Label]) -> dict[PartId, list[Label]]:
    """Group labels by part, each in the order given."""
    groups: dict[PartId, list[Label]] = {}
    for label in labels:
        groups.setdefault(label.part, []).append(label)
    return groups


def countable(label: Label) -> bool:
    """Say whether a label tells anything about its part: a known answer measures the person alone."""
    return label.purpose is not Purpose.KNOWN_ANSWER


def _settling(labels: Sequence[Label]) -> int | None:
    """Give the place of the newest label that overrules those before it.

    A correction does so where it follows another person's label; one's own it just replaces.
    """
    for place in range(len(labels) - 1, -1, -1):
        label = labels[place]
        if label.purpose is Purpose.DISAGREEMENT:
            return place
        earlier = (one.person for one in labels[:place] if one.label_id == label.previous)
        if label.purpose is Purpose.CORRECTION and next(earlier, label.person) != label.person:
            return place
    return None
