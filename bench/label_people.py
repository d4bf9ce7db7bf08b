"""Play people who label: honest and careless operators, fallible auditors, experts who settle disputes."""

import random
from collections.abc import Mapping, Sequence

from msgspec import Struct

from appliance.labelling.draws import audit_draws, calls_known_answer
from appliance.labelling.queue import known_turns
from appliance.schema.clocks import UtcNs
from appliance.schema.label import GOOD, Label, LabelLevel, Purpose
from appliance.schema.part import PartId

START_NS = 1_795_000_000_000_000_000
BETWEEN_NS = 120_000_000_000
"""Two minutes from answer to answer."""
AUDITOR_SLIPS = 0.02
EXPERT_SLIPS = 0.01
KNOWN_WRONG = 0.01
"""Share of parts used as known answers whose settled class is wrong all the same."""


class Operator(Struct, frozen=True):
    """Describe how a person answers."""

    name: str
    slips: Mapping[str, float]
    """Share of wrong answers by class; those not named: `slip`."""
    slip: float = 0.02
    careless_from: int = 0
    """Answers after which `random_on` counts."""
    random_on: str = ""
    """Class on which every answer of the taxonomy is as likely; empty: none."""


class Floor(Struct, frozen=True):
    """Describe the parts that come to review."""

    mix: Mapping[str, float]
    """Share of each class."""
    shelf: bool = True
    """Whether there are settled parts to measure people by; a new station has none."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The taxonomy."""
        return tuple(self.mix)


COMMON = Floor({GOOD: 0.40, "scratch": 0.15, "dent": 0.15, "stain": 0.15, "crack": 0.15})


def history(operator: Operator, floor: Floor, answers: int, seed: int) -> list[Label]:
    """Give the labels of one operator and of those who check them; known answers are among the operator's answers."""
    generator = random.Random(seed)
    told = _answers(operator, floor, answers, seed, generator)
    labels = [label for label, _ in told]
    truths = {label.label_id: truth for label, truth in told}
    drawn = [draw for draw in audit_draws(labels, seed) if draw.drawn]
    after = labels[-1].at + BETWEEN_NS
    for number, draw in enumerate(drawn):
        truth = truths[draw.label_id]
        said = _slip(truth, AUDITOR_SLIPS, floor.classes, generator)
        at = after + number
        labels.append(_label(f"a{number:07d}", draw.part, "auditor", said, Purpose.AUDIT, at))
        if said != draw.kind:
            said = _slip(truth, EXPERT_SLIPS, floor.classes, generator)
            level = LabelLevel.CLASSIFY
            labels.append(_label(f"e{number:07d}", draw.part, "expert", said, Purpose.DISAGREEMENT, at, level))
    return labels


def answer_number(labels: Sequence[Label], person: str, at: UtcNs) -> tuple[int, int]:
    """Say which answer of a person was given at an instant, of all and of its known answers."""
    own = [label for label in labels if label.person == person and label.at <= at]
    return len(own), sum(label.purpose is Purpose.KNOWN_ANSWER for label in own)


def _answers(
    operator: Operator, floor: Floor, answers: int, seed: int, generator: random.Random
) -> list[tuple[Label, str]]:
    told: list[tuple[Label, str]] = []
    due = given = 0
    for number in range(answers):
        is_known = floor.shelf and due > 0
        drawn = generator.choices(floor.classes, list(floor.mix.values()))[0]
        turns = known_turns(label for label, _ in told) if is_known else {}
        truth = min(floor.classes, key=lambda kind: turns.get(kind, 0)) if is_known else drawn
        said = _said(operator, truth, number, floor.classes, generator)
        part, at = PartId(seed, number), UtcNs(START_NS + number * BETWEEN_NS)
        old = _slip(truth, KNOWN_WRONG, floor.classes, generator) if is_known else ""
        purpose = Purpose.KNOWN_ANSWER if is_known else Purpose.REVIEW
        told.append((_label(f"o{number:07d}", part, operator.name, said, purpose, at, old=old), truth))
        due += -1 if is_known else calls_known_answer(seed, operator.name, number - given)
        given += is_known
    return told


def _said(operator: Operator, truth: str, number: int, classes: Sequence[str], generator: random.Random) -> str:
    if truth == operator.random_on and number >= operator.careless_from:
        return generator.choice(classes)
    return _slip(truth, operator.slips.get(truth, operator.slip), classes, generator)


def _slip(truth: str, share: float, classes: Sequence[str], generator: random.Random) -> str:
    if generator.random() >= share:
        return truth
    return generator.choice([kind for kind in classes if kind != truth])


def _label(
    label_id: str, part: PartId, person: str, kind: str, purpose: Purpose, at: int,
    level: LabelLevel = LabelLevel.CONFIRM, old: str = "",
) -> Label:  # fmt: skip
    return Label(label_id, part, level, person, kind, 6.0, False, UtcNs(at), purpose, old=old)
