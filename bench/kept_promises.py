"""Sum shifts up: in how many worlds each promise was broken, and what was realised over all of them."""

from typing import Any

import numpy as np

from appliance.decision import escapes
from appliance.decision.calibration import clopper_pearson
from bench.shifts import ASSURANCE, BASES, ESCAPE_RATE, SAMPLE_SHARE, SHIFT_PARTS, World


def summed(worlds: list[World]) -> dict[str, Any]:
    """Sum worlds up; a promise is broken in a world where the true rate exceeds what was promised there."""
    told: dict[str, Any] = {}
    for basis in (one.value for one in BASES):
        own = [world[basis] for world in worlds if basis in world]
        parts = len(own) * SHIFT_PARTS
        total = {name: sum(one[name] for one in own) for name in ("defective", "escaped", "escaped_with_expiry")}
        told[basis] = {
            "parts": parts,
            **total,
            "escapes_per_million": rate(total["escaped"], parts, 1e6),
            "escapes_per_million_with_expiry": rate(total["escaped_with_expiry"], parts, 1e6),
            "true_escape_rate": spread([one["true"]["escape_rate"] for one in own]),
            "good_held": spread([one["good_held"] / one["good"] for one in own]),
            "good_held_with_expiry": spread([one["good_held_with_expiry"] / one["good"] for one in own]),
            "good_rejected": spread([one["good_rejected"] / one["good"] for one in own]),
            "false_unknown": spread([one["good_unknown"] / one["good"] for one in own]),
            "review_minutes_per_shift": spread([one["minutes"] for one in own]),
        }
    told["promises"] = promises(worlds)
    told["estimate"] = estimated(worlds, "risk")
    told["expiry"] = {
        "worlds_tripped": rate(sum(world["tripped"] < np.inf for world in worlds), len(worlds)),
        "share_of_run_until_then": spread([world["tripped"] for world in worlds if world["tripped"] < np.inf]),
    }
    strange = [world["unknown"] for world in worlds if world["unknown"]["parts"]]
    told["unknown_class"] = {
        name: spread([one[name] / one["parts"] for one in strange])
        for name in ("passed_without_detector", "passed", "shown_as_unknown")
    }
    return told


def promises(worlds: list[World]) -> dict[str, Any]:
    """Count the worlds in which each promise was broken."""

    def broken(basis: str, name: str, key: str | None = None) -> dict[str, Any]:
        hits = 0
        for world in worlds:
            promised = world["promised"][key or name]
            bound = promised[basis] if isinstance(promised, dict) else promised
            hits += world[basis]["true"][name] > bound
        return rate(hits, len(worlds))

    by_confidence = [world["confidence"] for world in worlds if "confidence" in world]
    parts = len(by_confidence) * SHIFT_PARTS
    return {
        "escape_rate": {"of": ESCAPE_RATE, "allowed": 1 - ASSURANCE, "broken": broken("risk", "escape_rate")},
        "escape_rate_with_expiry": {
            "of": ESCAPE_RATE,
            "allowed": 1 - ASSURANCE,
            "broken": broken("risk", "escape_rate_with_expiry", "escape_rate"),
        },
        "held_good": {"allowed": 1 - ASSURANCE, "broken": broken("risk", "held_good")},
        "rejected_good": {"allowed": 1 - ASSURANCE, "broken": broken("risk", "rejected_good")},
        "review_minutes": {"allowed": 1 - ASSURANCE, "broken": broken("risk", "minutes")},
        "held_good_by_limits": {"allowed": 0.05, "broken": broken("limits", "held_good")},
        "escapes_per_million": {
            "promised_at_most": float(np.mean([world["promised"]["escapes_per_million"] for world in worlds])),
            "realised": rate(sum(world["risk"]["escaped"] for world in worlds), len(worlds) * SHIFT_PARTS, 1e6),
            "realised_with_expiry": rate(
                sum(world["risk"]["escaped_with_expiry"] for world in worlds), len(worlds) * SHIFT_PARTS, 1e6
            ),
        },
        "escapes_by_confidence": {
            "foretold_per_million": 1e6 * sum(one["foretold"] for one in by_confidence) / max(1, parts),
            "realised": rate(sum(one["escaped"] for one in by_confidence), parts, 1e6),
        },
        "false_unknown": {
            "promised_mean": float(np.mean([world["promised"]["unknown_rate"] for world in worlds])),
            "true_mean": float(np.mean([world["risk"]["true"]["unknown_good"] for world in worlds])),
        },
    }


def estimated(worlds: list[World], basis: str) -> dict[str, Any]:
    """Hold the estimate from the random sample against the escapes that there were, by world and over all of them."""
    covered = 0
    for world in worlds:
        one = world[basis]
        stratum = escapes.Stratum(SAMPLE_SHARE, one["accepted"], one["drawn"], one["drawn"], one["drawn_bad"])
        guess = escapes.estimate([stratum])
        covered += guess.low <= one["escaped"] / max(1, one["accepted"]) <= guess.high
    total = {
        name: sum(world[basis][name] for world in worlds) for name in ("accepted", "drawn", "drawn_bad", "escaped")
    }
    stratum = escapes.Stratum(SAMPLE_SHARE, total["accepted"], total["drawn"], total["drawn"], total["drawn_bad"])
    whole = escapes.estimate([stratum])
    return {
        "worlds_covered": rate(covered, len(worlds)),
        "over_all": {"value": whole.value, "low": whole.low, "high": whole.high, "drawn": whole.drawn},
        "truth": total["escaped"] / max(1, total["accepted"]),
    }


def rate(hits: int, chances: int, scale: float = 1.0) -> dict[str, Any]:
    """Give a count with the exact 95 % interval of its share, times `scale`."""
    low, high = clopper_pearson(int(hits), chances)
    return {"k": int(hits), "n": chances, "value": scale * hits / chances if chances else None,
            "low": scale * low, "high": scale * high}  # fmt: skip


def spread(values: list[float]) -> dict[str, float | None]:
    """Give mean, median and the largest but one in twenty."""
    if not values:
        return {"mean": None, "median": None, "p95": None}
    return {"mean": float(np.mean(values)), "median": float(np.median(values)), "p95": float(np.quantile(values, 0.95))}
