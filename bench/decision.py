"""Hold promised risk against realised risk: a million simulated parts in each of ten families of plants.

    python -m bench.decision [--only NAMES] [--worlds N] [--plot]

A world is one plant, drawn anew (bench/populations.py): a bundle is calibrated with the product's own code on held-out
parts, then a shift of 5,000 parts comes down the line and 20,000 more defective and good ones tell the true rates to
which the promises are held. Families marked as exchangeable draw held-out parts and the line's alike, so their promises
must hold; the others break that on purpose, and what follows is shown. Writes bench/results/decision.json after each
family, and decision.svg beside it.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import decision_plot
from bench.fingerprint import fingerprint
from bench.kept_promises import summed
from bench.populations import Scenario
from bench.shifts import (
    ASSURANCE,
    ESCAPE_RATE,
    REVIEW_MIN,
    REVIEW_S,
    SAMPLE_SHARE,
    SHIFT_PARTS,
    UNKNOWN_RATE,
    World,
    play,
)

RESULT = Path(__file__).parent / "results" / "decision.json"
WORLDS = 200

SCENARIOS = (
    Scenario("steady", "parts drawn alike", holds=True),
    Scenario("heavy_tails", "heavy tails", holds=True, freedom=(2.3, 3.5)),
    Scenario("pictures", "six pictures a part", holds=True, views=6, sharing=(0.6, 0.95)),
    Scenario("few_defects", "30 to 400 held-out defects", holds=True, defects=(30, 400), good=(60, 300)),
    Scenario("repeated", "each defect counted 6 times", holds=False, defects=(60, 200), repeats=6),
    Scenario("days", "days differ, 3 held out", holds=False, day_scatter=0.4, days_held_out=3),
    Scenario("flagged", "only flagged defects held out", holds=False, flagged_only=True),
    Scenario("drift", "contrast fades", holds=False, drift=(0.1, 0.5)),
    Scenario("lamp", "lamp fails at once", holds=False, lamp=(0.1, 0.5)),
    Scenario("unknown", "a class nobody has seen", holds=False, unknown=(0.02, 0.3)),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.decision")
    parser.add_argument("--only", help="families, by comma")
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--plot", action="store_true", help="draw what has been measured")
    options, _ = parser.parse_known_args()
    names = [one.name for one in SCENARIOS]
    wanted = options.only.split(",") if options.only else names
    if unknown := set(wanted) - set(names):
        sys.exit(f"bench.decision: no family {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    told = json.loads(options.result.read_text()) if options.result.exists() else {"families": {}}
    for scenario in SCENARIOS if not options.plot else ():
        if scenario.name in wanted:
            told["families"][scenario.name] = family(scenario, options.worlds)
            told |= {"asked": asked(), "machine": fingerprint()}
            options.result.write_text(json.dumps(told, indent=1) + "\n")
            show(scenario.name, told["families"][scenario.name])
    decision_plot.draw(told, options.result.with_suffix(".svg"), [(one.name, one.title) for one in SCENARIOS])


def asked() -> dict[str, float]:
    """Give what is promised in every world."""
    return {
        "escape_rate": ESCAPE_RATE,
        "assurance": ASSURANCE,
        "parts_per_shift": SHIFT_PARTS,
        "review_seconds": REVIEW_S,
        "review_minutes": REVIEW_MIN,
        "sample_share": SAMPLE_SHARE,
        "unknown_rate": UNKNOWN_RATE,
    }


def family(scenario: Scenario, worlds: int) -> dict[str, Any]:
    """Play worlds until so many had limits; those in which the promise was refused are counted beside."""
    began = time.process_time()
    seed = sum(scenario.name.encode())
    played: list[World] = []
    refused = 0
    while len(played) < worlds:
        generator = np.random.default_rng([seed, len(played) + refused])
        world = play(scenario, generator)
        if world is None:
            refused += 1
            if refused > 20 * worlds:
                sys.exit(f"bench.decision: {scenario.name}: {refused} of {refused + len(played)} worlds refused")
        else:
            played.append(world)
    return {
        "title": scenario.title,
        "exchangeable": scenario.holds,
        "worlds": worlds,
        "refused": refused,
        "parts": worlds * SHIFT_PARTS,
        **summed(played),
        "cpu_s": round(time.process_time() - began, 1),
    }


def show(name: str, told: dict[str, Any]) -> None:
    own, risk = told["promises"], told["risk"]
    broken, expired = own["escape_rate"]["broken"], own["escape_rate_with_expiry"]["broken"]
    million = own["escapes_per_million"]
    print(
        f"{name:<12} refused {told['refused']:>4}; escape promise broken {broken['value']:6.1%} "
        f"[{broken['low']:.1%}, {broken['high']:.1%}], with expiry {expired['value']:6.1%}; per million "
        f"{million['promised_at_most']:6.1f} promised, {million['realised']['value']:6.1f} real; "
        f"held {risk['good_held']['mean']:6.2%}, {risk['review_minutes_per_shift']['mean']:5.1f} min; "
        f"{told['cpu_s']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
