"""Measure how soon a careless person is flagged, how often an honest one, and what the checks cost."""

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from appliance.labelling.draws import NEWCOMER_ANSWERS, audit_draws
from appliance.labelling.error_matrix import checks
from appliance.labelling.systematic import LEVEL, TOLERATED, flags
from appliance.learning.rates import rate
from appliance.schema.label import GOOD, Purpose
from bench.fingerprint import fingerprint
from bench.label_people import (
    AUDITOR_SLIPS,
    COMMON,
    EXPERT_SLIPS,
    KNOWN_WRONG,
    Floor,
    Operator,
    answer_number,
    history,
)

RESULT = Path(__file__).parent / "results" / "labelling.json"
SEEDS = 500
WITHIN = 60
HONEST_ANSWERS = 1000
SHARES = (0.20, 0.15, 0.10, 0.05)
HARDEST = "crack"
CARELESS_ON = "scratch"

Found = dict[str, Any]


def measure(seeds: int = SEEDS) -> Found:
    """Play every scenario with so many seeds."""
    newcomers = [careless(floor(share), share, 0, WITHIN, seeds) for share in SHARES]
    return {
        "seeds": seeds,
        "tolerated": TOLERATED,
        "level": LEVEL,
        "auditor_slips": AUDITOR_SLIPS,
        "expert_slips": EXPERT_SLIPS,
        "known_answers_wrong": KNOWN_WRONG,
        "careless_newcomer": newcomers,
        "careless_newcomer_without_known_answers": careless(Floor(COMMON.mix, shelf=False), 0.15, 0, WITHIN, seeds),
        "careless_newcomer_sixty_of_the_class": careless(COMMON, 0.15, 0, 60 * 100 // 15, seeds),
        "turned_careless_after_500": careless(COMMON, 0.15, 500, 3000, max(1, seeds // 5)),
        "honest": honest(seeds),
        "cost": cost(max(1, seeds // 10)),
    }


def floor(share: float) -> Floor:
    """Give four classes of defect of one share each; the rest is good."""
    return Floor({GOOD: 1 - 4 * share, CARELESS_ON: share, "dent": share, "stain": share, HARDEST: share})


def careless(where: Floor, share: float, turned: int, answers: int, seeds: int) -> Found:
    """Let a person answer at random on one class, from the answer `turned` on; count answers until the flag."""
    first, on_class, other = [], [], 0
    for seed in range(seeds):
        person = Operator("op-1", {HARDEST: 0.05}, careless_from=turned, random_on=CARELESS_ON)
        labels = history(person, where, turned + answers, seed)
        raised = [one for one in flags(checks(labels, seed), where.classes) if one.person == person.name]
        after = [(answer_number(labels, person.name, one.at)[0] - turned, one) for one in raised]
        hits = [(number, one) for number, one in after if number > 0 and one.kind == CARELESS_ON]
        other += any(one.kind != CARELESS_ON for _, one in after)
        if hits:
            first.append(hits[0][0])
            on_class.append(hits[0][1].wrong.n)
    return {
        "share_of_class": share,
        "answers": answers,
        "honest_before": turned,
        "flagged": told(len(first), seeds),
        "median_answers": statistics.median(first) if first else None,
        "nine_of_ten_by": sorted(first)[int(0.9 * len(first))] if first else None,
        "median_checks_of_the_class": statistics.median(on_class) if on_class else None,
        "flagged_on_another_class": told(other, seeds),
    }


def honest(seeds: int) -> Found:
    """Let a person slip on 2 % of the parts, on 5 % of the hardest class."""
    hits = 0
    for seed in range(seeds):
        labels = history(Operator("op-1", {HARDEST: 0.05}), COMMON, HONEST_ANSWERS, seed)
        hits += any(one.person == "op-1" for one in flags(checks(labels, seed), COMMON.classes))
    return {"answers": HONEST_ANSWERS, "flagged": told(hits, seeds)}


def cost(seeds: int) -> Found:
    """Count what the checks of one person take: audits by others, known answers by the person."""
    rows = []
    for answers in (NEWCOMER_ANSWERS, HONEST_ANSWERS):
        audits, known = [], []
        for seed in range(seeds):
            labels = history(Operator("op-1", {HARDEST: 0.05}), COMMON, answers, seed)
            audits.append(sum(draw.drawn for draw in audit_draws(labels, seed)))
            known.append(sum(one.purpose is Purpose.KNOWN_ANSWER for one in labels))
        rows.append({"answers": answers, "audits": statistics.mean(audits), "known_answers": statistics.mean(known)})
    return {"mean_of": seeds, "rows": rows}


def told(hits: int, count: int) -> Found:
    found: Found = msgspec.to_builtins(rate(hits, count))
    return found


def lines(found: Found) -> list[str]:
    """Say the results in lines."""
    bare = found["careless_newcomer_without_known_answers"]
    longer = (found["careless_newcomer_sixty_of_the_class"], found["turned_careless_after_500"])
    rows = [*found["careless_newcomer"], *longer]
    said = [
        f"careless on a class of {row['share_of_class']:.0%} after {row['honest_before']} honest answers: "
        f"{row['flagged']['k']} of {row['flagged']['n']} flagged within {row['answers']} answers "
        f"({row['flagged']['low']:.1%} to {row['flagged']['high']:.1%}), median {row['median_answers']}, "
        f"nine in ten by {row['nine_of_ten_by']}"
        for row in rows
    ]
    said.append(f"without known answers {bare['flagged']['k']} of {bare['flagged']['n']} within {bare['answers']}")
    fair = found["honest"]["flagged"]
    said.append(
        f"honest, {HONEST_ANSWERS} answers: {fair['k']} of {fair['n']} flagged "
        f"({fair['low']:.1%} to {fair['high']:.1%})"
    )
    said += [
        f"cost of {row['answers']} answers: {row['audits']:.0f} audits, {row['known_answers']:.0f} known answers"
        for row in found["cost"]["rows"]
    ]
    return said


def main() -> None:
    found = measure()
    RESULT.write_text(json.dumps({**found, "machine": fingerprint()}, indent=1, allow_nan=False) + "\n", "utf-8")
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
