"""Protect the answer to who decides, and by what: a technician reads it in plain words, with what to do."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from appliance.check import run_check
from appliance.check.recipe import authority, basis, promise, unknown_parts
from appliance.config import Loaded, load
from appliance.governance.approval import sign
from appliance.governance.recipe_text import render
from appliance.schema.bundle import ConfidenceCurve, Novelty
from appliance.schema.health import Component, Condition
from appliance.schema.policy import Basis, Mode, Policy, RiskLimits
from appliance.storage import bundle
from appliance.storage.promise import FILE, PromiseFile
from tests.unit.approval_rig import AT, PARALLEL, RECIPE, key_of, write_station
from tests.unit.test_bundle import FILES, MANIFEST

CURVE = ConfidenceCurve("", (0.0, 1.0), (0.0, 1.0), 100, 50, 0.01)
KNOWN = replace(MANIFEST, novelty=Novelty("known.npz", "features", (0.0, 1.0)))
RISK = RiskLimits(1.0, 2.0, 0.005, 0.95, 598, 0, 900, "sha256:this", "f32", "d")


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Configure a station whose recipe people drive."""
    return load(write_station(tmp_path, render(PARALLEL)))


def test_who_decides_is_said(loaded: Loaded) -> None:
    """Mode, version, person, day and meaning; a signature that is missing or wrong fails with its remedy."""
    signed = sign(RECIPE, "", "QE1", AT, key_of("QE1"))
    primary = replace(loaded, recipe=RECIPE, approval=signed)
    parallel = authority(loaded)
    found = authority(primary)

    assert Condition.OK is parallel.condition
    assert "lid version 1, mode parallel: people decide each part" in parallel.cause
    assert parallel.cause.endswith("not approved, none is needed")
    assert Condition.OK is found.condition
    assert [] == [
        word
        for word in ("lid version 7, mode primary", "signed by QE1 on 2026-11-18", "may open the gate")
        if word not in found.cause
    ]
    for approval in (None, replace(signed, at=AT + 1), replace(signed, version=6)):
        refused = authority(replace(primary, approval=approval))
        assert (Condition.FAILED, True) == (refused.condition, "judge and line do not start" in refused.remedy)
    assert Condition.DEGRADED is authority(replace(loaded, approval=signed)).condition


@pytest.mark.parametrize(
    ("kind", "calibrated", "curve", "holds", "known"),
    [
        (Basis.LIMITS, True, False, True, True),
        (Basis.LIMITS, False, True, True, False),
        (Basis.LIMITS, True, True, False, False),
        (Basis.CONFIDENCE, True, False, True, False),
        (Basis.CONFIDENCE, False, True, True, True),
        (Basis.CONFIDENCE, True, True, False, False),
        (Basis.RISK, True, False, True, True),
        (Basis.RISK, False, True, True, True),
        (Basis.RISK, False, False, True, False),
    ],
)
def test_uncalibrated_is_said(kind: Basis, calibrated: bool, curve: bool, holds: bool, known: bool) -> None:
    """What the policy rests on must be calibrated, in the way that the station runs it; else nothing is accepted."""
    manifest = replace(
        MANIFEST, calibration=MANIFEST.calibration if calibrated else None, confidence=(CURVE,) if curve else ()
    )
    found = basis(Policy(basis=kind), manifest, holds=holds)

    assert known is (found.condition is Condition.OK)
    assert known is not found.cause.startswith("uncalibrated")
    assert known is not bool(found.remedy)


def test_classes_without_a_curve_are_named() -> None:
    """A class whose findings have no confidence goes to a person, and that is said."""
    found = basis(Policy(basis=Basis.CONFIDENCE), replace(MANIFEST, confidence=(CURVE,)), holds=True)

    assert "uncalibrated classes, which go to a person: anomaly" in found.cause
    assert "1.00% of accepted parts is drawn" in found.cause


def test_blindness_to_the_unknown_is_said() -> None:
    """A policy that asks for a detector accepts nothing without one; a policy that does not says so."""

    assert ["degraded", "ok", "ok"] == [
        unknown_parts(policy, manifest).condition
        for policy, manifest in ((Policy(), MANIFEST), (Policy(), KNOWN), (Policy(novelty="off"), MANIFEST))
    ]
    assert "not looked for" in unknown_parts(Policy(novelty="off"), KNOWN).cause


@pytest.mark.parametrize(
    ("risk", "precision", "void", "condition", "words"),
    [
        (RISK, "f32", "", "ok", ["at most 0.500%", "95%", "0 of 598", "expires with another bundle"]),
        (replace(RISK, escape_rate=1.0, defects=0), "f32", "", "ok", ["none yet about escapes"]),
        (replace(RISK, bundle="sha256:other"), "f32", "", "degraded", ["expired", "sha256:other", "sha256:this"]),
        (RISK, "int8", "", "degraded", ["expired", "f32", "int8"]),
        (RISK, "f32", "lamp drifted", "degraded", ["expired: lamp drifted: nothing is accepted"]),
    ],
)
def test_the_promise_and_its_end_are_said(
    risk: RiskLimits, precision: str, void: str, condition: str, words: list[str]
) -> None:
    """What is promised, on how much data, and what has ended it."""
    found = promise(risk, "sha256:this", precision, void)

    assert (condition, []) == (found.condition, [word for word in words if word not in found.cause])
    assert (condition == "ok") is not bool(found.remedy)


def test_the_check_shows_it_all(loaded: Loaded) -> None:
    """The rows stand in the check of a station, with the drift that `judge` has noted."""
    name = bundle.write(loaded.state / "bundles" / "lid-1", MANIFEST, FILES)
    policy = Policy(basis=Basis.RISK, risk=replace(RISK, bundle=name), novelty="off")
    recipe = replace(loaded.recipe, policy=policy)
    judge = replace(loaded.config.judge, runtime="onnx")
    station = replace(loaded, recipe=recipe, config=replace(loaded.config, judge=judge))
    before = rows(station)
    PromiseFile(loaded.state / FILE, recipe.name, recipe.version).void(name, "scores have drifted")
    after = rows(station)

    assert ["recipe", "policy", "unknown parts", "promise"] == [
        row for row in before if row in {"recipe", "policy", "unknown parts", "promise"}
    ]
    assert ("ok", "degraded") == (before["promise"].condition, after["promise"].condition)
    assert "scores have drifted" in after["promise"].cause
    assert msgspec.json.encode(list(before.values()))


def rows(loaded: Loaded) -> dict[str, Component]:
    """Check a station on which nothing runs."""
    return {row.name: row for row in run_check(loaded, listen_s=0.01)}


def test_without_a_bundle_the_mode_is_still_said(loaded: Loaded) -> None:
    """The bundle's own row says what is wrong with it."""
    found = rows(loaded)

    assert "recipe" in found
    assert "policy" not in found
    assert Mode.PARALLEL.value in found["recipe"].cause
