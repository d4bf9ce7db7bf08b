"""Classification: fitted on rendered parts, the same findings over runtimes, and interpretation rules."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from appliance.ports.task import Reading, Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box
from appliance.schema.frame import PixelFormat
from appliance.storage import golden
from appliance.storage.bundle import Bundle
from appliance.tasks.classification import ClassificationInterpreter, ClassificationReading, read_settings
from appliance.training.classification import fit_classification_bundle
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from kernels import build
from tests.unit.labelled_parts import CREATED, ROI, labelled_parts, raws, reader, stored

WINDOW = Window(*ROI)
# Kinds that a mean over the whole image shows; scratches and cracks need the semantic task.
KINDS = ("chip", "missing_hole")
NAMES = ("good", *KINDS)
OPTIONS = ClassificationOptions(roi=ROI, folds=2)
RUN = FitRun(OnnxRuntime(), "f32", CREATED, threads=1)
# Two f32 runtimes add in different orders. bf16 keeps 8 bits of each activation, and what it loses is the same for all
# parts of a kind, so it moves scores near the middle: measured at most 0.35 on 330 parts, 0.04 on average.
SAME_PRECISION = 1e-3
OTHER_PRECISION = 0.4
OTHER_PRECISION_MEAN = 0.1


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    """Give a stored bundle fitted on 52 rendered parts."""
    parts = labelled_parts(24, 14, 1, KINDS)
    labels = [part.label for part in parts]
    arguments = (PixelFormat.BAYER_RG8, RUN, OPTIONS)
    fitted = fit_classification_bundle(iter(raws(parts)), labels, NAMES, *arguments)
    return stored(fitted, tmp_path_factory.mktemp("bundles") / "one")


@pytest.fixture(scope="module")
def unseen():
    """Give 28 parts that the bundle was not fitted on."""
    return labelled_parts(10, 9, 2, KINDS)


@pytest.fixture(scope="module")
def reference(bundle: Bundle, unseen) -> list[Reading]:
    """Give the readings of the bundle's own runtime."""
    return readings(bundle, OnnxRuntime(), "f32", unseen)


def readings(bundle: Bundle, runtime, precision: str, parts) -> list[Reading]:
    opened = reader(bundle, runtime, precision)
    return [opened.read(part.raw) for part in parts]


def test_defects_score_higher(unseen, reference: list[Reading]) -> None:
    """On parts never seen, a defective one outscores a good one far more often than not."""
    good = np.array([one.score for one, part in zip(reference, unseen, strict=True) if part.label == "good"])
    bad = np.array([one.score for one, part in zip(reference, unseen, strict=True) if part.label != "good"])

    assert (bad[:, None] > good).mean() > 0.85


def test_two_runtimes_agree(bundle: Bundle, unseen, reference: list[Reading]) -> None:
    """OpenVINO in f32 gives the same kinds, boxes and, within the bound, scores as ONNX Runtime."""
    found = readings(bundle, OpenVinoRuntime(), "f32", unseen)

    assert [[(f.kind, f.box) for f in one.findings] for one in reference] == [
        [(f.kind, f.box) for f in one.findings] for one in found
    ]
    assert max(abs(a.score - b.score) for a, b in zip(reference, found, strict=True)) < SAME_PRECISION


def test_two_precisions_agree_within_bounds(bundle: Bundle, unseen, reference: list[Reading]) -> None:
    """In bf16 scores stay within the bound, and a finding farther than it from its threshold keeps its kind."""
    runtime = OpenVinoRuntime()
    if runtime.choose() != "bf16":
        pytest.skip("this CPU does not compute in bf16")
    found = readings(bundle, runtime, "bf16", unseen)
    moved = np.array([abs(a.score - b.score) for a, b in zip(reference, found, strict=True)])
    clear = [
        (a.findings[0].kind, [f.kind for f in b.findings])
        for a, b in zip(reference, found, strict=True)
        if a.findings and a.findings[0].score > 0.5 + OTHER_PRECISION
    ]

    assert moved.max() < OTHER_PRECISION
    assert moved.mean() < OTHER_PRECISION_MEAN
    assert clear
    assert [[kind] for kind, _ in clear] == [kinds for _, kinds in clear]


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


def test_manifest_states_what_was_done(bundle: Bundle) -> None:
    """The manifest names task, taxonomy, data and a calibration from good parts that the model had not seen."""
    manifest = bundle.manifest
    assert manifest.calibration is not None

    assert (TaskName.CLASSIFICATION, 52, 24) == (manifest.task, manifest.data.images, manifest.calibration.images)
    assert [(name, name != "good") for name in NAMES] == [(one.name, one.defect) for one in manifest.heads[0].classes]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (["good"] * 3 + ["bump"], ("good", "dent"), "label bump is unknown"),
        (["good"] * 3 + ["dent"], ("good", "dent"), r"\[3, 1\] of each"),
        (["good", "dent"], ("good", "dent"), "4 frames for 2 labels"),
        (["good"] * 4, ("good",), "at least two different classes"),
    ],
)
def test_misfits_are_refused(labels: list[str], classes: tuple[str, ...], message: str) -> None:
    """Unknown labels, missing labels and classes without examples are refused before anything is fitted."""
    frames = [np.zeros((64, 64), np.uint8)] * 4
    arguments = (PixelFormat.MONO8, RUN, ClassificationOptions(size=(32, 32)))
    with pytest.raises(ConfigError, match=message):
        fit_classification_bundle(frames, labels, classes, *arguments)


def interpreter(threshold: float = 0.5) -> ClassificationInterpreter:
    kinds = (
        ClassSpec("good", defect=False),
        ClassSpec("dent", threshold=threshold),
        ClassSpec("stain", threshold=threshold),
    )
    return ClassificationInterpreter(
        Head(TaskName.CLASSIFICATION, kinds, "settings.json"), ClassificationReading(), WINDOW
    )


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), st.floats(0.01, 1))
def test_score_and_finding_follow_the_probabilities(values: list[float], threshold: float) -> None:
    """The score is the sum over defects; the likeliest defect is a finding exactly when it reaches its threshold."""
    shares = np.array([values], np.float32)
    said = interpreter(threshold).interpret({"probabilities": shares})
    strongest = float(max(shares[0, 1:]))

    assert pytest.approx(float(shares[0, 1:].sum()), abs=1e-6) == said.score
    assert ([strongest] if strongest >= threshold else []) == [finding.score for finding in said.findings]
    assert said.score >= strongest - 1e-6


def test_finding_is_the_whole_window() -> None:
    """A class has no place but the window, and of a batch each entry speaks for itself."""
    batch = np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]], np.float32)
    (finding,) = interpreter().interpret({"probabilities": batch}, index=1).findings

    assert ("stain", Box(64, 0, 512, 512), None) == (finding.kind, finding.box, finding.confidence)
    assert () == interpreter().interpret({"probabilities": batch}).findings


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_no_score(broken: float) -> None:
    """A probability that is no number makes the score nan, which no limit accepts."""
    said = interpreter().interpret({"probabilities": np.array([[1, 0, broken]], np.float32)})

    assert np.isnan(said.score)
    assert () == said.findings


@pytest.mark.parametrize("tensors", [{}, {"probabilities": np.zeros((1, 4))}, {"probabilities": np.zeros((0, 3))}])
def test_misfitting_outputs_are_faults(tensors: dict[str, np.ndarray]) -> None:
    """Missing outputs, other counts of classes and missing batch entries are named faults."""
    with pytest.raises(RuntimeFault, match="no `probabilities` of 3 classes"):
        interpreter().interpret(tensors)


def test_meaningless_heads_and_damaged_settings_are_faults() -> None:
    """A head without a good class or without a defect has no score; settings that are no JSON are damaged."""
    for kinds in ((ClassSpec("dent"),), (ClassSpec("good", defect=False),)):
        head = Head(TaskName.CLASSIFICATION, kinds, "settings.json")
        with pytest.raises(RuntimeFault, match="at least one good class and one defect"):
            ClassificationInterpreter(head, read_settings(b"{}"), WINDOW)
    with pytest.raises(RuntimeFault, match="settings are damaged"):
        read_settings(b"{")


def test_fit_is_reproducible() -> None:
    """The same frames, labels and seed give the same bundle, byte for byte."""
    parts = labelled_parts(20, 2, 5, KINDS)
    options = ClassificationOptions(size=(64, 64), roi=ROI, folds=2, mirrored=False)
    arguments = (NAMES, PixelFormat.BAYER_RG8, RUN, options)
    first, second = (
        fit_classification_bundle(raws(parts), [part.label for part in parts], *arguments) for _ in range(2)
    )

    assert first.manifest == second.manifest
    assert first.files == second.files
