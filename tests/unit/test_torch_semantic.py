"""The trained semantic decoder: torch and the exported graph agree, the backbone stays frozen, squares are found."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from appliance.ports.task import Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.tasks.semantic import SemanticInterpreter, SemanticReading
from appliance.training import weights
from appliance.training.augmentation import Augmentation
from appliance.training.backbone import efficientnet_lite, rounded
from appliance.training.fit_run import FitRun
from appliance.training.instance_pyramid import against_background
from appliance.training.semantic import SemanticOptions, fit_semantic_bundle
from appliance.training.semantic_canvas import Canvas, Pictures, canvas_for
from appliance.training.semantic_decoder import TAPS_USED, decoder_model
from appliance.training.semantic_folds import Budget, stratified_folds
from appliance.training.semantic_store import UNKNOWN, labels_of
from appliance.training.semantic_thresholds import LEAST_THRESHOLD, HeldOut
from kernels import build
from tests.unit.labelled_parts import CREATED, stored

torch = pytest.importorskip("torch", reason="torch, of the extra [train], is not installed")

SIZE = (64, 96)
CLASSES = ("background", "bright", "dark")
LEVELS = {1: 230, 2: 20}
OPTIONS = SemanticOptions(copies=2, passes=12, least_steps=0, folds=2, augmentation=Augmentation(mirror_columns=True))
PARITY = 1e-4


@pytest.fixture(scope="module", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


def squares(count: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give noisy grey frames of several sizes, two of three with a square, and their masks."""
    random = np.random.default_rng(seed)
    frames, masks = [], []
    for number in range(count):
        shape = (int(random.integers(48, 65)), int(random.integers(70, 97)))
        frame = random.normal(120, 6, shape).clip(0, 255).astype(np.uint8)
        mask = np.zeros(shape, np.uint8)
        if number % 3:
            top, left = (int(random.integers(0, side - 24)) for side in shape)
            mask[top : top + 24, left : left + 24] = number % 3
            frame[mask > 0] = LEVELS[number % 3]
        frames.append(frame)
        masks.append(mask)
    return frames, masks


def fit(folder=None, count: int = 30, options: SemanticOptions = OPTIONS):
    frames, masks = squares(count, 1)
    run = FitRun(OnnxRuntime(), "f32", CREATED, folder=folder, threads=1)
    return fit_semantic_bundle(frames, masks, CLASSES, PixelFormat.MONO8, run, options)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def network():
    """Give an untrained decoder whose norms have seen something."""
    from appliance.training.torch_semantic import Decoder

    torch.manual_seed(0)
    random = np.random.default_rng(0)
    deviations = {
        tap: random.uniform(0.5, 2, n).astype(np.float32) for tap, n in zip(TAPS_USED, (24, 40, 112), strict=True)
    }
    made = Decoder(deviations, len(CLASSES))
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return made.eval()


def test_torch_and_the_exported_graph_give_the_same_probabilities(network) -> None:
    """What was trained is what runs: norms and scales fold into the layers."""
    from appliance.training.torch_semantic import decoder_weights

    state, image = (
        rounded(weights.efficientnet_lite0()),
        np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8),
    )
    taps = OnnxRuntime().load(efficientnet_lite(state, SIZE, TAPS_USED), "f32", 1)
    taps.input[0] = image
    seen = {tap: torch.from_numpy(values.copy()) for tap, values in taps.run().items()}
    whole = OnnxRuntime().load(decoder_model(state, SIZE, decoder_weights(network)), "f32", 1)
    whole.input[0] = image
    with torch.no_grad():
        wanted = network(seen).softmax(dim=1).numpy()

    np.testing.assert_allclose(whole.run()["probabilities"], wanted, atol=PARITY)


def test_prototypes_are_positive_where_a_class_beats_the_background(network) -> None:
    """A mask of the instance head is where its class is likelier than the background in the same decoder."""
    from appliance.training.torch_semantic import decoder_weights

    decoder = decoder_weights(network)
    against = against_background(decoder)
    features = np.random.default_rng(2).normal(size=(decoder.out.weight.shape[1], 50))
    logits = decoder.out.weight[:, :, 0, 0] @ features + decoder.out.bias[:, None]

    np.testing.assert_allclose(
        against.out.weight[:, :, 0, 0] @ features + against.out.bias[:, None], logits[1:] - logits[0], atol=1e-5
    )


def test_the_backbone_stays_bit_identical(fitted) -> None:
    """Training changes no weight of the published backbone."""
    state = rounded(weights.efficientnet_lite0())
    size = fitted.manifest.preprocessing.rows, fitted.manifest.preprocessing.columns
    published = onnx.load_from_string(efficientnet_lite(state, size, TAPS_USED)).graph.initializer
    own = {
        one.name: numpy_helper.to_array(one)
        for one in onnx.load_from_string(fitted.files["model.onnx"]).graph.initializer
    }

    assert [one.name for one in published if not np.array_equal(numpy_helper.to_array(one), own[one.name])] == []


def test_squares_are_found_where_they_are(fitted, tmp_path) -> None:
    """Frames of any size are read at one scale; defects outscore good frames and lie where the finding says."""
    bundle = stored(fitted, tmp_path / "bundle")
    frames, masks = squares(18, 2)
    good, bad, overlaps = [], [], []
    for frame, mask in zip(frames, masks, strict=True):
        found = reader_for(bundle, frame.shape).read(frame)
        (bad if mask.any() else good).append(found.score)
        if mask.any():
            box = found.findings[0].box
            left, top = round(box.x_px), round(box.y_px)
            inside = mask[top : top + round(box.height_px), left : left + round(box.width_px)] > 0
            overlaps.append(inside.sum() / (inside.size + (mask > 0).sum() - inside.sum()))

    assert min(bad) > max(good)
    assert np.median(overlaps) > 0.5


def reader_for(bundle, shape):
    from appliance.storage import bundle as bundles
    from appliance.tasks.opening import Parts, open_reader

    session = OnnxRuntime().load(bundle.files["model.onnx"], "f32", 1)
    parts = Parts(bundle.manifest, bundle.files, lambda name: bundles.arrays(bundle, name), {"model": session})
    return open_reader(parts, shape)


def test_two_runtimes_agree(fitted) -> None:
    """OpenVINO in f32 gives the probabilities of ONNX Runtime."""
    one, other = (made.load(fitted.files["model.onnx"], "f32", 1) for made in (OnnxRuntime(), OpenVinoRuntime()))
    one.input[0] = other.input[0] = np.random.default_rng(3).integers(0, 256, one.input.shape[1:], np.uint8)

    np.testing.assert_allclose(one.run()["probabilities"], other.run()["probabilities"], atol=1e-3)


def test_a_run_over_kept_features_and_checkpoints_gives_the_same_model(tmp_path) -> None:
    """What was done before a kill is not done again, and changes nothing."""
    options = SemanticOptions(copies=2, passes=2, folds=2, least_steps=0)
    first = fit(tmp_path, 9, options)

    assert fit(tmp_path, 9, options).files["model.onnx"] == first.files["model.onnx"]
    assert fit(None, 9, options).files["model.onnx"] == first.files["model.onnx"]


def test_frames_and_masks_that_do_not_fit_are_named() -> None:
    """Each mistake of the caller is one line that names the frame and the remedy."""
    frames, masks = squares(6, 1)
    run = FitRun(OnnxRuntime(), "f32", CREATED)

    def told(frames, masks, classes=CLASSES) -> str:
        with pytest.raises(ConfigError) as caught:
            fit_semantic_bundle(frames, masks, classes, PixelFormat.MONO8, run, OPTIONS)
        return str(caught.value)

    assert "0 frames" in told([], [])
    assert "6 frames, 5 masks" in told(frames, masks[:5])
    assert "mask 1 is (3, 3)" in told(frames, [np.zeros((3, 3), np.uint8), *masks[1:]])
    assert "mask 3 holds class 2" in told(frames, masks, CLASSES[:2])
    assert "class scratch is on none of 6 masks" in told(frames, masks, (*CLASSES, "scratch"))
    assert "1 parts and 2 folds" in told(frames[1:2], [np.minimum(masks[1], 1)], CLASSES[:2])


@given(
    shapes=st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=1, max_size=5),
    most_px=st.integers(4096, 300_000),
)
@settings(max_examples=60, deadline=None)
def test_every_frame_fits_the_canvas(shapes, most_px: int) -> None:
    """The canvas holds each frame at one scale, has whole cells in every tap, and keeps to its bound."""
    canvas = canvas_for(shapes, None, None, most_px, None)

    assert all(side % 16 == 0 and side >= 32 for side in canvas.size)
    assert all(
        round(side / canvas.shrink) <= limit for shape in shapes for side, limit in zip(shape, canvas.size, strict=True)
    )
    assert canvas.size[0] * canvas.size[1] <= max(most_px, 64 * 64 * 32)


def test_cells_at_the_rim_and_beside_the_frame_teach_nothing() -> None:
    """A cell is a defect's from the cover on, background when hardly touched, else unknown."""
    mask = np.zeros((32, 40), np.uint8)
    mask[:, 8:17] = 1  # two cells whole, a quarter of the next column
    pictures = Pictures("semantic", [mask], PixelFormat.MONO8, Canvas((32, 48), 1.0))
    labels = labels_of(pictures, mask, 2, 0.4)

    assert labels.shape == (8, 12)
    assert labels[0].tolist() == [UNKNOWN, 0, 0, 1, 1, UNKNOWN, 0, 0, 0, 0, 0, UNKNOWN]


@given(
    parts=st.lists(st.tuples(st.integers(1, 4), st.sampled_from([(), (1,), (2,)])), min_size=6, max_size=20),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_folds_keep_parts_together_and_deal_classes_out_evenly(parts, seed: int) -> None:
    """Frames of one part share a fold, and the parts of a class are spread over all folds."""
    groups = [str(part) for part, (frames, _) in enumerate(parts) for _ in range(frames)]
    kinds = [kind for frames, kind in parts for _ in range(frames)]
    folds = stratified_folds(kinds, groups, 3, seed)

    assert all(len({folds[n] for n, one in enumerate(groups) if one == name}) == 1 for name in set(groups))
    for kind in set(kinds):
        own = {name: folds[n] for n, (name, one) in enumerate(zip(groups, kinds, strict=True)) if one == kind}
        counts = np.bincount(list(own.values()), minlength=3)

        assert counts.max() - counts.min() <= 1


def test_each_training_gets_its_share_of_the_time() -> None:
    """A first training cannot use up what the last one needs."""
    left = [90.0]
    budget = Budget(FitRun(OnnxRuntime(), "f32", CREATED, left_s=lambda: left[0]), 3, (0.0, 0.9))
    first = budget.next()[0].left_s()
    left[0] = 60.0
    second, shares = budget.next()

    assert (first, second.left_s()) == (pytest.approx(30), pytest.approx(30))
    assert shares == (pytest.approx(0.3), pytest.approx(0.6))


def test_nothing_beside_the_frame_is_found_or_scored() -> None:
    """The mirror image around a frame shows its defects again; they are neither findings nor part of the score."""
    head = Head(TaskName.SEMANTIC, (ClassSpec("background", defect=False), ClassSpec("dent", threshold=0.0)), "s.json")
    window, shown = Window(-8, -4, 32, 24), Window(0, 0, 19, 16)
    probabilities = np.zeros((1, 2, 6, 8), np.float32)
    probabilities[0, 0] = 1
    probabilities[0, :, 0, 0] = probabilities[0, :, 5, 7] = (0, 1)
    read = SemanticInterpreter(head, SemanticReading(), window, (6, 8), shown)
    beside = read.interpret({"probabilities": probabilities})
    probabilities[0, :, 2, 6] = (0.3, 0.7)  # three quarters of this cell, x from 16 to 20, are in the frame
    inside = read.interpret({"probabilities": probabilities})

    assert (beside.score, beside.findings) == (0, ())
    assert inside.score == pytest.approx(0.7)
    box = inside.findings[0].box
    assert (box.x_px, box.y_px, box.width_px, box.height_px) == (16, 4, 3, 4)
    assert inside.findings[0].area_px == pytest.approx(12)


def test_the_threshold_is_where_cells_overlap_most_with_the_truth() -> None:
    """Weak cells that are mostly wrong are left out, and a class never found keeps the least threshold."""
    mask = np.zeros((16, 32), np.uint8)
    mask[:, :16] = 1
    pictures = Pictures("semantic", [mask], PixelFormat.MONO8, Canvas((32, 32), 1.0))
    probabilities = np.full((3, 8, 8), 0.1, np.float32)
    probabilities[1, :, :4], probabilities[1, :, 4:] = 0.85, 0.6
    held_out = HeldOut((False, True, True))
    held_out.add(probabilities, pictures, mask)
    held_out.add(np.stack([np.ones((8, 8)), np.zeros((8, 8)), np.zeros((8, 8))]), pictures, np.zeros_like(mask))
    levels = held_out.thresholds()

    assert 0.6 < levels[0] <= 0.85
    assert levels[1] == LEAST_THRESHOLD
    assert held_out.good_scores == [0.0]
