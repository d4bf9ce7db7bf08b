"""Estimate how many defective parts are passed without a person having looked; pure.

Two sources, and no third: the random sample of parts that would be accepted, each drawn with a known probability, and
known defects that people put on the line. What reviewers flag says nothing about what nobody looked at.

Every interval is exact (Clopper-Pearson) and two-sided at 95 %; where several must hold at once each gets its share of
the 5 % (Bonferroni). The person's word is taken for the truth; seeded parts in review say how far it can be.
"""

from collections.abc import Sequence

from msgspec import Struct

from appliance.decision.calibration import CONFIDENCE, clopper_pearson


class Stratum(Struct, frozen=True):
    """Count the parts that would be accepted and were drawn for a person with one probability."""

    probability: float
    """In [0, 1]; 0: these parts were in no draw."""
    parts: int
    """All of them, drawn or not."""
    drawn: int
    inspected: int
    """Drawn parts that a person has decided."""
    found: int
    """Of these, how many the person found defective."""


class EscapeEstimate(Struct, frozen=True):
    """State the share of defective parts among those that the model would accept."""

    value: float | None
    """Each defect found counts 1 / probability (Horvitz-Thompson), parts not inspected yet being taken to be as the
    others of their probability; None where nothing was inspected."""
    low: float
    """Lower end, should every part not inspected yet be good."""
    high: float
    """Upper end, should every part not inspected yet be defective."""
    parts: int
    """Parts that would be accepted and were in the draw."""
    drawn: int
    inspected: int
    missing: int
    """Drawn and not inspected yet."""
    found: int
    outside: int
    """Parts that were accepted and were in no draw: nothing is known of them."""
    probabilities: int
    """How many different probabilities the draw had; 1: the interval is that of one sample."""


class SeedCount(Struct, frozen=True):
    """Count what became of the seeded parts of one class."""

    kind: str
    judged: int
    """Seeded before their verdict, and given one other than no_verdict."""
    passed: int
    """Of these, accepted by the model; one drawn at random for a person counts as accepted."""
    reviewed: int
    """Decided by a person."""
    waved_through: int
    """Of these, accepted by the person."""


class Share(Struct, frozen=True):
    """State a share of counted parts with its exact interval."""

    value: float | None
    k: int
    n: int
    low: float
    high: float


class SeedBound(Struct, frozen=True):
    """State how often defects of one class escape, the only direct bound there is."""

    kind: str
    model: Share
    """Of the seeded parts that got a verdict, those that the model accepted."""
    people: Share
    """Of the seeded parts that a person decided, those that the person accepted."""


def estimate(strata: Sequence[Stratum]) -> EscapeEstimate:
    """Estimate the share of defective parts among those that would be accepted, from the random sample.

    With one probability the drawn parts are one random sample of them all. With several, each stratum has its own
    interval at a level that all keep together, and the whole is their mean weighted by their parts. ValueError when a
    stratum counts more found than inspected, inspected than drawn or drawn than there are.
    """
    for one in strata:
        _check(one)
    drawn_from = [one for one in strata if one.probability > 0 and one.parts]
    parts = sum(one.parts for one in drawn_from)
    inspected = sum(one.inspected for one in drawn_from)
    level = 1 - (1 - CONFIDENCE) / max(1, len(drawn_from))
    low = high = 0.0
    for one in drawn_from:
        low += one.parts / parts * clopper_pearson(one.found, one.drawn, level)[0]
        missing = one.drawn - one.inspected
        high += one.parts / parts * clopper_pearson(one.found + missing, one.drawn, level)[1]
    return EscapeEstimate(
        value=_horvitz_thompson(drawn_from) if inspected else None,
        low=low if parts else 0.0,
        high=min(1.0, high) if parts else 1.0,
        parts=parts,
        drawn=sum(one.drawn for one in drawn_from),
        inspected=inspected,
        missing=sum(one.drawn - one.inspected for one in drawn_from),
        found=sum(one.found for one in drawn_from),
        outside=sum(one.parts for one in strata if one.probability <= 0),
        probabilities=len(drawn_from),
    )


def seed_bound(count: SeedCount) -> SeedBound:
    """Bound the escapes of one class by its seeded parts."""
    return SeedBound(count.kind, _share(count.passed, count.judged), _share(count.waved_through, count.reviewed))


def _horvitz_thompson(strata: Sequence[Stratum]) -> float:
    """Weigh each defect found by 1 / probability; Horvitz and Thompson, JASA 47 (1952), 663-685.

    Parts of a probability under which all drawn ones still wait are left out.
    """
    known = [one for one in strata if one.inspected or not one.drawn]
    total = sum(one.found * one.drawn / one.inspected / one.probability for one in known if one.inspected)
    return min(1.0, total / sum(one.parts for one in known))


def _share(hits: int, count: int) -> Share:
    low, high = clopper_pearson(hits, count)
    return Share(hits / count if count else None, hits, count, low, high)


def _check(one: Stratum) -> None:
    if not 0 <= one.found <= one.inspected <= one.drawn <= one.parts:
        raise ValueError(
            f"stratum {one.probability:g}: {one.found} found, {one.inspected} inspected, {one.drawn} drawn of "
            f"{one.parts} parts; each is at most the next"
        )
