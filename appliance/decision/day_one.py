"""Start with limits that hold back more than needed, and let evidence alone make them less strict.

Each step of the ladder lets fewer good parts be held back, and must first have proven, on held-out real defects, how
few of them escape under the limits that it sets. On day one nothing is known of defects, so 5 to 10 % overkill is the
price; the accept limit is the strictest that keeps to it.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from appliance.decision.calibration import CONFIDENCE, FEWEST_GOOD_IMAGES
from appliance.decision.risk import Count, Promise, counted, escape_limit, needed, suspicion
from appliance.schema.errors import ConfigError
from appliance.schema.policy import RiskLimits


class Step(Struct, frozen=True):
    """Say what must be known, and what is then allowed."""

    name: str
    escape_rate: float | None
    """Proven of the limits: of defective parts, at most this share is accepted; None: nothing is."""
    overkill: float
    """Share of good parts that may be held back, as far as the escape rate leaves it open."""
    days: int
    """Different days on which parts were looked at: lots, lamps and people change between days, not between parts."""


LADDER = (
    Step("day one", None, 0.10, 0),
    Step("95 % of defects", 0.05, 0.05, 3),
    Step("98.5 % of defects", 0.015, 0.02, 10),
    Step("99.5 % of defects", 0.005, 0.005, 20),
)
"""59, 199 and 598 defects without a miss; the last is the least overkill that users were promised."""


class Evidence(Struct, frozen=True):
    """Hold scores of parts that a person has looked at, one to a part, and the bundle had not learned from."""

    good: tuple[float, ...]
    defects: tuple[float, ...]
    days: int
    """Different days on which they were looked at."""
    held_out: bool = True
    """False: the bundle may have learned from some, so they prove nothing about what it lets pass."""


class Limits(Struct, frozen=True):
    """State limits on the image score and what they are expected to do."""

    accept_below: float
    reject_above: float
    """No good part that was seen is rejected without a person looking."""
    escapes: Count
    """Accepted, of the defective parts."""
    overkill: Count
    """Not accepted, of the good parts."""
    review: Count
    """Shown to a person, of all parts, in the mix of the evidence."""


class Proposed(Struct, frozen=True):
    """State the step that the evidence reaches, its limits, and what is missing for the next step."""

    step: Step
    limits: Limits
    missing: tuple[str, ...]
    """Such as `120 of 598 defects`; empty at the end of the ladder."""

    def limits_of(self, bundle: str, precision: str, data: str) -> RiskLimits:
        """Give the limits as a recipe holds them; without a proven step they promise nothing: an escape rate of 1.

        data: SHA-256 (hex) of the evidence.
        """
        limits, promised = self.limits, self.step.escape_rate
        return RiskLimits(
            accept_below=limits.accept_below,
            reject_above=limits.reject_above,
            escape_rate=1.0 if promised is None else promised,
            assurance=CONFIDENCE,
            defects=limits.escapes.n,
            escaped=limits.escapes.k,
            good=limits.overkill.n,
            bundle=bundle,
            precision=precision,
            data=data,
        )


def propose(evidence: Evidence, in_force: RiskLimits | None = None) -> Proposed:
    """Give the highest step that the evidence reaches, with its limits.

    in_force: limits of the same bundle; their accept limit is not raised unless held-out defects prove at least what
    these promise. None: there are none, or they are of another bundle, whose scores mean something else.
    ConfigError for too few good parts to state an overkill, and for limits under which no good part is accepted.
    """
    good = sorted(map(suspicion, evidence.good))
    if len(good) < FEWEST_GOOD_IMAGES:
        raise ConfigError(
            f"day one: {len(good)} good parts, at least {FEWEST_GOOD_IMAGES} are needed to state an overkill; let "
            "people look at more"
        )
    reached = _reached(evidence)
    step = LADDER[reached]
    limit = _accept_below(step, good, evidence.defects)
    if in_force is not None and not _proves(step, in_force):
        limit = min(limit, in_force.accept_below)
    limits = limits_at(limit, evidence)
    if limits.overkill.k == limits.overkill.n:
        raise ConfigError(
            f"day one: the limit of step {step.name!r} accepts 0 of {len(good)} good parts, since defects score as "
            "low; train a better bundle"
        )
    return Proposed(step, limits, _missing(evidence, reached))


def limits_at(accept_below: float, evidence: Evidence) -> Limits:
    """Say what an accept limit does with the parts of the evidence."""
    good, defects = (list(map(suspicion, scores)) for scores in (evidence.good, evidence.defects))
    reject_above = max([accept_below, *filter(math.isfinite, good)])
    every = [*good, *defects]
    return Limits(
        accept_below,
        reject_above,
        counted(sum(score <= accept_below for score in defects), len(defects)),
        counted(sum(score > accept_below for score in good), len(good)),
        counted(sum(accept_below < score <= reject_above for score in every), len(every)),
    )


def defects_needed(step: Step) -> int:
    """Give the held-out defects that prove a step without a miss."""
    return 0 if step.escape_rate is None else needed(Promise(step.escape_rate))


def good_needed(step: Step) -> int:
    """Give the good parts that show its overkill with none held back, at 95 %."""
    return needed(Promise(step.overkill))


def _proves(step: Step, in_force: RiskLimits) -> bool:
    return step.escape_rate is not None and step.escape_rate <= in_force.escape_rate


def _reached(evidence: Evidence) -> int:
    """Count up the ladder until something is missing; a step is never jumped."""
    reached = 0
    while reached + 1 < len(LADDER) and not _lacking(evidence, LADDER[reached + 1]):
        reached += 1
    return reached


def _missing(evidence: Evidence, reached: int) -> tuple[str, ...]:
    return _lacking(evidence, LADDER[reached + 1]) if reached + 1 < len(LADDER) else ()


def _lacking(evidence: Evidence, step: Step) -> tuple[str, ...]:
    defects = len(evidence.defects) if evidence.held_out else 0
    wanted = (
        (defects, defects_needed(step), "defects" if evidence.held_out else "held-out defects"),
        (len(evidence.good), good_needed(step), "good parts"),
        (evidence.days, step.days, "days"),
    )
    return tuple(f"{present:,} of {enough:,} {what}" for present, enough, what in wanted if present < enough)


def _accept_below(step: Step, good: Sequence[float], defects: Sequence[float]) -> float:
    """Give the strictest limit that keeps to the step's overkill, and a stricter one where the defects demand it."""
    rank = max(1, math.floor(step.overkill * (len(good) + 1)))
    limit = good[len(good) - rank]
    if step.escape_rate is not None:
        proven = escape_limit(defects, Promise(step.escape_rate))
        limit = min(limit, proven) if proven is not None else -math.inf
    return limit
