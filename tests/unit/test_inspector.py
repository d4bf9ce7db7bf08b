"""Bundle, preprocessing, runtime and task joined: the judge's own view of a model."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.clocks import CameraNs, HostNs
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.rule import Code, Count, Distance, Order, Presence, Rule, Text
from appliance.services._inspector import (
    BundleInspector,
    LoadedBundle,
    RecipeView,
    _patterns,
    load_bundle,
    load_inspector,
    verify_bundle,
)
from appliance.services._runtimes import open_runtime
from appliance.sim.parts.dayone import code_bayer_rg8, good_frames
from appliance.sim.parts.renderer import Renderer, part_generator
from appliance.sim.parts.truth import PartTruth
from appliance.storage import bundle
from appliance.training.anomaly import AnomalyOptions, fit_anomaly

SIZE = (480, 384)
PRECISION = "f32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit a bundle from 24 good parts, small enough for a test."""
    where = tmp_path_factory.mktemp("bundles") / "day-one"
    fitted = fit_anomaly(
        good_frames(24, 3, size=SIZE),
        PixelFormat.BAYER_RG8,
        OpenVinoRuntime(),
        PRECISION,
        "2026-01-01T00:00:00+00:00",
        AnomalyOptions(patches=300, folds=3),
    )
    bundle.write(where, fitted.manifest, fitted.files)
    return where


def frame_of(pixels: np.ndarray, pixel_format: PixelFormat = PixelFormat.BAYER_RG8) -> FrameReady:
    return FrameReady(
        camera="top",
        ref=SlotRef(9, 0, 2),
        frame_id=4,
        exposed=CameraNs(0),
        exposed_at=HostNs(0),
        exposed_uncertainty_ns=0,
        encoder=None,
        arrived=HostNs(0),
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        pixel_format=pixel_format,
        exposure_us=1000.0,
        gain_db=0.0,
        copies=0,
        counts=FrameCounts(good=1),
    )


def picture(defect: str | None, number: int) -> np.ndarray:
    truth = PartTruth(number, defect, seed=1000 + number)
    return code_bayer_rg8(Renderer(SIZE).render(truth, part_generator(truth)).image)


def test_defects_score_above_good_parts(folder: Path) -> None:
    """Even a model this small ranks a missing hole above nine of ten good parts that it has never seen."""
    inspector = load_inspector(folder, "openvino", PRECISION, 1)
    good = [inspector.inspect(frame_of(p), p).view.score for p in (picture(None, n) for n in range(6))]
    bad = [inspector.inspect(frame_of(p), p).view.score for p in (picture("missing_hole", n) for n in (7, 8, 9))]

    assert np.mean([b > g for b in bad for g in good]) >= 0.9


def test_a_view_names_its_frame_and_finds_the_place(folder: Path) -> None:
    """A result belongs to one frame for ever, and its findings lie in that frame's pixels."""
    pixels = picture("missing_hole", 7)
    inspection = load_inspector(folder, "openvino", PRECISION, 1).inspect(frame_of(pixels), pixels)
    view = inspection.view

    assert ("top", 9, 4) == (view.camera, view.epoch, view.frame_id)
    box = view.findings[0].box
    assert box is not None
    assert 0 <= box.x_px < box.x_px + box.width_px <= SIZE[0]
    assert 0 <= box.y_px < box.y_px + box.height_px <= SIZE[1]
    assert 0.0 < (view.p_value or 0.0) <= 1.0


def test_the_frame_is_not_changed(folder: Path) -> None:
    """The frame is lent: inspecting it must not write to it."""
    pixels = picture(None, 1)
    before = pixels.copy()
    pixels.setflags(write=False)
    load_inspector(folder, "openvino", PRECISION, 1).inspect(frame_of(pixels), pixels)

    assert np.array_equal(before, pixels)


def test_another_pixel_format_is_a_fault(folder: Path) -> None:
    """Limits hold for the format they were calibrated on; another one must not be judged by them."""
    pixels = picture(None, 1)
    inspector = load_inspector(folder, "openvino", PRECISION, 1)
    with pytest.raises(RuntimeFault, match="delivers Mono8, the bundle was calibrated on BayerRG8"):
        inspector.inspect(replace(frame_of(pixels), pixel_format=PixelFormat.MONO8), pixels)


def test_a_changed_byte_is_refused(folder: Path, tmp_path: Path) -> None:
    """One flipped byte of the model and the bundle does not load."""
    copy = tmp_path / "tampered"
    copy.mkdir()
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        if path.name == "model.onnx":
            content[len(content) // 2] ^= 1
        (copy / path.name).write_bytes(content)
    with pytest.raises(RuntimeFault, match=r"model\.onnx has SHA-256"):
        load_inspector(copy, "openvino", PRECISION, 1)


def test_verify_says_what_it_checked(folder: Path) -> None:
    """`bundle verify` gives one line with the id and the golden tensors' difference."""
    line = verify_bundle(folder)

    assert line.startswith("sha256:")
    assert "golden tensors differ by at most" in line


def test_an_unknown_runtime_is_bad_input() -> None:
    """Only runtimes that exist can be chosen."""
    with pytest.raises(ConfigError, match="'tensorflow': unknown; choose one of openvino, onnx,"):
        open_runtime("tensorflow")


@pytest.mark.parametrize(
    "rule",
    [
        Count("no scratches", "top", "scrath", 0, 0),
        Presence("hole", "top", "hole"),
        Order("row", "top", ("anomaly", "pin")),
        Distance("pitch", "top", "anomaly", "code", 1, 2),
    ],
)
def test_a_rule_about_an_unknown_class_is_refused(folder: Path, rule: Rule) -> None:
    """A misspelt class is never found, so a rule that forbids it would always hold."""
    with pytest.raises(ConfigError, match=rf"rule {rule.name}: .* is no class of bundle day-one, classes are anomaly;"):
        load_inspector(folder, "openvino", PRECISION, 1, RecipeView((rule,)))


def test_a_rule_about_text_needs_a_bundle_that_reads(folder: Path) -> None:
    """A text rule on a bundle without OCR, or one that can never hold, is refused at load."""
    with pytest.raises(ConfigError, match="rule lot asks for text, bundle day-one reads none"):
        load_inspector(folder, "openvino", PRECISION, 1, RecipeView((Text("lot", "top"),)))
    with pytest.raises(ConfigError, match="rule lot: "):
        load_inspector(folder, "openvino", PRECISION, 1, RecipeView((Code("lot", "top", pattern="("),)))


def test_a_broken_rule_is_told_with_the_view(folder: Path) -> None:
    """What the recipe asks beside the score is held against the same findings, in the view it names alone."""
    pixels = picture("missing_hole", 7)
    rules = (Count("clean", "top", "anomaly", 0, 0), Count("other", "side", "anomaly", 5, 9), Code("mark", "top"))
    inspector = load_inspector(folder, "openvino", PRECISION, 1, RecipeView(rules))
    told = inspector.inspect(frame_of(pixels), pixels).view.broken_rules

    assert ["clean", "mark"] == [line.split(":")[0] for line in told]


def test_device_memory_goes_with_the_last_reference(folder: Path) -> None:
    """A swapped-out bundle is given back when nobody holds it, and not before: a part may still be judged by it."""
    loaded = load_bundle(folder, open_runtime("onnx"), PRECISION, 1)
    closed = []
    session = type("Device", (), {"runtime": "twin", "precision": PRECISION, "close": lambda _: closed.append(1)})()
    active = BundleInspector(LoadedBundle(loaded.bundle, {"model": session}))
    part = active
    del active

    assert [] == closed
    del part
    assert [1] == closed


def text_rule(region: Box | None, pattern: str) -> Text:
    return Text(name="code", view="top", region=region, pattern=pattern)


def test_text_is_read_by_what_its_rules_ask() -> None:
    """Each region is read by the patterns of its own rules; one rule that takes any text leaves its region free."""
    left, right = Box(0, 0, 10, 10), Box(20, 0, 10, 10)
    apart = (text_rule(left, "A[0-9]"), text_rule(left, "B[0-9]"), text_rule(right, ""))
    together = (text_rule(left, "A[0-9]"), text_rule(None, "B[0-9]"))

    assert _patterns(apart) == {left: ["A[0-9]", "B[0-9]"]}
    assert _patterns(together) == {None: ["A[0-9]", "B[0-9]"]}
    assert _patterns((*together, text_rule(right, ""))) == {}
