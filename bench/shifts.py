"""Calibrate one plant's bundle with the product's own code, run a shift of parts past it, and count.

20,000 further defective and 20,000 good parts, spread over the same run, tell the true rates of the shift.
"""

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision import novelty
from appliance.decision.calibration import calibrate
from appliance.decision.review_load import Shift
from appliance.decision.risk import Promise
from appliance.decision.risk_plan import HeldOut, Plan, Wish, per_million, plan
from appliance.decision.sampling import is_drawn
from appliance.learning.confidence import fit_curve
from appliance.schema.bundle import ConfidenceCurve, GoodOnlyCalibration
from appliance.schema.limits import Limits
from appliance.schema.part import PartId
from appliance.schema.policy import Basis, Policy, RiskLimits
from bench import policy_arrays
from bench.drift_alarm import tripped_at
from bench.policy_arrays import ACCEPT, REJECT, REVIEW, UNKNOWN
from bench.populations import (
    GOOD,
    Floats,
    Integers,
    Parts,
    Plant,
    Scenario,
    found,
    known_defects,
    line_defects,
    line_kinds,
    shown,
)

SHIFT_PARTS = 5_000
TRUTH_PARTS = 20_000
SHIFT_DAYS = 10
"""The run of parts is spread over so many days."""
REPEATED = 0.2
"""Standard deviation of a defect's score when it is photographed anew."""

ESCAPE_RATE, ASSURANCE = 0.01, 0.95
REVIEW_S, REVIEW_MIN = 8.0, 120.0
SAMPLE_SHARE, UNKNOWN_RATE = 0.02, 0.01
HOLD_BACK = 0.05
"""Share of good parts that limits from good parts alone may hold back."""
CURVES = 0.2
"""Share of worlds in which a curve of confidence is fitted: most of a world's time goes into its bootstrap."""
BASES = (Basis.RISK, Basis.LIMITS, Basis.CONFIDENCE)
BUNDLE, PRECISION = "sha256:simulated", "f32"

World = dict[str, Any]
Ways = NDArray[np.int8]


class Calibrated(Struct, frozen=True):
    """Hold what held-out parts gave."""

    good: Parts
    plan: Plan
    only_good: GoodOnlyCalibration
    curve: ConfidenceCurve | None
    known: Floats
    """Ascending worst novelty of the held-out parts, good and defective."""

    @property
    def limits(self) -> Limits:
        """What the bundle knows of its scores."""
        rate = self.curve.right / self.curve.count if self.curve else None
        own = self.only_good
        return Limits(own.accept_below, own.reject_above, rate, "anomaly", known_parts=self.known.size)


def play(scenario: Scenario, generator: np.random.Generator) -> World | None:
    """Calibrate one plant's bundle and run a shift; None where the product refuses the promise."""
    plant = found(scenario, generator)
    good, defects = held_out(plant, generator)
    calibrated = calibrate_all(plant, good, defects, generator)
    return measured(plant, calibrated, generator) if calibrated else None


def held_out(plant: Plant, generator: np.random.Generator) -> tuple[Parts, Parts]:
    """Draw the held-out good and defective parts."""
    scenario = plant.scenario
    good, defects = (round(math.exp(generator.uniform(*np.log(span)))) for span in (scenario.good, scenario.defects))

    offsets = generator.normal(0, scenario.day_scatter, scenario.days_held_out or max(good, defects))

    def drawn(kind: Integers) -> Parts:
        day = generator.integers(0, offsets.size, kind.size)
        return shown(plant, kind, np.full(kind.size, np.nan), offsets[day], generator)

    flagged = drawn(known_defects(plant, defects * (20 if scenario.flagged_only else 1), generator))
    if scenario.flagged_only:
        seen = flagged.score.max(1) + generator.normal(0, 0.5, flagged.kind.size) > plant.separation[:-1].mean() - 0.5
        keep = np.flatnonzero(seen)[:defects]
        flagged = Parts(flagged.kind[keep], flagged.when[keep], flagged.score[keep], flagged.novelty[keep])
    return drawn(np.full(good, GOOD)), flagged


def calibrate_all(plant: Plant, good: Parts, defects: Parts, generator: np.random.Generator) -> Calibrated | None:
    """Set limits by risk, limits from good parts alone, and a curve of confidence; None where the first are refused."""
    repeats = plant.scenario.repeats
    scores = np.repeat(defects.score.max(1), repeats)
    scores += generator.normal(0, REPEATED if repeats > 1 else 0.0, scores.size)
    kinds = tuple((str(kind),) for kind in np.repeat(defects.kind, repeats))
    shift = Shift(SHIFT_PARTS, REVIEW_S, REVIEW_MIN, SAMPLE_SHARE, UNKNOWN_RATE)
    wish = Wish(Promise(ESCAPE_RATE, ASSURANCE), plant.defect_rate, shift)
    limits = plan(wish, HeldOut(tuple(scores.tolist()), kinds, tuple(good.score.max(1).tolist())))
    if not isinstance(limits, Plan):
        return None
    return Calibrated(
        good=good,
        plan=limits,
        only_good=calibrate(good.score.max(1).tolist(), hold_back=HOLD_BACK),
        curve=fitted(good, defects) if generator.random() < CURVES else None,
        known=np.sort(np.concatenate([good.novelty.max(1), defects.novelty.max(1)])),
    )


def fitted(good: Parts, defects: Parts) -> ConfidenceCurve:
    """Fit the curve of the image score, a part standing for its worst picture."""
    scores = np.concatenate([good.score.max(1), defects.score.max(1)])
    right = np.arange(scores.size) >= good.kind.size
    return fit_curve("", scores, right, [str(number) for number in range(scores.size)])


def _policy(basis: Basis, limits: Plan, defect_rate: float) -> Policy:
    risk = RiskLimits(
        accept_below=float(limits.accept_below),
        reject_above=float(limits.reject_above),
        escape_rate=ESCAPE_RATE,
        assurance=ASSURANCE,
        defects=int(limits.escaped.n),
        escaped=int(limits.escaped.k),
        good=int(limits.overkill.n),
        bundle=BUNDLE,
        precision=PRECISION,
        data="",
    )
    return Policy(basis=basis, risk=risk, defect_rate=defect_rate, unknown_rate=UNKNOWN_RATE, sample_share=SAMPLE_SHARE)


def measured(plant: Plant, own: Calibrated, generator: np.random.Generator) -> World:
    """Run the shift and the parts behind the true rates under each basis, and count."""
    days = generator.normal(0, plant.scenario.day_scatter, SHIFT_DAYS)
    line = on_the_line(plant, line_kinds(plant, SHIFT_PARTS, generator), days, generator)
    bad = on_the_line(plant, line_defects(plant, TRUTH_PARTS, generator), days, generator)
    fine = on_the_line(plant, np.full(TRUTH_PARTS, GOOD), days, generator)
    trip = tripped_at(line, own.good)
    seed = int(generator.integers(1 << 31))
    drawn = np.array([is_drawn(PartId(1, number), seed, SAMPLE_SHARE) for number in range(SHIFT_PARTS)])
    world: World = {"defect_rate": plant.defect_rate, "tripped": trip, "promised": promised(plant, own)}
    for basis in BASES:
        if basis is Basis.CONFIDENCE and own.curve is None:
            continue
        policy = _policy(basis, own.plan, plant.defect_rate)
        ways = {
            name: disposed(parts, own, policy, np.inf) for name, parts in (("line", line), ("bad", bad), ("fine", fine))
        }
        expiring = {name: disposed(parts, own, policy, trip) for name, parts in (("line", line), ("bad", bad))}
        world[basis.value] = counted(plant, (line, bad), ways, expiring, drawn)
        if basis is Basis.CONFIDENCE:
            world[basis.value]["foretold"] = foretold(plant, own, line, ways["line"])
    blind = disposed(bad, own, _blind(_policy(Basis.RISK, own.plan, plant.defect_rate)), np.inf)
    strange = bad.kind == plant.mix.size
    world["unknown"] = {
        "parts": int(strange.sum()),
        "passed_without_detector": int((blind[strange] == ACCEPT).sum()),
        "passed": world["risk"]["unknown_passed"],
        "shown_as_unknown": world["risk"]["unknown_shown"],
    }
    return world


def promised(plant: Plant, own: Calibrated) -> World:
    """Give what is promised in this world, by what it is about and by basis."""
    limits = own.plan
    return {
        "escape_rate": ESCAPE_RATE,
        "escapes_per_million": per_million(ESCAPE_RATE, plant.defect_rate),
        "held_good": {"risk": limits.overkill_upper, "limits": own.only_good.overkill_upper},
        "rejected_good": {"risk": limits.rejected_upper},
        "minutes": {"risk": limits.load.minutes_upper if limits.load else None},
        "unknown_rate": novelty.false_unknown_rate(own.known.size, UNKNOWN_RATE),
    }


def foretold(plant: Plant, own: Calibrated, line: Parts, way: Ways) -> float:
    """Give the escapes that the curve of confidence itself expects among what it accepts."""
    rate = own.limits.base_rate
    if own.curve is None or rate is None:
        return 0.0
    chance = policy_arrays.probabilities(own.curve, line.score.max(1))
    return float(policy_arrays.at_rate(chance, rate, plant.defect_rate)[way == ACCEPT].sum())


def on_the_line(plant: Plant, kind: Integers, days: Floats, generator: np.random.Generator) -> Parts:
    """Show parts that are spread over the days of the run."""
    when = np.sort(generator.random(kind.size))
    return shown(plant, kind, when, days[(when * SHIFT_DAYS).astype(np.int64)], generator)


def disposed(parts: Parts, own: Calibrated, policy: Policy, expires: float) -> Ways:
    """Apply the policy to parts; a promise expires at a share of the run."""
    is_used = own.curve is not None and policy.basis is Basis.CONFIDENCE
    probability = policy_arrays.probabilities(own.curve, parts.score) if is_used else None
    strange = policy_arrays.p_values(parts.novelty, own.known)
    return policy_arrays.dispose(parts.score, probability, strange, own.limits, policy, parts.when >= expires)


def _blind(policy: Policy) -> Policy:
    return Policy(basis=policy.basis, risk=policy.risk, novelty="off")


def counted(
    plant: Plant,
    parts: tuple[Parts, Parts],
    ways: dict[str, Ways],
    expiring: dict[str, Ways],
    sample: NDArray[np.bool_],
) -> World:
    """Count what a basis did with the shift, and its true rates."""
    line, bad = parts
    is_bad = line.kind >= 0
    way, later = ways["line"], expiring["line"]
    strange = bad.kind == plant.mix.size
    drawn = (way == ACCEPT) & sample
    looked = (way == REVIEW) | (way == UNKNOWN) | drawn
    share = true_share(plant, ways)
    return {
        "defective": int(is_bad.sum()),
        "accepted": int((way == ACCEPT).sum()),
        "escaped": int((is_bad & (way == ACCEPT)).sum()),
        "escaped_with_expiry": int((is_bad & (later == ACCEPT)).sum()),
        "good": int((~is_bad).sum()),
        "good_held": int((~is_bad & (way != ACCEPT)).sum()),
        "good_held_with_expiry": int((~is_bad & (later != ACCEPT)).sum()),
        "good_rejected": int((~is_bad & (way == REJECT)).sum()),
        "good_unknown": int((~is_bad & (way == UNKNOWN)).sum()),
        "minutes": float(looked.sum() * REVIEW_S / 60),
        "drawn": int(drawn.sum()),
        "drawn_bad": int((drawn & is_bad).sum()),
        "true": {
            "escape_rate": float((ways["bad"] == ACCEPT).mean()),
            "escape_rate_with_expiry": float((expiring["bad"] == ACCEPT).mean()),
            "held_good": float(((ways["fine"] == REVIEW) | (ways["fine"] == REJECT)).mean()),
            "rejected_good": float((ways["fine"] == REJECT).mean()),
            "unknown_good": float((ways["fine"] == UNKNOWN).mean()),
            "minutes": share * SHIFT_PARTS * REVIEW_S / 60,
        },
        "unknown_passed": int((ways["bad"][strange] == ACCEPT).sum()),
        "unknown_shown": int((ways["bad"][strange] == UNKNOWN).sum()),
    }


def true_share(plant: Plant, ways: dict[str, Ways]) -> float:
    """Give the true share of parts that a person looks at."""
    total = 0.0
    for name, weight in (("bad", plant.defect_rate), ("fine", 1 - plant.defect_rate)):
        looked = (ways[name] == REVIEW) | (ways[name] == UNKNOWN)
        total += weight * float(looked.mean() + SAMPLE_SHARE * (ways[name] == ACCEPT).mean())
    return total
