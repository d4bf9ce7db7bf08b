"""The trained instance head: one graph of detector and decoder, masks inside boxes, nothing beside the frame."""

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import numpy_helper

from appliance.ports.task import Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle as bundles
from appliance.tasks.boxes import BoxReader, BoxSettings
from appliance.tasks.instance import InstanceInterpreter
from appliance.tasks.opening import Parts, open_reader
from appliance.training import weights
from appliance.training.augmentation import Augmentation
from appliance.training.backbone import efficientnet_lite, rounded
from appliance.training.detection import MultiScaleOptions
from appliance.training.detection_cells import Instances
from appliance.training.detection_views import Views
from appliance.training.fit_run import FitRun
from appliance.training.instance import InstanceOptions, fit_instance_bundle
from appliance.training.instance_pyramid import TAPS_USED
from appliance.training.novelty_graph import OUTPUT
from appliance.training.semantic import SemanticOptions
from appliance.training.semantic_canvas import Canvas, Pictures
from kernels import build
from tests.unit.labelled_parts import CREATED, stored

pytest.importorskip("torch", reason="torch, of the extra [train], is not installed")

CLASSES = (ClassSpec("bright", threshold=0.1), ClassSpec("dark", threshold=0.1))
LEVELS = (230, 20)
SIDE = 28
OPTIONS = InstanceOptions(
    False,
    MultiScaleOptions(passes=8, views=Views(each=1), hold_out=0.3),
    SemanticOptions(copies=1, passes=12, least_steps=0, augmentation=Augmentation()),
)
SCORED = Head(TaskName.INSTANCE, (ClassSpec("dent", threshold=0.5),), "instance.json")


@pytest.fixture(scope="module", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


def squares(count: int, seed: int) -> tuple[list[np.ndarray], list[Instances]]:
    """Give noisy grey frames of several sizes, two of three with a square, and what is true of them."""
    random = np.random.default_rng(seed)
    frames, truths = [], []
    for number in range(count):
        shape = (int(random.integers(80, 97)), int(random.integers(100, 129)))
        frame = random.normal(120, 6, shape).clip(0, 255).astype(np.uint8)
        kinds, boxes, masks = [], [], []
        if number % 3:
            top, left = (int(random.integers(0, side - SIDE)) for side in shape)
            mask = np.zeros(shape, np.bool_)
            mask[top : top + SIDE, left : left + SIDE] = True
            frame[mask] = LEVELS[number % 3 - 1]
            kinds, boxes, masks = [number % 3 - 1], [[left, top, left + SIDE, top + SIDE]], [mask]
        frames.append(frame)
        truths.append(Instances(np.array(kinds, np.intp), np.array(boxes, np.float64).reshape(-1, 4), tuple(masks)))
    return frames, truths


@pytest.fixture(scope="module")
def fitted():
    frames, truths = squares(30, 1)
    run = FitRun(OnnxRuntime(), "f32", CREATED, threads=1)
    return fit_instance_bundle(frames, truths, CLASSES, PixelFormat.MONO8, run, OPTIONS)


@pytest.mark.slow
def test_the_backbone_stays_bit_identical(fitted) -> None:
    """Training changes no weight of the published backbone."""
    how = fitted.manifest.preprocessing
    model = efficientnet_lite(rounded(weights.efficientnet_lite0()), (how.rows, how.columns), TAPS_USED)
    trained = onnx.load_from_string(fitted.files["model.onnx"]).graph.initializer
    own = {one.name: numpy_helper.to_array(one) for one in trained}
    published = onnx.load_from_string(model).graph.initializer

    assert [one.name for one in published if not np.array_equal(numpy_helper.to_array(one), own[one.name])] == []


@pytest.mark.slow
def test_prototypes_outline_squares_in_frames_of_any_size(fitted, tmp_path) -> None:
    """The strongest box lies on the square, and its outline covers it."""
    bundle = stored(fitted, tmp_path / "bundle")
    session = OnnxRuntime().load(bundle.files["model.onnx"], "f32", 1)
    parts = Parts(bundle.manifest, bundle.files, lambda name: bundles.arrays(bundle, name), {"model": session})
    session_outputs = {one.name for one in bundle.manifest.models[0].outputs}
    errors = []
    for frame, truth in zip(*squares(18, 2), strict=True):
        found = open_reader(parts, frame.shape).read(frame).findings
        if len(truth.kinds) and found:
            box = found[0].box
            sides = np.array([box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px])
            errors.append((np.abs(sides - truth.boxes[0]).max(), abs(found[0].area_px - SIDE**2) / SIDE**2))

    assert session_outputs == {"boxes", "scores", "coefficients", "prototypes", OUTPUT}
    assert len(errors) >= 8
    assert np.median(errors, axis=0)[0] < 8
    assert np.median(errors, axis=0)[1] < 0.5


def test_regions_of_one_class_are_objects_and_features_of_the_part_are_no_defects(tmp_path) -> None:
    """Without boxes each connected region is an object; one of a class that is no defect adds nothing to the score."""
    frames, truths = squares(24, 1)
    classes = (CLASSES[0], ClassSpec("dark", defect=False))
    run = FitRun(OnnxRuntime(), "f32", CREATED, threads=1)
    options = InstanceOptions(outlines=replace(OPTIONS.outlines, folds=2))
    bundle = stored(fit_instance_bundle(frames, truths, classes, PixelFormat.MONO8, run, options), tmp_path / "bundle")
    session = OnnxRuntime().load(bundle.files["model.onnx"], "f32", 1)
    parts = Parts(bundle.manifest, bundle.files, lambda name: bundles.arrays(bundle, name), {"model": session})
    bright = open_reader(parts, frames[1].shape).read(frames[1])
    dark = open_reader(parts, frames[2].shape).read(frames[2])

    assert [one.defect for one in bundle.manifest.heads[0].classes] == [False, True, False]
    assert (bundle.manifest.task, bright.findings[0].kind, dark.findings[0].kind) == ("instance", "bright", "dark")
    assert abs(bright.findings[0].area_px - SIDE**2) < 0.5 * SIDE**2
    assert dark.score < bright.score


def test_of_objects_that_overlap_the_smaller_is_on_top() -> None:
    """The decoder learns one class per pixel, whatever the order of the objects."""
    from appliance.training.torch_instance_fit import ClassMasks

    large, small = np.ones((4, 6), np.bool_), np.zeros((4, 6), np.bool_)
    small[1, 2] = True
    truth = Instances(np.array([1, 0]), np.array([[2, 1, 3, 2], [0, 0, 6, 4]], np.float64), (small, large))
    painted = ClassMasks([np.zeros((4, 6), np.uint8)], [truth])[0]

    assert np.bincount(painted.ravel()).tolist() == [0, 23, 1]
    with pytest.raises(ConfigError, match="truth 1 has 1 masks for 2 objects"):
        ClassMasks([painted], [Instances(truth.kinds, truth.boxes, (small,))])[0]


def test_boxes_move_with_the_frame_into_the_input_image() -> None:
    """A frame stands in the middle of the input image, at its scale; what a region leaves out is no object."""
    from appliance.training.torch_instance_fit import placed

    truth = Instances(np.array([0, 1]), np.array([[10, 20, 30, 40], [90, 0, 100, 8]], np.float64))
    whole = Pictures("instance", [], PixelFormat.MONO8, Canvas((64, 64), 2.0))
    part = Pictures("instance", [], PixelFormat.MONO8, Canvas((64, 64), 1.0, roi=(0, 16, 64, 64)))

    assert placed(whole, truth, (80, 100)).boxes.tolist() == [[12, 22, 22, 32], [52, 12, 57, 16]]
    assert placed(part, truth, (80, 100)).boxes.tolist() == [[10, 4, 30, 24]]


def test_boxes_beside_the_frame_are_neither_found_nor_scored() -> None:
    """The mirror image around a frame shows its objects again; boxes that reach beyond the frame end at its border."""
    reader = BoxReader(SCORED, BoxSettings(), Window(-16, 0, 64, 32), (32, 64), 3, shown=Window(0, 0, 32, 32))
    boxes = np.array([[[2, 2, 14, 14], [10, 4, 24, 12], [50, 2, 62, 14]]], np.float32)
    scores = np.array([[[0.9], [0.7], [0.8]]], np.float32)
    found = reader.read({"boxes": boxes, "scores": scores}, 0)

    assert found.score == pytest.approx(0.7)
    assert [(one.index, one.box.x_px, one.box.width_px) for one in found.found] == [(1, 0, 8)]
    assert scores[0, 0, 0] == np.float32(0.9)


def test_masks_end_at_the_border_of_the_frame() -> None:
    """Cells of a mask that lie in the mirror image add no area."""
    window, shown = Window(-16, 0, 64, 32), Window(0, 0, 32, 32)
    task = InstanceInterpreter(SCORED, BoxSettings(), window, (32, 64), 1, (1, 8, 16), shown=shown)
    tensors = {
        "boxes": np.array([[[8, 8, 32, 24]]], np.float32),
        "scores": np.array([[[0.9]]], np.float32),
        "coefficients": np.ones((1, 1, 1), np.float32),
        "prototypes": np.ones((1, 1, 8, 16), np.float32),
    }
    finding = task.interpret(tensors).findings[0]

    assert (finding.box.x_px, finding.box.width_px) == (0, 16)
    assert finding.area_px == pytest.approx(16 * 16)
    assert min(x for x, _ in finding.polygon) == 0
