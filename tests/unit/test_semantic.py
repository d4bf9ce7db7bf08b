"""Semantic segmentation: fitted on rendered parts, the same findings over runtimes, and interpretation rules."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import numpy_helper

from appliance.ports.task import Reading, Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box, Finding
from appliance.schema.frame import PixelFormat
from appliance.storage import golden
from appliance.storage.bundle import Bundle
from appliance.tasks.semantic import SemanticInterpreter, SemanticReading, read_settings
from appliance.training.linear import Linear
from appliance.training.semantic_graph import CHANNELS, SemanticWeights, feature_model, semantic_model
from appliance.training.semantic_linear import LinearOptions, _enlarged, cell_shares, fit_semantic_bundle_closed
from appliance.training.weights import efficientnet_lite0
from kernels import build
from tests.unit.labelled_parts import CLASSES, CREATED, ROI, labelled_parts, raws, reader, stored

OPTIONS = LinearOptions(size=(256, 256), roi=ROI, folds=2, background_cells=40, threads=1)
CELL_PX = 16
# Two f32 runtimes add in different orders; bf16 keeps 8 bits of each activation.
SAME_PRECISION = 1e-3
OTHER_PRECISION = 0.2
KINDS = (ClassSpec("background", defect=False), ClassSpec("dent"), ClassSpec("hole", defect=False))
SHAPE = (4, 6)


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    """Give a stored bundle fitted on 72 rendered parts."""
    parts = labelled_parts(24, 8, seed=1)
    arguments = (CLASSES, PixelFormat.BAYER_RG8, OnnxRuntime(), "f32", CREATED, OPTIONS)
    fitted = fit_semantic_bundle_closed(iter(raws(parts)), [part.mask for part in parts], *arguments)
    return stored(fitted, tmp_path_factory.mktemp("bundles") / "one")


@pytest.fixture(scope="module")
def unseen():
    """Give 28 parts that the bundle was not fitted on."""
    return labelled_parts(10, 3, seed=2)


@pytest.fixture(scope="module")
def reference(bundle: Bundle, unseen) -> list[Reading]:
    """Give the readings of the bundle's own runtime."""
    return readings(bundle, OnnxRuntime(), "f32", unseen)


def readings(bundle: Bundle, runtime, precision: str, parts) -> list[Reading]:
    opened = reader(bundle, runtime, precision)
    return [opened.read(part.raw) for part in parts]


def edges(finding: Finding) -> np.ndarray:
    box = finding.box
    assert box is not None
    return np.array([box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px])


def test_defects_score_higher_and_are_found_where_they_are(unseen, reference: list[Reading]) -> None:
    """On parts never seen a defective one outscores a good one, and findings lie on defects."""
    good = np.array([one.score for one, part in zip(reference, unseen, strict=True) if part.label == "good"])
    bad = np.array([one.score for one, part in zip(reference, unseen, strict=True) if part.label != "good"])
    hits = []
    for one, part in zip(reference, unseen, strict=True):
        if part.label != "good" and one.findings:
            left, top, right, bottom = edges(one.findings[0]).astype(int)
            hits.append(bool(part.mask[top:bottom, left:right].any()))

    assert (bad[:, None] > good).mean() > 0.9
    assert len(hits) >= 6
    assert np.mean(hits) > 0.9


def test_two_runtimes_agree(bundle: Bundle, unseen, reference: list[Reading]) -> None:
    """OpenVINO in f32 gives the same regions, corner by corner, and scores within the bound, as ONNX Runtime."""
    found = readings(bundle, OpenVinoRuntime(), "f32", unseen)

    assert [[(f.kind, f.box, f.polygon) for f in one.findings] for one in reference] == [
        [(f.kind, f.box, f.polygon) for f in one.findings] for one in found
    ]
    assert max(abs(a.score - b.score) for a, b in zip(reference, found, strict=True)) < SAME_PRECISION


def test_two_precisions_agree_within_bounds(bundle: Bundle, unseen, reference: list[Reading]) -> None:
    """In bf16 scores stay within the bound, and a region clearly over its threshold stays one, at its place.

    Cells near a threshold may change sides, so edges move by a few cells and weak regions come and go.
    """
    runtime = OpenVinoRuntime()
    if runtime.choose() != "bf16":
        pytest.skip("this CPU does not compute in bf16")
    found = readings(bundle, runtime, "bf16", unseen)
    level = bundle.manifest.heads[0].classes[1].threshold
    clear = 0
    for one, other in zip(reference, found, strict=True):
        assert abs(one.score - other.score) < OTHER_PRECISION
        for finding in one.findings:
            if finding.score < level + (1 - level) / 2:
                continue
            near = [np.abs(edges(finding) - edges(f)).max() for f in other.findings if f.kind == finding.kind]
            clear += 1

            assert near, finding
            assert min(near) <= 4 * CELL_PX
    assert clear > 5


def test_golden_tensors_catch_another_normalisation(bundle: Bundle) -> None:
    """A model whose normalisation was changed fails its own golden tensors; the unchanged one passes."""
    (model,) = bundle.manifest.models
    golden.verify_session(bundle, model, OnnxRuntime().load(bundle.files[model.file], "f32", 1))
    changed = onnx.load_model_from_string(bundle.files[model.file])
    (mean,) = (one for one in changed.graph.initializer if one.name == "pixel_mean")
    mean.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(mean) - 4, "pixel_mean"))
    session = OnnxRuntime().load(changed.SerializeToString(), "f32", 1)
    with pytest.raises(RuntimeFault, match="golden tensor"):
        golden.verify_session(bundle, model, session)


def test_calibration_is_of_the_score_that_the_line_computes(bundle: Bundle, reference: list[Reading]) -> None:
    """Limits come from good parts that the model had not seen, on the scale of the interpreter's score."""
    manifest = bundle.manifest
    assert manifest.calibration is not None

    assert (TaskName.SEMANTIC, 72, 24) == (manifest.task, manifest.data.images, manifest.calibration.images)
    assert 0 <= manifest.calibration.accept_below <= 1
    assert all(0 <= one.score <= 1 + 1e-6 for one in reference)


def test_head_computes_what_was_fitted() -> None:
    """The graph's probabilities equal the layer on features that were enlarged before it, in a batch too."""
    random = np.random.default_rng(0)
    state, size = efficientnet_lite0(), (64, 96)
    layer = Linear(random.normal(0, 0.3, (CHANNELS, 3)).astype(np.float32), random.normal(size=3).astype(np.float32))
    images = random.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    features, model = (
        OnnxRuntime().load(content, "f32", 1)
        for content in (feature_model(state, size), semantic_model(state, size, SemanticWeights(layer), batch=2))
    )
    model.input[...] = images
    found = model.run()["probabilities"]
    for index, image in enumerate(images):
        features.input[0] = image
        taps = {name: np.moveaxis(tensor[0], 0, -1) for name, tensor in features.run().items()}
        logits = layer(np.concatenate([taps["s8"], _enlarged(taps["s16_early"])], axis=-1))
        expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)

        assert np.allclose(np.moveaxis(expected, -1, 0), found[index], atol=1e-5)


@settings(deadline=None)
@given(arrays(np.uint8, (40, 56), elements=st.integers(0, 2)))
def test_shares_are_exact_areas(mask: np.ndarray) -> None:
    """Shares of a cell add up to 1, and each class keeps its area, where cells divide the mask and where not."""
    for size in ((40, 56), (48, 64)):
        shares = cell_shares(mask, size, 3)

        assert np.allclose(1, shares.sum(axis=0), atol=1e-5)
        assert np.allclose([(mask == label).mean() for label in range(3)], shares.mean(axis=(1, 2)), atol=1e-4)


def test_misfits_are_refused() -> None:
    """Masks of another size, of another number or with unknown classes, and classes without cells are refused."""
    frames = [np.zeros((64, 64), np.uint8)] * 4
    options = LinearOptions(size=(32, 32))
    arguments = (("background", "dent"), PixelFormat.MONO8, OnnxRuntime(), "f32", CREATED, options)
    for masks, message in (
        ([np.zeros((64, 64), np.uint8)] * 3, "one mask per frame"),
        ([np.zeros((64, 60), np.uint8)] * 4, "class of each frame pixel"),
        ([np.full((64, 64), 2, np.uint8)] * 4, "holds class 2"),
        ([np.zeros((64, 64), np.uint8)] * 4, "class 1 covers"),
    ):
        with pytest.raises(ConfigError, match=message):
            fit_semantic_bundle_closed(frames, masks, *arguments)


def interpreter(kinds: tuple[ClassSpec, ...] = KINDS, fewest_cells: int = 1) -> SemanticInterpreter:
    head = Head(TaskName.SEMANTIC, kinds, "settings.json")
    return SemanticInterpreter(head, SemanticReading(fewest_cells), Window(10, 20, 60, 80), SHAPE)


def shares_of(cells: dict[tuple[int, int], tuple[int, float]]) -> np.ndarray:
    """Give probabilities (1, 3, rows, cols): background but for the cells given as class and its probability."""
    shares = np.zeros((1, 3, *SHAPE), np.float32)
    shares[0, 0] = 1
    for (row, col), (label, share) in cells.items():
        shares[0, :, row, col] = (1 - share, 0, 0)
        shares[0, label, row, col] = share
    return shares


def test_regions_are_findings_of_their_class() -> None:
    """Each connected region of a class is one finding, in frame pixels; features are listed and score nothing."""
    shares = shares_of({(0, 0): (1, 0.75), (1, 1): (1, 0.875), (3, 4): (2, 1.0), (3, 5): (2, 0.625)})
    said = interpreter().interpret({"probabilities": shares})

    assert 0.875 == said.score
    assert [
        ("dent", 0.875, Box(10, 20, 20, 40), 400.0),
        ("hole", 1.0, Box(50, 80, 20, 20), 400.0),
    ] == [(f.kind, f.score, f.box, f.area_px) for f in said.findings]
    assert {(50, 80), (70, 80), (70, 100), (50, 100)} == set(said.findings[1].polygon)


def test_class_maps_say_the_same() -> None:
    """Classes and confidences of the same cells give the same findings and score."""
    shares = shares_of({(0, 0): (1, 0.75), (1, 1): (1, 0.875), (3, 4): (2, 1.0)})
    maps = {"classes": shares.argmax(axis=1).astype(np.uint8), "confidence": shares.max(axis=1)}

    assert interpreter().interpret({"probabilities": shares}) == interpreter().interpret(maps)


def test_weak_and_small_regions_are_no_findings() -> None:
    """Cells under their class's threshold and regions of too few cells are left out; the score still knows them."""
    kinds = (KINDS[0], ClassSpec("dent", threshold=0.8), KINDS[2])
    shares = shares_of({(0, 0): (1, 0.75), (2, 2): (1, 0.9), (2, 4): (1, 0.9), (2, 5): (1, 0.9)})
    said = interpreter(kinds, fewest_cells=2).interpret({"probabilities": shares})

    assert [("dent", Box(50, 60, 20, 20))] == [(f.kind, f.box) for f in said.findings]
    assert pytest.approx(0.9) == said.score
    weak = interpreter(kinds).interpret({"probabilities": shares_of({(0, 0): (1, 0.75)})})

    assert (0.75, ()) == (weak.score, weak.findings)


@settings(deadline=None)
@given(arrays(np.float32, (1, 3, *SHAPE), elements=st.floats(0, 1, width=32)))
def test_no_defect_outscores_the_image(shares: np.ndarray) -> None:
    """A finding of a defect never has a higher confidence than the image score: no limit lets it pass unseen."""
    said = interpreter().interpret({"probabilities": shares})

    assert all(finding.score <= said.score + 1e-6 for finding in said.findings if finding.kind == "dent")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_what_is_no_number_has_no_score(broken: float, label: int) -> None:
    """One value that is no number, of any class, makes the score nan, which no limit accepts."""
    shares = shares_of({})
    shares[0, label, 1, 1] = broken
    said = interpreter().interpret({"probabilities": shares})
    maps = {"classes": np.zeros((1, *SHAPE), np.uint8), "confidence": np.full((1, *SHAPE), broken, np.float32)}

    assert np.isnan(said.score)
    assert () == said.findings
    assert np.isnan(interpreter().interpret(maps).score)


def test_batch_entries_speak_for_themselves() -> None:
    """Entry 1 of a batch says what it says alone, and scratch memory carries nothing over."""
    empty, dented = shares_of({}), shares_of({(1, 1): (1, 0.9)})
    one = interpreter()
    both = {"probabilities": np.concatenate([empty, dented])}

    assert interpreter().interpret({"probabilities": dented}) == one.interpret(both, 1)
    assert (0.0, ()) == (one.interpret(both, 0).score, one.interpret(both, 0).findings)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"probabilities": np.zeros((1, 2, *SHAPE), np.float32)},
        {"probabilities": np.zeros((0, 3, *SHAPE), np.float32)},
        {"classes": np.zeros((1, *SHAPE), np.uint8)},
        {"classes": np.zeros((1, 4, 4), np.uint8), "confidence": np.zeros((1, 4, 4), np.float32)},
    ],
)
def test_misfitting_outputs_are_faults(tensors: dict[str, np.ndarray]) -> None:
    """Missing outputs, other shapes and missing batch entries are named faults."""
    with pytest.raises(RuntimeFault, match="3 classes"):
        interpreter().interpret(tensors)


def test_unknown_class_and_meaningless_heads_are_faults() -> None:
    """A class map beyond the taxonomy, a defect as class 0, no defect at all, and damaged settings are faults."""
    maps = {"classes": np.full((1, *SHAPE), 3, np.uint8), "confidence": np.ones((1, *SHAPE), np.float32)}
    with pytest.raises(RuntimeFault, match="class 3 in `classes`"):
        interpreter().interpret(maps)
    for kinds in ((ClassSpec("dent"), ClassSpec("stain")), (KINDS[0], KINDS[2])):
        with pytest.raises(RuntimeFault, match="class 0 must be the background"):
            interpreter(kinds)
    with pytest.raises(RuntimeFault, match="settings are damaged"):
        read_settings(b"[")
