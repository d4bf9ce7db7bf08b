"""Draw what is checked and what is hidden: audits, known answers, predictions; pure.

Every draw is a hash of the station's seed and of names, as the random sample's is (`decision/sampling.py`): nobody can
guess it without the seed, it is the same whenever it is asked, and its probability is known. Audits have floors, so
theirs depends on what a person has answered before; it is stated with each draw.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.label import UNSURE, Label, LabelLevel, Purpose
from appliance.schema.part import PartId

AUDIT_SHARE = 0.05
NEWCOMER_ANSWERS = 60
"""So many of a person's first answers are all audited: a twentieth of them would show a careless person too late."""
FLOOR = 3
"""So many labels of each class that a person gives are audited in each window, however few there are."""
WINDOW_NS = 30 * 24 * 3600 * 1_000_000_000
"""Windows are counted from 1970, so that they are the same for all."""
HIDDEN_SHARE = 0.10
KNOWN_SHARE = 0.03
NEWCOMER_KNOWN_SHARE = 0.34
"""Of a newcomer's answers: they show the classes in turn, so that the rare ones are tried too."""
_BITS = 64


class AuditDraw(Struct, frozen=True):
    """State whether a label is audited, and how likely that was."""

    label_id: str
    part: PartId
    person: str
    kind: str
    at: UtcNs
    probability: float
    """With which a label like this one is drawn; its estimates count it 1 / probability."""
    weight: float
    """Smallest probability among the answers that the person could have given, over that of the one given.

    Where rare answers are drawn more often, slips that make a rare class are too; weighted by this they count no more
    than the right answers beside them.
    """
    drawn: bool


def audit_draws(labels: Iterable[Label], seed: int) -> list[AuditDraw]:
    """Draw among the labels that operators gave in review, in the order kept."""
    answers: Counter[str] = Counter()
    held: Counter[tuple[str, int, str]] = Counter()
    fullest: Counter[tuple[str, int]] = Counter()
    draws = []
    for label in labels:
        if not is_auditable(label):
            continue
        window = label.at // WINDOW_NS
        stratum, season = (label.person, window, label.kind), (label.person, window)
        is_new = answers[label.person] < NEWCOMER_ANSWERS
        probability = 1.0 if is_new or held[stratum] < FLOOR else AUDIT_SHARE
        least = 1.0 if is_new or fullest[season] < FLOOR else AUDIT_SHARE
        answers[label.person] += 1
        held[stratum] += 1
        fullest[season] = max(fullest[season], held[stratum])
        drawn = _chance(seed, "audit", label.label_id) < probability
        draws.append(
            AuditDraw(
                label.label_id, label.part, label.person, label.kind, label.at, probability, least / probability, drawn
            )
        )
    return draws


def is_auditable(label: Label) -> bool:
    """Say whether a label is in the draw of audits: a class that an operator gave in review."""
    return label.purpose is Purpose.REVIEW and label.level is LabelLevel.CONFIRM and label.kind != UNSURE


def hides_prediction(seed: int, part: PartId, person: str) -> bool:
    """Say whether the draw hides the model's answer from this person, to measure how far it leads people."""
    return _chance(seed, "hidden", f"{part}:{person}") < HIDDEN_SHARE


def known_answers_due(seed: int, person: str, answers: int, given: int) -> int:
    """Say how many parts with a settled class the person should be shown now.

    answers: labels of parts that the person has given; after each the draw may call for a known answer. given: known
    answers that the person has labelled. What could not be shown while parts waited is made up for later.
    """
    return max(0, sum(calls_known_answer(seed, person, number) for number in range(answers)) - given)


def calls_known_answer(seed: int, person: str, number: int) -> bool:
    """Say whether a person's label of this number, counted from 0, calls for a known answer."""
    share = NEWCOMER_KNOWN_SHARE if number < NEWCOMER_ANSWERS else KNOWN_SHARE
    return _chance(seed, "known", f"{person}:{number}") < share


def shuffled_rank(seed: int, *names: str) -> float:
    """Give names a place in an order that nobody can guess, in [0, 1)."""
    return _chance(seed, "order", ":".join(names))


def _chance(seed: int, draw: str, name: str) -> float:
    digest = hashlib.sha256(f"{seed}:{draw}:{name}".encode()).digest()
    return int.from_bytes(digest[: _BITS // 8], "big") / (1 << _BITS)
