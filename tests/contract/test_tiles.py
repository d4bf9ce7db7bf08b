"""A frame read in tiles gives each thing once, at its place in the frame, whatever the batch."""

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.ports.task import Interpretation, Window
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import Preprocessing, TaskName, Tiling
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box, Finding
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import load_bundle
from appliance.sim.parts.objects import HOLE, true_parts
from appliance.storage import bundle
from appliance.tasks.reading import PrefixedInterpreter, TiledReader
from kernels.tiles import TileGatherer
from tests.contract.task_rig import fitted

LARGE = (1280, 1024)


@pytest.mark.parametrize("task", [TaskName.DETECTION, TaskName.INSTANCE])
def test_holes_over_a_seam_are_counted_once(task: TaskName, tmp_path) -> None:
    """Two tiles of 1022 px over a frame twice as large find the six holes of every good part, each once."""
    source = bundle.read(fitted(task))
    # The network knows holes of frames of 640 x 512, where an input pixel is 1.2 to 1.5 px wide; here it is 2.46.
    how = replace(source.manifest.preprocessing, tiling=Tiling(overlap_px=300, shrink=2.46))
    bundle.write(tmp_path / "b", replace(source.manifest, preprocessing=how), source.files)
    reader = load_bundle(tmp_path / "b", OpenVinoRuntime(), "f32", 1).reader((LARGE[1], LARGE[0]))
    part = next(true_parts([1001], LARGE))
    holes = [finding.box for finding in reader.read(part.raw).findings if finding.kind == HOLE]
    truth = part.boxes[[kind == 0 for kind in part.kinds]]

    assert len(truth) == len(holes)
    for x1, y1, x2, y2 in truth:
        middles = [
            (b.x_px + b.width_px / 2 - (x1 + x2) / 2, b.y_px + b.height_px / 2 - (y1 + y2) / 2) for b in holes if b
        ]

        assert 1 == sum(np.hypot(*middle) < 20 for middle in middles)


class Brightest:
    """A session that gives the largest value of each image and its place; it counts what was run."""

    runtime, precision = "twin", "f32"

    def __init__(self, batch: int, size: tuple[int, int]) -> None:
        self.input = np.zeros((batch, *size, 3), np.uint8)
        self.runs = 0

    def run(self) -> dict[str, np.ndarray]:
        self.runs += 1
        flat = self.input[..., 0].reshape(len(self.input), -1)
        return {"one.peak": flat.max(axis=1).astype(np.float32), "one.place": flat.argmax(axis=1)}


class Spot:
    """An interpreter whose finding is the brightest pixel of its window."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def interpret(self, tensors, index: int = 0) -> Interpretation:
        row, col = divmod(int(tensors["place"][index]), 64)
        peak = float(tensors["peak"][index])
        box = Box(self.window.x_px + col, self.window.y_px + row, 1, 1)
        return Interpretation(peak, (Finding("spot", peak, None, box, 1.0),) if peak > 100 else ())


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 16])
def test_every_batch_gives_the_same(batch: int) -> None:
    """Nine tiles in batches of any size: the same findings, as few runs as there are batches."""
    frame = np.full((176, 176), 50, np.uint8)
    frame[120, 30], frame[60, 60], frame[175, 175] = 200, 220, 180  # 60, 60 lies where four tiles overlap
    origins = np.array([(x, y) for y in (0, 56, 112) for x in (0, 56, 112)], np.int32)
    gatherer = TileGatherer(frame.shape, "Mono8", origins, (64, 64), (64, 64))
    windows = [Window(x, y, 64, 64) for x, y in gatherer.places.tolist()]
    session = Brightest(batch, (64, 64))
    heads = [[PrefixedInterpreter("one.", Spot(window))] for window in windows]
    reading = TiledReader(gatherer, session, windows, heads).read(frame)

    assert -(-9 // batch) == session.runs
    assert [(60, 60, 220.0), (30, 120, 200.0), (175, 175, 180.0)] == [
        (f.box.x_px, f.box.y_px, f.score) for f in reading.findings if f.box
    ]
    assert 220.0 == reading.score


def test_one_tile_without_numbers_has_no_score() -> None:
    """A single tile whose score is nan makes the frame's score nan."""
    frame = np.full((64, 120), 50, np.uint8)
    gatherer = TileGatherer(frame.shape, "Mono8", np.array([(0, 0), (56, 0)], np.int32), (64, 64), (64, 64))
    windows = [Window(x, y, 64, 64) for x, y in gatherer.places.tolist()]

    class Broken(Spot):
        def interpret(self, tensors, index: int = 0) -> Interpretation:
            return Interpretation(float("nan"), ())

    heads = [[Spot(windows[0])], [Broken(windows[1])]]
    heads = [[PrefixedInterpreter("one.", one) for one in tile] for tile in heads]

    assert np.isnan(TiledReader(gatherer, Brightest(2, (64, 64)), windows, heads).read(frame).score)


def test_a_frame_of_another_shape_is_a_fault() -> None:
    """A frame that the tiles were not laid for is no verdict, not a crash."""
    gatherer = TileGatherer((64, 64), "Mono8", np.array([(0, 0)], np.int32), (64, 64), (64, 64))
    reader = TiledReader(gatherer, Brightest(1, (64, 64)), [Window(0, 0, 64, 64)], [[]])
    with pytest.raises(RuntimeFault, match="preprocessing: frame is"):
        reader.read(np.zeros((65, 64), np.uint8))


def test_a_frame_smaller_than_a_tile_is_refused(tmp_path) -> None:
    """Opening a tiled bundle for frames under one tile says so in one line."""
    source = bundle.read(fitted(TaskName.DETECTION))
    how = Preprocessing(PixelFormat.BAYER_RG8, 416, 416, None, Tiling(100), golden=source.manifest.preprocessing.golden)
    bundle.write(tmp_path / "b", replace(source.manifest, preprocessing=how), source.files)
    with pytest.raises(ConfigError, match="tile's width is 416 px, the region of interest has 320 px"):
        load_bundle(tmp_path / "b", OpenVinoRuntime(), "f32", 1).reader((400, 320))
