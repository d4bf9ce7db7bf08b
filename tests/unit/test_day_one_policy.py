"""Protect the start: strict without evidence, less strict by evidence alone, and always saying what is missing."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.calibration import upper_bound
from appliance.decision.day_one import LADDER, Evidence, defects_needed, good_needed, limits_at, propose
from appliance.decision.risk import counted
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Basis, RiskLimits
from tests.unit.test_cli_recipe import Station


def spread(count: int, low: float, high: float) -> tuple[float, ...]:
    """Give scores, evenly spread."""
    return tuple(low + (high - low) * index / max(1, count - 1) for index in range(count))


def in_force(accept_below: float, escape_rate: float = 1.0) -> RiskLimits:
    """Give limits as a recipe holds them."""
    return RiskLimits(accept_below, 9.0, escape_rate, 0.95, 0, 0, 100, "sha256:1", "f32", "d")


def test_the_ladder_asks_for_more_with_each_step() -> None:
    """59, 199 and 598 defects without a miss, and never fewer parts or days than the step before."""

    assert [0, 59, 199, 598] == [defects_needed(step) for step in LADDER]
    assert [29, 59, 149, 598] == [good_needed(step) for step in LADDER]
    assert sorted(step.days for step in LADDER) == [step.days for step in LADDER]
    assert sorted((step.overkill for step in LADDER), reverse=True) == [step.overkill for step in LADDER]


def test_day_one_holds_back_five_to_ten_percent() -> None:
    """With good parts alone nothing is promised of defects, and the strictest limit that keeps to 10 % is taken."""
    found = propose(Evidence(spread(200, 0, 1), (), 0))

    assert "day one" == found.step.name
    assert counted(19, 200) == found.limits.overkill
    assert 0.05 <= found.limits.overkill.k / 200 <= 0.10
    assert upper_bound(19, 200) < 0.15
    assert ("0 of 59 defects", "0 of 3 days") == found.missing
    assert 1.0 == found.limits_of("b", "f32", "d").escape_rate
    assert max(spread(200, 0, 1)) == found.limits.reject_above


@pytest.mark.parametrize(
    ("good", "defects", "days", "step", "missing"),
    [
        (1000, 58, 30, "day one", ("58 of 59 defects",)),
        (1000, 59, 30, "95 % of defects", ("59 of 199 defects",)),
        (1000, 59, 2, "day one", ("2 of 3 days",)),
        (1000, 598, 9, "95 % of defects", ("9 of 10 days",)),
        (148, 598, 30, "95 % of defects", ("148 of 149 good parts",)),
        (1000, 199, 30, "98.5 % of defects", ("199 of 598 defects",)),
        (597, 120, 30, "95 % of defects", ("120 of 199 defects",)),
        (597, 598, 19, "98.5 % of defects", ("597 of 598 good parts", "19 of 20 days")),
        (598, 598, 20, "99.5 % of defects", ()),
    ],
)
def test_each_step_needs_all_of_its_evidence(
    good: int, defects: int, days: int, step: str, missing: tuple[str, ...]
) -> None:
    """Defects, good parts and days: one too few of any keeps the step, and the line says which."""
    found = propose(Evidence(spread(good, 0, 1), spread(defects, 2, 3), days))

    assert (step, missing) == (found.step.name, found.missing)


def test_parts_that_the_bundle_learned_from_prove_nothing() -> None:
    """Any number of defects that are not held out leaves day one as it is, and never raises the limit in force."""
    found = propose(Evidence(spread(1000, 0, 1), spread(5000, 2, 3), 300, held_out=False), in_force(0.3))

    assert ("day one", 0.3) == (found.step.name, found.limits.accept_below)
    assert "0 of 59 held-out defects" == found.missing[0]


def test_a_promise_in_force_is_not_given_up_for_a_weaker_one() -> None:
    """Evidence that proves less than what is promised tightens, but never loosens."""
    evidence = Evidence(spread(1000, 0, 1), spread(60, 2, 3), 30)

    assert 0.4 == propose(evidence, in_force(0.4, 0.005)).limits.accept_below
    assert 0.9 < propose(evidence, in_force(0.4, 0.05)).limits.accept_below < 1
    assert 0.9 < propose(evidence, in_force(2.0, 0.005)).limits.accept_below < 1


def test_defects_that_score_low_hold_the_limit_down() -> None:
    """The escape rate comes before the overkill; where nothing could be accepted, a better bundle is asked for."""
    low = propose(Evidence(spread(1000, 0, 1), spread(59, 0.5, 3), 30))

    assert (0, 0.5) == (low.limits.escapes.k, math.nextafter(low.limits.accept_below, 1))
    with pytest.raises(ConfigError, match="accepts 0 of 1000 good parts"):
        propose(Evidence(spread(1000, 0.5, 1), spread(59, 0.1, 3), 30))


def test_too_few_good_parts_state_nothing() -> None:
    """Twenty good parts are the fewest of which an overkill can be stated."""
    with pytest.raises(ConfigError, match="19 good parts, at least 20"):
        propose(Evidence(spread(19, 0, 1), (), 0))


SCORES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=80).map(tuple)
GOOD = st.lists(st.floats(0, 0.5), min_size=60, max_size=200).map(tuple)
MANY = st.integers(0, 240).map(lambda count: spread(count, 0.45, 1))
DAYS = st.integers(0, 40)


@given(GOOD, MANY, DAYS, st.integers(0, 100), st.integers(0, 400), st.integers(0, 20))
def test_more_evidence_never_leads_down(
    good: tuple[float, ...], defects: tuple[float, ...], days: int, more_good: int, more_defects: int, more_days: int
) -> None:
    """Adding good parts, defects or days leaves the step or raises it, and what is missing shrinks."""
    try:
        before = propose(Evidence(good, defects, days)).step
        after = propose(
            Evidence(good + spread(more_good, 0, 0.5), defects + spread(more_defects, 0.45, 1), days + more_days)
        ).step
    except ConfigError:  # defects that score as low as every good part: there are no limits at all
        return

    assert LADDER.index(before) <= LADDER.index(after)


@given(GOOD, SCORES, DAYS, st.floats(0, 1), st.booleans(), st.sampled_from([1.0, 0.05, 0.005]))
def test_the_accept_limit_is_never_loosened_without_held_out_proof(
    good: tuple[float, ...], defects: tuple[float, ...], days: int, limit: float, held_out: bool, rate: float
) -> None:
    """A higher limit than the one in force keeps at least its promise, by an exact bound on held-out defects."""
    try:
        found = propose(Evidence(good, defects, days, held_out), in_force(limit, rate))
    except ConfigError:
        return
    if found.limits.accept_below > limit:
        escapes = found.limits.escapes

        assert held_out
        assert found.step.escape_rate is not None
        assert found.step.escape_rate <= rate
        assert upper_bound(escapes.k, escapes.n) <= found.step.escape_rate


@given(GOOD, MANY, st.floats(0, 0.45))
def test_a_defect_that_scores_low_never_raises_the_limit(
    good: tuple[float, ...], defects: tuple[float, ...], score: float
) -> None:
    """Within a step, one more defect that looks good only makes the limit stricter."""
    try:
        before, after = (propose(Evidence(good, found, 40)) for found in (defects, (*defects, score)))
    except ConfigError:
        return
    if before.step == after.step:
        assert after.limits.accept_below <= before.limits.accept_below


@given(GOOD, SCORES, st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_limit_trades_escapes_for_overkill(
    good: tuple[float, ...], defects: tuple[float, ...], one: float, other: float
) -> None:
    """Whatever the scores are, a lower limit passes no more defects and holds back no fewer good parts."""
    strict, loose = (limits_at(limit, Evidence(good, defects, 0)) for limit in sorted((one, other)))

    assert strict.escapes.k <= loose.escapes.k
    assert strict.overkill.k >= loose.overkill.k


def test_the_command_proposes_what_the_evidence_allows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--day-one` writes limits and what is missing; the same evidence again changes nothing and is refused."""
    station = Station(tmp_path, capsys)
    report = {"evidence": "day_one", "bundle": "sha256:1", "precision": "f32", "days": 5}
    report |= {"good": spread(700, 0, 1), "defects": [*spread(120, 2, 3), None]}
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(report), "utf-8")
    words = ["recipe", "propose", "--day-one", "--evidence", file, "--person", "QE1", "--why", "first week"]

    assert 0 == station.run(*words)
    assert "for the next step: 121 of 199 defects, 5 of 10 days" in station.said
    assert "escapes  0.00% (0 of 121" in station.said
    assert 0 == station.approve(2)
    assert 0 == station.activate(2)
    policy = station.loaded().recipe.policy
    assert (Basis.RISK, 0.05, 121, "sha256:1") == (
        policy.basis, policy.risk.escape_rate, policy.risk.defects, policy.risk.bundle
    )  # fmt: skip
    assert 2 == station.run(*words)
    assert "changes 0 values" in station.said


def test_the_command_wants_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An evaluation holds no scores of single parts, and a recipe is not both written and made."""
    station = Station(tmp_path, capsys)
    words = ["recipe", "propose", "--day-one", "--person", "QE1", "--why", "x"]

    assert 2 == station.run(*words, "--evidence", tmp_path / "evaluation.json")
    assert "holds no scores of inspected parts" in station.said
    assert 2 == station.run(*words[:2], tmp_path / "recipe.toml", *words[2:])
    assert "exclude each other" in station.said
    assert 2 == station.run(*words)
