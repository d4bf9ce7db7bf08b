"""Protect what the judge is told of a view: probabilities, likeness and heads that hold in this precision, or none."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.decision.disposition import judge_view
from appliance.decision.standing import limits_of, uncalibrated
from appliance.ports.task import Reading
from appliance.schema.bundle import (
    ClassSpec,
    ConfidenceCurve,
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Manifest,
    ModelSpec,
    Novelty,
    Precision,
    Preprocessing,
    TaskName,
    TensorSpec,
)
from appliance.schema.errors import ConfigError
from appliance.schema.finding import Finding, HeadScore, ViewResult
from appliance.schema.frame import PixelFormat
from appliance.schema.limits import Limits
from appliance.schema.policy import Bands, Basis, Policy, Role
from appliance.schema.verdict import Disposition, Reason
from appliance.services._inspector import BundleInspector, LoadedBundle, RecipeView
from appliance.storage.bundle import Bundle
from appliance.tasks.confidence import ConfidentReader
from tests.unit.judge_rig import frame

GOOD_SCORES = (0.1, 0.2, 0.3, 0.4)
LIMITS = GoodOnlyCalibration(4, 1.0, 2.0, 0.2, 0.5, GOOD_SCORES)
CURVES = (
    ConfidenceCurve("", (0.0, 1.0), (0.1, 0.9), 40, 10, 0.02),
    ConfidenceCurve("scratch", (0.0, 1.0), (0.2, 0.8), 30, 15, 0.02),
)
NOVELTY = Novelty("novelty.npz", "features", tuple(float(one) for one in range(1, 100)), ("good", "scratch"))
HEADS = (
    Head(TaskName.ANOMALY, (ClassSpec("anomaly"),), "a.json", "a."),
    Head(TaskName.SEMANTIC, (ClassSpec("scratch"), ClassSpec("screw", defect=False)), "s.json", "s.", LIMITS),
    Head(TaskName.CLASSIFICATION, (ClassSpec("good", defect=False), ClassSpec("dent")), "c.json", "c."),
)
MANIFEST = Manifest(
    4,
    "2026-01-01T00:00:00+00:00",
    HEADS,
    (ModelSpec("model", "model.onnx", TensorSpec("image", "uint8", (1, 2, 2, 3)), (), "golden.npz"),),
    Preprocessing(PixelFormat.MONO8, 2, 2),
    "openvino",
    Precision.F32,
    DataSnapshot(1, "0" * 64),
    LIMITS,
    {},
    confidence=CURVES,
    novelty=NOVELTY,
)
BY_LIMITS = Policy()
READING = Reading(0.5, (Finding("scratch", 0.5, None),), 1.0, 2.0, (1.5, 0.25), 49.5)


class Reader:
    """Read what the test says."""

    def read(self, pixels: np.ndarray) -> Reading:
        return READING


class Loaded(LoadedBundle):
    """Read every frame alike."""

    def __init__(self, manifest: Manifest, precision: str) -> None:
        self.bundle, self.manifest = Bundle("sha256:a", Path("b"), manifest, {}), manifest
        self.sessions, self.runtime, self.precision = {}, "openvino", precision

    def reader(self, *how: object) -> Reader | ConfidentReader:
        return ConfidentReader(Reader(), self.manifest.confidence) if self.calibration_holds else Reader()


def seen(
    precision: str = "f32", manifest: Manifest = MANIFEST, policy: Policy = BY_LIMITS
) -> tuple[ViewResult, BundleInspector]:
    inspector = BundleInspector(Loaded(manifest, precision), RecipeView(policy=policy))
    return inspector.inspect(frame(0), np.zeros((2, 2), np.uint8)).view, inspector


def test_a_view_is_told_in_probabilities() -> None:
    """The image by its own curve, each finding by its class's, likeness by held-out known parts."""
    view, inspector = seen()

    assert pytest.approx(0.5) == view.probability
    assert [pytest.approx(0.5)] == [finding.confidence for finding in view.findings]
    assert (49.5, 51 / 100) == (view.novelty, view.novelty_p)
    assert (1 / 5, 99) == (view.p_value, inspector.limits.known_parts)


def test_each_head_brings_its_own_limits() -> None:
    """Behind the deciding head in the bundle's order; one without a calibration has none."""
    assert (HeadScore("semantic", 1.5, 1.0, 2.0), HeadScore("classification", 0.25)) == seen()[0].heads


def test_in_another_precision_nothing_is_known() -> None:
    """No limits, curve, likeness nor confidence outlives a change of precision; what was found is still shown."""
    view, inspector = seen("bf16")

    assert (None, None, None) == (view.probability, view.p_value, view.novelty_p)
    assert [("scratch", None)] == [(finding.kind, finding.confidence) for finding in view.findings]
    assert {(None, None)} == {(head.accept_below, head.reject_above) for head in view.heads}
    assert not inspector.limits.calibrated
    for basis in Basis:
        judged = judge_view(view, inspector.limits, Policy(basis=basis), "sha256:a", "bf16")

        assert (Disposition.REVIEW, True) == (judged[0], Reason.UNCALIBRATED in judged[1])


def test_limits_name_what_is_a_defect_and_whose() -> None:
    """Classes of the good and of parts to count are no defects; a class belongs to the first head that knows it."""
    limits = limits_of(MANIFEST, holds=True)

    assert (1.0, 2.0, 0.25, "anomaly", 99) == (
        limits.accept_below,
        limits.reject_above,
        limits.base_rate,
        limits.task,
        limits.known_parts,
    )
    assert {"anomaly": "anomaly", "scratch": "semantic", "dent": "classification"} == limits.kinds
    assert {"text", "code", "screw", "good"} == limits.features
    assert Limits(task="anomaly", kinds=limits.kinds, features=limits.features) == limits_of(MANIFEST, holds=False)


def test_a_second_heads_defect_can_decide() -> None:
    """With its own limits a head that the recipe lets decide turns an accept into a person's."""
    view, inspector = seen()

    def said(policy: Policy) -> Disposition:
        return judge_view(view, inspector.limits, policy, "sha256:a", "f32")[0]

    assert [Disposition.ACCEPT, Disposition.REVIEW] == [
        said(Policy(heads=heads)) for heads in ({}, {"semantic": Role.DECIDES})
    ]


@pytest.mark.parametrize(
    ("precision", "calibration", "curves", "expected"),
    [
        ("f32", LIMITS, CURVES, ""),
        ("f32", None, CURVES, ""),
        ("f32", LIMITS, (), ""),
        ("f32", None, CURVES[1:], "uncalibrated: no limits and no curve; nothing is accepted"),
        ("int8", LIMITS, CURVES, "uncalibrated: calibrated in f32, run in int8; nothing is accepted"),
    ],
)
def test_uncalibrated_is_said_in_one_line(
    precision: str, calibration: GoodOnlyCalibration | None, curves: tuple[ConfidenceCurve, ...], expected: str
) -> None:
    """Every page says the same of a bundle, and what the judge makes of it is the same."""
    manifest = replace(MANIFEST, calibration=calibration, confidence=curves)

    assert expected == uncalibrated(manifest, precision)
    assert bool(expected) != limits_of(manifest, holds=precision == manifest.precision).calibrated


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(class_bands={"scrach": Bands()}), "policy.class_bands: 'scrach' is not in bundle b, known are"),
        (Policy(heads={"semantics": Role.DECIDES}), "policy.heads: 'semantics' is not in bundle b, known are"),
    ],
)
def test_a_policy_that_names_what_is_not_there_is_refused(policy: Policy, expected: str) -> None:
    """A misspelt class would keep the default bands, and nobody would notice."""
    with pytest.raises(ConfigError, match=expected):
        seen(policy=policy)
