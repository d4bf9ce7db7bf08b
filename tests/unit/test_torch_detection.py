"""The multi-scale detector learns what is shown, on frozen weights, and its graph says what its torch network says."""

import importlib.util
import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from onnx import numpy_helper

from appliance.ports.task import Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.tasks.boxes import read_settings
from appliance.tasks.detection import DetectionInterpreter
from appliance.training import weights
from appliance.training.backbone import efficientnet_lite, rounded, tap_shape
from appliance.training.detection import MultiScaleOptions, fit_detection_bundle, input_size
from appliance.training.detection_cells import Instances
from appliance.training.detection_pyramid import STRIDES, TAPS_USED, PyramidPlan, cells_of, level_centres, pyramid_model
from appliance.training.detection_store import ViewStore, affordable
from appliance.training.detection_thresholds import Answers, best_thresholds
from appliance.training.detection_views import Views, drawn
from appliance.training.fit_run import FitRun
from kernels import build

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from appliance.training.torch_detection import DetectionNetwork  # noqa: E402  torch may be missing
from appliance.training.torch_detection_loss import assign, detection_loss, overlaps  # noqa: E402

SIZE = (96, 128)
CLASSES = (ClassSpec("dark"), ClassSpec("bright"))
CREATED = "2026-11-21T12:00:00Z"
OPTIONS = MultiScaleOptions(
    size=(128, 128),
    head=PyramidPlan(width=16, fine=8, tower=1),
    views=Views(each=2, turned=True),
    passes=8,
    batch=8,
    rate=1e-2,
    hold_out=0.34,
)


@pytest.fixture(scope="module", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


@pytest.fixture(scope="module")
def state():
    return rounded(weights.efficientnet_lite0())


GOOD = [np.random.default_rng(seed).integers(110, 140, (128, 128)).astype(np.uint8) for seed in range(20)]


def board(seed: int) -> tuple[np.ndarray, Instances]:
    """Give a grey frame with a dark and a bright square on it, and where they are."""
    random = np.random.default_rng(seed)
    frame = random.integers(110, 140, (128, 128)).astype(np.uint8)
    boxes = []
    for kind, left in enumerate(random.permutation([0, 64])):
        side = int(random.integers(16, 30))
        x, y = left + int(random.integers(4, 60 - side)), int(random.integers(4, 124 - side))
        frame[y : y + side, x : x + side] = (20, 235)[kind]
        boxes.append([x, y, x + side, y + side])
    return frame, Instances(np.arange(2), np.array(boxes, np.float64))


def boards(seeds) -> tuple[list[np.ndarray], list[Instances]]:
    pairs = [board(seed) for seed in seeds]
    return [frame for frame, _ in pairs], [truth for _, truth in pairs]


def run(folder=None) -> FitRun:
    return FitRun(OnnxRuntime(), "f32", CREATED, folder, threads=1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Give a bundle fitted to 24 boards of 12 lots, and the folder that it worked in."""
    folder = tmp_path_factory.mktemp("work")
    frames, truths = boards(range(24))
    groups = [f"lot {seed // 2}" for seed in range(24)]
    bundle = fit_detection_bundle(frames, truths, CLASSES, PixelFormat.MONO8, run(folder), OPTIONS, groups, GOOD)
    return bundle, folder


SMALL = PyramidPlan(width=24, fine=8)


def network(plan: PyramidPlan = SMALL):
    """Give a network whose every weight and statistic counts, and taps of one image of noise."""
    torch.manual_seed(3)
    deviations = {tap: np.linspace(0.5, 2, tap_shape(tap, SIZE)[1]).astype(np.float32) for tap in TAPS_USED}
    made = DetectionNetwork(3, plan, deviations)
    for part in made.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
    torch.nn.init.normal_(made.out.weight, std=0.1)
    return made.eval()


@pytest.mark.parametrize("plan", [PyramidPlan(width=24, fine=8), PyramidPlan(width=16, fine=8, tower=1, stem=False)])
def test_graph_gives_what_torch_gives(state, plan) -> None:
    """Boxes and scores of the exported graph are those of the torch network on the same taps, to 0.01 px and 1e-4."""
    image = np.random.default_rng(5).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    head = network(plan)
    results = {}
    for name, model in (
        ("taps", efficientnet_lite(state, SIZE, TAPS_USED)),
        ("graph", pyramid_model(state, SIZE, head.layers())),
    ):
        session = OnnxRuntime().load(model, "f32", 1)
        session.input[0] = image
        results[name] = {key: value.copy() for key, value in session.run().items()}
    batch = {tap: torch.from_numpy(results["taps"][tap]) for tap in TAPS_USED}
    with torch.no_grad():
        logits, boxes = head(batch | {"image": torch.from_numpy(image.transpose(2, 0, 1)[None])})

    assert results["graph"]["boxes"].shape == (1, cells_of(SIZE), 4)
    np.testing.assert_allclose(results["graph"]["boxes"], boxes.numpy(), atol=1e-2, rtol=1e-4)
    np.testing.assert_allclose(results["graph"]["scores"], logits.sigmoid().numpy(), atol=1e-4)


def test_backbone_stays_bit_identical(fitted, state) -> None:
    """After training the backbone has, bit for bit, the published weights: batch norms folded in, rounded to bf16."""
    bundle, _ = fitted
    kept = {
        one.name: numpy_helper.to_array(one)
        for one in onnx.load_from_string(efficientnet_lite(state, OPTIONS.size, TAPS_USED)).graph.initializer
    }
    graph = onnx.load_from_string(bundle.files["model.onnx"]).graph
    found = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.name in kept}

    assert sorted(kept) == sorted(found)
    assert all(kept[name].tobytes() == found[name].tobytes() for name in kept)
    assert {"Clip", "Relu"} >= {node.op_type for node in graph.node} & {
        "Relu",
        "Clip",
        "Mish",
        "HardSwish",
        "Elu",
        "Gelu",
    }


def test_unseen_objects_are_found(fitted) -> None:
    """On boards that were not learnt from, both squares are found, each as what it is and where it is."""
    bundle, _ = fitted
    head = bundle.manifest.heads[0]
    session = OnnxRuntime().load(bundle.files["model.onnx"], "f32", 1)
    reader = DetectionInterpreter(
        head,
        read_settings(head.task, bundle.files[head.settings]),
        Window(0, 0, 128, 128),
        OPTIONS.size,
        cells_of(OPTIONS.size),
    )
    right = wrong = 0
    for seed in range(100, 112):
        frame, truth = board(seed)
        session.input[0] = frame[:, :, None]
        for finding in reader.interpret(session.run()).findings:
            box = finding.box
            corners = [box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px]
            own = truth.boxes[[kind.name for kind in CLASSES].index(finding.kind)]
            near = float(overlaps(torch.tensor([corners]), torch.from_numpy(own.astype(np.float32)[None]))[0])
            right, wrong = right + (near >= 0.5), wrong + (near < 0.5)

    assert right >= 22, f"{right} of 24 squares found"
    assert wrong <= 2, f"{wrong} findings where nothing is"


def test_resumed_fit_gives_the_same_bundle(fitted) -> None:
    """A second fit in the folder of the first takes features and weights from there and gives the same bytes."""
    bundle, folder = fitted
    frames, truths = boards(range(24))
    groups = [f"lot {seed // 2}" for seed in range(24)]
    again = fit_detection_bundle(frames, truths, CLASSES, PixelFormat.MONO8, run(folder), OPTIONS, groups, GOOD)

    assert bundle.files == again.files
    assert bundle.manifest == again.manifest


def test_good_frames_set_the_limits(fitted) -> None:
    """Each good frame gives one score that the limits are set from; thresholds are shares."""
    bundle, _ = fitted

    assert bundle.manifest.calibration is not None
    assert 20 == bundle.manifest.calibration.images
    assert all(0 < kind.threshold < 1 for kind in bundle.manifest.heads[0].classes)


def test_without_torch_the_closed_form_is_fitted(monkeypatch) -> None:
    """Where torch is not installed the same call gives a bundle of the closed-form head."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    frames, truths = boards(range(4))
    bundle = fit_detection_bundle(frames, truths, CLASSES, PixelFormat.MONO8, run(), replace(OPTIONS, size=(96, 96)))
    shapes = {one.name: one.shape for one in bundle.manifest.models[0].outputs}

    assert (1, (96 // 8) ** 2, 4) == shapes["boxes"]


def test_wrong_truth_is_refused() -> None:
    """Frames without truth, kinds outside of the taxonomy and frames that show nothing are named."""
    frames = [np.zeros((64, 64), np.uint8)] * 2
    nothing = Instances(np.zeros(0, np.intp), np.zeros((0, 4)))
    alien = Instances(np.array([9]), np.array([[1.0, 1, 9, 9]]))
    for truths, words in (
        ([nothing], "one truth per frame"),
        ([nothing] * 2, "show no object"),
        ([alien] * 2, "truth 1"),
    ):
        with pytest.raises(ConfigError, match=words):
            fit_detection_bundle(frames, truths, CLASSES, PixelFormat.MONO8, run(), OPTIONS)


@pytest.mark.parametrize(
    ("shape", "expected"), [((640, 640), (640, 640)), ((1000, 2000), (320, 640)), ((50, 90), (64, 96))]
)
def test_input_follows_the_frame(shape, expected) -> None:
    """Without a size given the input image has the frame's, in whole cells, 640 px at most on its longer side."""
    assert expected == input_size(MultiScaleOptions(), np.zeros(shape, np.uint8))


@given(seed=st.integers(0, 10_000), turned=st.booleans())
@settings(max_examples=60, deadline=None)
def test_boxes_move_with_the_picture(seed, turned) -> None:
    """In every view the box of a bright square is the box of the bright pixels, to a pixel."""
    image = np.zeros((64, 96, 3), np.uint8) if not turned else np.zeros((96, 96, 3), np.uint8)
    image[24:40, 36:60] = 255
    truth = Instances(np.array([1]), np.array([[36.0, 24, 60, 40]]))
    seen, moved = drawn(image, truth, Views(turned=turned, shift_px=8, gain=0), np.random.default_rng(seed))
    rows, cols = np.nonzero(seen[:, :, 0] > 191)

    assert 1 == len(moved.kinds)
    expected = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(moved.boxes[0], expected, atol=1.01)


@given(seed=st.integers(0, 10_000), objects=st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_every_object_is_learnt_somewhere(seed, objects) -> None:
    """Whatever the network says, cells learn objects if there are any, one class each, no more than they overlap."""
    random = np.random.default_rng(seed)
    centre = torch.from_numpy(np.concatenate([level_centres((96 // by, 128 // by), by) for by in STRIDES]))
    middle = torch.from_numpy(random.uniform([8, 8], [120, 88], (1, 6, 2)).astype(np.float32))
    half = torch.from_numpy(random.uniform(1, 24, (1, 6, 2)).astype(np.float32))
    truth = torch.cat([middle - half, middle + half], dim=2)
    kinds = torch.from_numpy(random.integers(0, 3, (1, 6)))
    kinds[0, objects:] = -1
    reach = torch.from_numpy(random.uniform(1, 30, (1, len(centre), 2)).astype(np.float32))
    boxes = torch.cat([centre - reach, centre + reach], dim=2)
    scores = torch.from_numpy(random.uniform(0.01, 0.9, (1, len(centre), 3)).astype(np.float32))
    wanted, of = assign(scores, boxes, kinds, truth, centre, (96 // 8) * (128 // 8))
    taken = (of[0] >= 0).nonzero()[:, 0]

    assert set(of[0, taken].tolist()) <= set(range(objects))
    assert (len(taken) > 0) == (objects > 0)
    assert bool(((wanted > 0).sum(dim=2) <= 1).all())
    assert bool((wanted[0, of[0] < 0] == 0).all())
    near = overlaps(truth[0, of[0, taken]], boxes[0, taken])
    best = overlaps(truth[0][:, None], boxes[0][None]).amax(dim=1)[of[0, taken]]
    assert bool((wanted[0, taken].amax(dim=1) <= torch.maximum(near, best) + 1e-5).all())


def test_loss_is_finite_without_objects() -> None:
    """A batch of cuts that show nothing has a finite loss and moves the scores, not the boxes."""
    head = network().train()
    batch = {tap: torch.zeros(tap_shape(tap, SIZE, 2)) for tap in TAPS_USED}
    batch |= {"image": torch.zeros((2, 3, *SIZE), dtype=torch.uint8)}
    batch |= {"kinds": torch.full((2, 1), -1), "boxes": torch.zeros((2, 1, 4))}
    loss = detection_loss(head, batch)
    loss.backward()

    assert math.isfinite(float(loss.detach()))
    assert 0 == float(head.out.weight.grad[3:].abs().max())
    assert 0 < float(head.out.weight.grad[:3].abs().max())


def test_store_goes_on_where_it_was(tmp_path, state) -> None:
    """A store opened again holds what it held, draws the same views, and asks for no stored image."""
    frames, truths = boards(range(3))
    images = [np.repeat(frame[:, :, None], 3, axis=2) for frame in frames]
    session = OnnxRuntime().load(efficientnet_lite(state, (128, 128), TAPS_USED), "f32", 1)
    stores = [ViewStore(tmp_path, "one", truths, (128, 128), Views(each=2), 0) for _ in range(2)]
    stores[0].fill(images, session, lambda _share: None)
    again = ViewStore(tmp_path, "one", truths, (128, 128), Views(each=2), 0)
    again.fill([], session, lambda _share: None)
    cuts = [store.cut(3, slice(32, 64), slice(16, 80)) for store in (stores[0], again)]

    assert all(np.array_equal(cuts[0][name], cuts[1][name]) for name in cuts[0])
    assert [one.boxes.tolist() for one in stores[0].truths] == [one.boxes.tolist() for one in again.truths]
    assert (8, 16, 24) == cuts[0]["s4"].shape
    assert np.array_equal(images[1][32:64, 16:80], again.cut(2, slice(32, 64), slice(16, 80))["image"])


def test_many_images_have_fewer_views() -> None:
    """What is kept of many large images stays bounded, and each image keeps its own view."""
    views = Views(each=3)

    assert [3, 1, 1] == [affordable(views, count, (640, 640), 16_000_000_000).each for count in (644, 4_000, 100_000)]


def test_threshold_is_that_of_the_best_f1() -> None:
    """Best F1 takes the first four of these answers; a class with few objects keeps the threshold given."""
    answers = Answers(
        kinds=np.array([0, 0, 0, 0, 0, 1]),
        scores=np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.9]),
        right=np.array([True, True, False, True, False, True]),
        wanted=np.array([5, 1]),
    )

    assert [0.4, 0.33] == best_thresholds([answers], [0.5, 0.33])
