"""A region that keeps its aspect stands in the middle of the input image; its mirror image around it never counts."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import (
    BINS,
    BorderTables,
    MapStatistics,
    read_statistics,
    statistics_arrays,
    view_of,
)
from appliance.ports.task import Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec, Head, Preprocessing, TaskName, Tiling
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import load_bundle
from appliance.storage import bundle, golden
from appliance.tasks.anomaly import AnomalyInterpreter, MapReading
from appliance.tasks.reading import WholeReader
from appliance.training.anomaly import AnomalyOptions, fit_anomaly_bundle
from appliance.training.anomaly_graph import PatchPlan
from appliance.training.anomaly_input import canvas_of
from appliance.training.fit_run import FitRun
from appliance.training.package import FittedBundle, golden_preprocessing
from kernels import build
from kernels.canvas import CanvasPreprocessor
from kernels.preprocess import Preprocessor

HEAD = Head(TaskName.ANOMALY, (ClassSpec("anomaly", threshold=3.0),), "settings.json")
CREATED = "2026-11-21T12:00:00Z"
OPTIONS = AnomalyOptions(
    keep_aspect=True,
    shrink=1.25,
    plan=PatchPlan(("s4", "s8", "s16"), pooled=False, exposure=110.0),
    patches=150,
    folds=2,
    threads=1,
)


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


def part(seed: int, shape: tuple[int, int] = (100, 120), *, dent: tuple[int, int] | None = None) -> np.ndarray:
    """Give a grey plate with a darker rim and some grain; dent: (x, y) of a dark spot."""
    random = np.random.default_rng(seed)
    plate = np.full(shape, 120.0 + random.uniform(-20, 20))
    plate[:6], plate[-6:], plate[:, :6], plate[:, -6:] = 60, 60, 60, 60
    if dent:
        plate[dent[1] - 6 : dent[1] + 6, dent[0] - 6 : dent[0] + 6] = 20
    return (plate + random.normal(0, 4, shape)).clip(0, 255).astype(np.uint8)


def tables(mean: float = 0.0) -> BorderTables:
    return BorderTables(np.full((BINS, BINS), mean, np.float32), np.ones((BINS, BINS), np.float32))


@pytest.mark.parametrize(("shape", "shrink"), [((40, 100), 2.0), ((61, 33), 1.0), ((30, 30), 0.5)])
def test_region_stands_in_the_middle_with_its_mirror_image(shape: tuple[int, int], shrink: float) -> None:
    """The scaled region is what the plain preprocessing gives, and the rest mirrors it about its border pixels."""
    frame = np.random.default_rng(3).integers(0, 255, shape, np.uint8)
    canvas = CanvasPreprocessor(shape, "Mono8", None, (96, 112), shrink)
    image, rows, cols = np.zeros((96, 112, 3), np.uint8), round(shape[0] / shrink), round(shape[1] / shrink)
    canvas.run(frame, image)
    small = np.empty((rows, cols, 3), np.uint8)
    Preprocessor(shape, "Mono8", None, (rows, cols)).run(frame, small)
    top, left = (96 - rows) // 2, (112 - cols) // 2
    wide = np.pad(small, ((top, 96 - rows - top), (left, 112 - cols - left), (0, 0)), mode="reflect")

    assert np.array_equal(wide, image)
    assert (top, left, rows, cols) == canvas.inner
    across, down = shape[1] / cols, shape[0] / rows

    assert pytest.approx((-left * across, -top * down, 112 * across, 96 * down)) == canvas.window


def test_region_of_interest_keeps_its_place() -> None:
    """With a region the window is placed by it, in pixels of the whole frame."""
    canvas = CanvasPreprocessor((200, 300), "Mono8", (100, 50, 80, 40), (64, 64), 2.0)

    assert (100 - 12 * 2, 50 - 22 * 2, 128, 128) == canvas.window


def test_larger_region_than_the_input_image_is_refused() -> None:
    """One line says the region's size, the limit and the remedy."""
    with pytest.raises(
        ValueError, match="region of 120 x 100 px over 1 is 120 x 100 px, the input image holds 64 x 64"
    ):
        CanvasPreprocessor((100, 120), "Mono8", None, (64, 64), 1.0)


def test_canvas_holds_every_frame() -> None:
    """The input image holds the largest rows and columns with a margin, in multiples of 16."""
    assert (128, 176) == canvas_of([(200, 100), (80, 300)], None, 2.0)
    assert (48, 64) == canvas_of([(200, 100)], (0, 0, 90, 60), 2.0)


def test_cells_beside_the_frame_never_count() -> None:
    """A huge distance in the mirror image changes neither score nor findings, and the peak stays in the frame."""
    task = AnomalyInterpreter(HEAD, MapReading(0.0), tables(), Window(-32, -16, 96, 64), Window(0, 0, 32, 32), (8, 12))
    distances = np.zeros((1, 8, 12), np.float32)
    distances[0, 3, 5] = 5
    before = task.interpret({"map": distances})
    distances[0, 0], distances[0, :, :4], distances[0, 6:], distances[0, :, 8:] = 100, 100, 100, 100
    after = task.interpret({"map": distances})

    assert (5.0, before) == (after.score, after)
    assert ((4, 4), Window(0, 0, 32, 32), (12.0, 12.0)) == (task.map.shape, task.window, task.peak_px)


def test_findings_are_clipped_to_the_frame() -> None:
    """Border cells that reach beyond the frame give boxes, outlines and areas within it."""
    task = AnomalyInterpreter(HEAD, MapReading(0.0), tables(), Window(-11, -11, 64, 64), Window(0, 0, 42, 42), (8, 8))
    distances = np.zeros((1, 8, 8), np.float32)
    distances[0, 6, 6] = 9
    (finding,) = task.interpret({"map": distances}).findings

    assert (6, 6) == task.map.shape
    assert finding.box is not None
    box = finding.box

    assert (37, 37, 5, 5, 25) == (box.x_px, box.y_px, box.width_px, box.height_px, finding.area_px)
    assert 42 == max(max(corner) for corner in finding.polygon)
    assert (41.0, 41.0) == task.peak_px


def test_statistics_go_by_distance_from_the_frame() -> None:
    """The same tables serve maps of two shapes: a rim one cell wide lies at the frame's border, not at the map's."""
    views = [view_of((8, 10), (-16, -16, 80, 64), (0, 0, w, h)) for w, h in ((48, 32), (32, 32))]
    rim = [np.zeros(view.shape, np.float32) for view in views]
    for one in rim:
        one[0], one[-1], one[:, 0], one[:, -1] = 7, 7, 7, 7
    known = anomaly_map.border_tables(rim, views)
    other = view_of((20, 20), (0, 0, 160, 160), (16, 24, 104, 88))
    laid = anomaly_map.lay_out(known, other)
    expected = np.zeros((11, 13), np.float32)
    expected[0], expected[-1], expected[:, 0], expected[:, -1] = 7, 7, 7, 7

    assert ((3, 14), (2, 15)) == (other.rows, other.cols)
    assert np.allclose(expected[:3], laid.mean[:3])
    assert np.allclose(expected[:, :3], laid.mean[:, :3])


def test_statistics_survive_storage() -> None:
    """Both kinds come back as they were, and damaged tables are refused."""
    for known in (tables(2.0), MapStatistics(np.ones((4, 5), np.float32), np.ones((4, 5), np.float32))):
        again = read_statistics(statistics_arrays(known))

        assert type(known) is type(again)
        assert np.array_equal(known.mean, again.mean)
    with pytest.raises(RuntimeFault, match="border_mean"):
        read_statistics({"border_mean": np.zeros((2, 2)), "border_deviation": np.zeros((2, 2))})


@pytest.mark.parametrize("pixel_format", ["Mono8", "BayerRG8"])
def test_golden_frame_proves_the_scale(pixel_format: str) -> None:
    """The golden frame goes the line's way, mirror image included: another shrink or no aspect differs."""
    how = Preprocessing(PixelFormat(pixel_format), 160, 160, keep_aspect=True, shrink=1.5)
    frame = np.random.default_rng(0).integers(0, 255, (120, 200), np.uint8)
    found = golden_preprocessing(frame, how)
    expected = np.empty((160, 160, 3), np.uint8)
    CanvasPreprocessor((120, 200), pixel_format, None, (160, 160), 1.5).run(frame, expected)

    assert np.array_equal(expected, found["image"])


@pytest.fixture(scope="module")
def fitted() -> FittedBundle:
    """Give a bundle fitted from parts of two shapes."""
    frames = [part(seed, (100, 120) if seed % 2 else (88, 136)) for seed in range(24)]
    run = FitRun(OnnxRuntime(), "f32", CREATED, threads=1)
    return fit_anomaly_bundle(frames, PixelFormat.MONO8, run, OPTIONS)


def test_bundle_runs_through_the_reader(fitted: FittedBundle, tmp_path: Path) -> None:
    """A fitted bundle is proven, reads frames of both shapes, and points at a dent in frame pixels."""
    bundle.write(tmp_path / "b", fitted.manifest, fitted.files)
    loaded = load_bundle(tmp_path / "b", OnnxRuntime(), "f32", 1)
    for shape, dent in (((100, 120), (30, 70)), ((88, 136), (118, 20))):
        reader = loaded.reader(shape)
        good, bad = reader.read(part(50, shape)), reader.read(part(50, shape, dent=dent))
        assert isinstance(reader, WholeReader)
        head = reader.heads[0]
        assert isinstance(head, AnomalyInterpreter)

        assert good.score < bad.score
        assert pytest.approx(dent, abs=12) == head.peak_px
    with pytest.raises(RuntimeFault, match="the input image holds"):
        loaded.reader((200, 300))


def test_another_shrink_fails_the_proof(fitted: FittedBundle, tmp_path: Path) -> None:
    """A manifest that scales otherwise than the bundle was made is refused before a part is judged."""
    how = replace(fitted.manifest.preprocessing, shrink=1.1)
    bundle.write(tmp_path / "b", replace(fitted.manifest, preprocessing=how), fitted.files)
    with pytest.raises(RuntimeFault, match="golden_preprocessing"):
        golden.verify_preprocessing(bundle.read(tmp_path / "b"))


def test_tiles_and_aspect_exclude_each_other() -> None:
    """Tiles keep the aspect by themselves."""
    run = FitRun(OnnxRuntime(), "f32", CREATED, threads=1)
    with pytest.raises(ConfigError, match="tiles keep the aspect"):
        fit_anomaly_bundle([part(s) for s in range(20)], PixelFormat.MONO8, run, replace(OPTIONS, tiling=Tiling(8)))
