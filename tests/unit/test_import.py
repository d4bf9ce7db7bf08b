"""A foreign model becomes a bundle that says what the original says, in the outputs that our tasks read."""

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest

from appliance.importing.parity import ParityReport
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import TaskName
from appliance.storage import golden
from kernels.reference import preprocess
from tests.unit import foreign_models as foreign
from tests.unit.import_rig import IMAGENET, PLAIN, Desk, names

UINT8 = onnx.TensorProto.UINT8
MODELS = {
    "anomalib 2": (foreign.anomalib, "", TaskName.ANOMALY, {"map": (1, 256, 256)}),
    "anomalib of any size": (
        lambda: foreign.anomalib(dynamic=True),
        "size = [128, 192]",
        TaskName.ANOMALY,
        {"map": (1, 128, 192)},
    ),
    "anomalib without post-processing": (
        lambda: foreign.anomalib(inside=False),
        "threshold = 1.5",
        TaskName.ANOMALY,
        {"map": (1, 256, 256)},
    ),
    "anomalib without normalisation": (
        lambda: foreign.anomalib(inside=False, normalise=False),
        "threshold = 1.5\n" + IMAGENET,
        TaskName.ANOMALY,
        {"map": (1, 256, 256)},
    ),
    "detector": (
        lambda: foreign.ultralytics(("a", "b")),
        "",
        TaskName.DETECTION,
        {"boxes": (1, 8400, 4), "scores": (1, 8400, 2)},
    ),
    "detector of any size": (
        lambda: foreign.ultralytics(("a", "b"), 320, dynamic=True),
        "",
        TaskName.DETECTION,
        {"boxes": (1, 2100, 4), "scores": (1, 2100, 2)},
    ),
    "detector without metadata": (
        lambda: foreign.ultralytics(("a", "b"), 320, metadata=False),
        names(2) + PLAIN,
        TaskName.DETECTION,
        {"boxes": (1, 2100, 4), "scores": (1, 2100, 2)},
    ),
    "segmenter": (
        lambda: foreign.ultralytics(("a", "b"), 160, 32),
        "",
        TaskName.INSTANCE,
        {
            "boxes": (1, 525, 4),
            "scores": (1, 525, 2),
            "coefficients": (1, 525, 32),
            "prototypes": (1, 32, 40, 40),
        },
    ),
    "end to end": (
        lambda: foreign.end_to_end(("a", "b", "c")),
        "",
        TaskName.DETECTION,
        {"boxes": (1, 300, 4), "scores": (1, 300, 3)},
    ),
    "Ultralytics classifier": (
        lambda: foreign.ultralytics_classifier(("good", "b", "c")),
        "",
        TaskName.CLASSIFICATION,
        {"probabilities": (1, 3)},
    ),
    "RT-DETR rows": (
        lambda: foreign.detr_rows(7),
        names(7) + PLAIN,
        TaskName.DETECTION,
        {"boxes": (1, 300, 4), "scores": (1, 300, 7)},
    ),
    "DETR with no object": (
        lambda: foreign.detr_pair(6),
        "size = [320, 320]\n" + names(5) + IMAGENET,
        TaskName.DETECTION,
        {"boxes": (1, 100, 4), "scores": (1, 100, 5)},
    ),
    "DETR with sigmoid": (
        lambda: foreign.detr_pair(6),
        "size = [320, 320]\n" + names(6) + PLAIN,
        TaskName.DETECTION,
        {"boxes": (1, 100, 4), "scores": (1, 100, 6)},
    ),
    "D-FINE": (
        lambda: foreign.d_fine(5),
        names(5) + PLAIN,
        TaskName.DETECTION,
        {"boxes": (1, 300, 4), "scores": (1, 300, 5)},
    ),
    "classifier of logits": (
        lambda: foreign.classifier(4),
        names(4) + IMAGENET,
        TaskName.CLASSIFICATION,
        {"probabilities": (1, 4)},
    ),
    "classifier of probabilities": (
        lambda: foreign.classifier(4, softmax=True),
        names(4) + IMAGENET,
        TaskName.CLASSIFICATION,
        {"probabilities": (1, 4)},
    ),
    "classifier of an old opset": (
        lambda: foreign.classifier(4, opset=11),
        names(4) + IMAGENET,
        TaskName.CLASSIFICATION,
        {"probabilities": (1, 4)},
    ),
    "classifier of BGR bytes": (
        lambda: foreign.classifier(4, axes="NHWC", kind=UINT8),
        names(4) + 'colour = "BGR"',
        TaskName.CLASSIFICATION,
        {"probabilities": (1, 4)},
    ),
    "classifier of one number": (
        lambda: foreign.classifier(1),
        names(2) + IMAGENET,
        TaskName.CLASSIFICATION,
        {"probabilities": (1, 2)},
    ),
    "torchvision": (
        lambda: foreign.torchvision(3),
        names(3) + IMAGENET,
        TaskName.SEMANTIC,
        {"classes": (1, 128, 128), "confidence": (1, 128, 128)},
    ),
    "torchvision of an old opset": (
        lambda: foreign.torchvision(3, opset=11),
        names(3) + IMAGENET,
        TaskName.SEMANTIC,
        {"classes": (1, 128, 128), "confidence": (1, 128, 128)},
    ),
}

CHOSEN = ("end to end", "D-FINE")


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.mark.parametrize("kind", MODELS)
def test_every_layout_becomes_a_bundle_with_canonical_outputs(desk, kind):
    """The bundle reads back, holds on its golden tensors in both runtimes, and accepts nothing yet."""
    make, mapping, task, outputs = MODELS[kind]
    taken = desk.take(make(), mapping)
    manifest, model = taken.manifest, taken.manifest.models[0]

    assert (task, None) == (manifest.task, manifest.calibration)
    assert outputs == {spec.name: spec.shape for spec in model.outputs}
    assert {"evidence/parity.json", "evidence/mapping.toml"} == set(manifest.evidence)
    # Rows that a model chooses by score come in another order where two scores are as good as equal.
    for runtime in (desk.runtime,) if kind in CHOSEN else (desk.runtime, OnnxRuntime()):
        proof = golden.verify_session(taken, model, runtime.load(taken.files[model.file], "f32", 1))

        assert set(outputs) == set(proof.worst)
    assert golden.verify_preprocessing(taken) <= 1


def test_the_mapping_kept_in_the_bundle_makes_the_same_bundle_again(desk):
    """What was recognised and decided can be repeated without guessing."""
    first = desk.take(foreign.detr_rows(7, 160, 50), names(7) + PLAIN)
    desk.folder.joinpath("bundle").rename(desk.folder / "first")
    second = desk.take(foreign.detr_rows(7, 160, 50), first.files["evidence/mapping.toml"].decode())

    assert first.files["model.onnx"] == second.files["model.onnx"]
    assert first.manifest.heads == second.manifest.heads


def results(model, image, **others):
    """Run a model as it is in ONNX Runtime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    named = [output.name for output in session.get_outputs()]
    return dict(zip(named, session.run(named, {session.get_inputs()[0].name: image, **others}), strict=True))


def prepared(frame, rows, cols, mean=0.0, std=1.0):
    """Prepare a frame as the trainer's own code would: (1, 3, rows, cols) float32."""
    image = preprocess(frame, "RGB8", (0, 0, frame.shape[1], frame.shape[0]), (rows, cols))
    values = (image.transpose(2, 0, 1)[None] / 255 - mean) / std
    return image, values.astype(np.float32)


def imported(taken, image):
    """Run the imported model."""
    session = OnnxRuntime().load(taken.files["model.onnx"], "f32", 1)
    session.input[...] = image
    return {name: np.array(array) for name, array in session.run().items()}


def test_centres_and_sizes_become_corners_in_pixels(desk):
    """Boxes of a detector are x1 y1 x2 y2 in pixels of the input image."""
    model = foreign.ultralytics(("a", "b"), 320)
    taken = desk.take(model)
    image, values = prepared(desk.frames()[0], 320, 320)
    rows = results(model, values)["output0"][0].T
    corners = np.column_stack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2])
    found = imported(taken, image)

    np.testing.assert_allclose(found["boxes"][0], corners, atol=1e-2)
    np.testing.assert_allclose(found["scores"][0], rows[:, 4:], atol=1e-4)


def test_shares_of_the_image_become_pixels(desk):
    """DETR boxes are shares of width and height, which differ; "no object" is left out."""
    model = foreign.detr_pair(4, 256, 384)
    taken = desk.take(model, "size = [256, 384]\n" + names(3) + IMAGENET)
    image, values = prepared(desk.frames()[0], 256, 384, foreign.IMAGENET_MEAN, foreign.IMAGENET_STD)
    raw = results(model, values)
    boxes = raw["pred_boxes"][0] * [384, 256, 384, 256]
    raised = np.exp(raw["logits"][0])
    found = imported(taken, image)

    np.testing.assert_allclose(found["boxes"][0][:, 0], boxes[:, 0] - boxes[:, 2] / 2, atol=1e-2)
    np.testing.assert_allclose(found["boxes"][0][:, 3], boxes[:, 1] + boxes[:, 3] / 2, atol=1e-2)
    np.testing.assert_allclose(found["scores"][0], (raised / raised.sum(axis=1, keepdims=True))[:, :3], atol=1e-4)


def test_labels_become_one_score_per_class(desk):
    """The second input is the size of the input image, so boxes are in its pixels."""
    model = foreign.d_fine(5)
    taken = desk.take(model, names(5) + PLAIN)
    image, values = prepared(desk.frames()[1], 320, 320)
    raw = results(model, values, orig_target_sizes=np.array([[320, 320]]))
    found = imported(taken, image)

    np.testing.assert_allclose(found["boxes"], raw["boxes"], atol=1e-2)
    np.testing.assert_array_equal(found["scores"][0].argmax(axis=1), raw["labels"][0])
    np.testing.assert_allclose(found["scores"][0].sum(axis=1), raw["scores"][0], atol=1e-5)


def test_logits_become_classes_and_confidence(desk):
    """A segmentation gives the strongest class of each pixel and its softmax."""
    model = foreign.torchvision(3)
    taken = desk.take(model, names(3) + IMAGENET)
    image, values = prepared(desk.frames()[0], 128, 128, foreign.IMAGENET_MEAN, foreign.IMAGENET_STD)
    raised = np.exp(results(model, values)["out"][0])
    share = raised / raised.sum(axis=0)
    found = imported(taken, image)

    assert np.mean(found["classes"][0] != share.argmax(axis=0)) < 1e-3
    np.testing.assert_allclose(found["confidence"][0], share.max(axis=0), atol=1e-4)
    assert not any("aux" in node.output for node in onnx.load_from_string(taken.files["model.onnx"]).graph.node)


def test_parity_is_written_down_with_its_bounds(desk):
    """Evidence names every image, every output, the difference and the bound it kept, and where the model came from."""
    taken = desk.take(foreign.classifier(4), names(4) + IMAGENET)
    report = msgspec.json.decode(taken.files["evidence/parity.json"], type=ParityReport)

    assert ["0.png", "1.png"] == [image.image for image in report.images]
    assert {"probabilities": 1e-3} == report.limits
    assert all(image.grey_levels <= 1 and image.differences["probabilities"] <= 1e-3 for image in report.images)
    assert "pytorch 2.13.0" == report.producer == taken.manifest.versions["source"]


def test_a_copyleft_licence_is_a_warning(desk, capsys):
    """The file's own licence is recorded and said, and refuses nothing."""
    taken = desk.take(foreign.ultralytics_classifier(("ok", "b")))

    assert "AGPL-3.0" in taken.manifest.versions["source.licence"]
    assert "warning: licence:" in capsys.readouterr().err


def test_the_summary_says_that_nothing_is_accepted_yet(desk, capsys):
    """An imported bundle has no limits; squashing and added nodes are said too."""
    desk.take(foreign.classifier(3), 'classes = ["good", "dent", "scratch"]\n' + IMAGENET)
    said = capsys.readouterr().out

    assert "nothing is accepted" in said
    assert "a Softmax is added" in said
    assert "roi = [40, 0, 240, 240]" in said
    assert "no defects: good;" in said


def test_classes_are_defects_unless_named_otherwise(desk):
    """Only names that are no defect in any trade, or those that the mapping lists, may pass."""
    mapping = 'classes = ["good", "dent", "hole"]\nnot_defects = ["hole"]\nthresholds = { dent = 0.2 }\n'
    taken = desk.take(foreign.classifier(3), mapping + IMAGENET)

    assert [("good", True, 0.5), ("dent", True, 0.2), ("hole", False, 0.5)] == [
        (one.name, one.defect, one.threshold) for one in taken.manifest.heads[0].classes
    ]


@pytest.mark.parametrize(("pixel_format", "channels"), [("Mono8", 1), ("BayerRG8", 1), ("RGB8", 3)])
def test_frames_are_taken_in_the_format_of_the_line(desk, pixel_format, channels):
    """The golden frame has the camera's format, made from the sample image where it must be."""
    mapping = f'pixel_format = "{pixel_format}"\nroi = [2, 4, 200, 200]\nmm_per_px = 0.1\n' + names(3) + IMAGENET
    taken = desk.take(foreign.classifier(3), mapping)
    how = taken.manifest.preprocessing
    frame = golden.arrays(taken, how.golden)["frame"]

    assert (pixel_format, (2, 4, 200, 200), 0.1) == (how.pixel_format, how.roi, how.mm_per_px)
    assert channels == (frame.shape[2] if frame.ndim == 3 else 1)


def test_a_grey_model_sees_grey(desk):
    """One channel is the grey of the three."""
    net = foreign.Foreign()
    mean = net.add("GlobalAveragePool", ["x"])
    net.add("Concat", [net.add("Flatten", [mean]), net.add("Flatten", [net.add("Neg", [mean])])], "y", axis=1)
    model = net.model({"x": (foreign.FLOAT, [1, 1, 32, 32])}, {"y": (foreign.FLOAT, [1, 2])})
    taken = desk.take(model, names(2) + 'divisor = 255\nmean = [0]\nstd = [1]\nscores = "as-is"')
    image = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    grey = (0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255

    np.testing.assert_allclose(imported(taken, image)["probabilities"], [[grey, -grey]], rtol=1e-5)


def test_bf16_is_proven_against_the_original_in_f32(desk):
    """The bound is wider in bf16, so the graph is proven in f32 as well, within the narrow one."""
    if "BF16" not in desk.runtime._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU does not compute in bf16")
    from msgspec.structs import replace

    from appliance.importing.command import run_import
    from appliance.storage import bundle

    options = replace(desk.write(foreign.torchvision(3), names(3) + IMAGENET), precision="bf16")
    run_import(options, desk.runtime, bundle.write)

    taken = bundle.read(options.out)
    report = msgspec.json.decode(taken.files["evidence/parity.json"], type=ParityReport)

    assert "bf16" == taken.manifest.precision == report.precision
    assert all(image.differences["confidence"] <= 1e-3 for image in report.graph)
    assert 2 == len(report.graph)
