"""Maps stand where the network saw them, whatever part of the frame it was shown."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.evaluation.anomaly import points_at
from appliance.evaluation.maps import MapWatch, enlarged, windows
from appliance.imaging.tiling import tile_grid
from appliance.ports.task import Window
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import Preprocessing, TaskName, Tiling
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import load_bundle
from tests.unit import evaluation_rig as rig

MONO = PixelFormat.MONO8
WHOLE = Preprocessing(MONO, rig.SIDE, rig.SIDE)
WAYS = {
    "whole": WHOLE,
    "region": Preprocessing(MONO, rig.SIDE, rig.SIDE, roi=(32, 16, 96, 80)),
    "tiles": Preprocessing(MONO, rig.SIDE, rig.SIDE, tiling=Tiling(16)),
    "aspect": Preprocessing(MONO, rig.SIDE, rig.SIDE, keep_aspect=True, shrink=2.1),
    "aspect of a region": Preprocessing(MONO, rig.SIDE, rig.SIDE, roi=(32, 16, 90, 70), keep_aspect=True, shrink=1.7),
}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("task", [TaskName.ANOMALY, TaskName.SEMANTIC])
def test_a_bright_square_is_bright_in_the_map(tmp_path: Path, how: Preprocessing, task: TaskName) -> None:
    """What the bundle looks at is marked in its place to a cell, and nothing is known of the rest."""
    watch = MapWatch(load_bundle(rig.write_bundle(tmp_path / "b", task, preprocessing=how), OnnxRuntime(), "f32", 1))
    frame = rig.picture((48, 64))
    assert watch.frame_map(frame.shape) is None
    watch.loaded.reader(frame.shape).read(frame)
    shown = watch.frame_map(frame.shape)
    x, y, width, height = how.roi or (0, 0, rig.FRAME, rig.FRAME)
    region = np.zeros(frame.shape, bool)
    region[y : y + height, x : x + width] = True
    middle, far = np.zeros_like(region), np.ones_like(region)
    middle[58:70, 74:86] = True
    far[36:92, 52:108] = False

    assert frame.shape == shown.shape
    if task is TaskName.SEMANTIC:
        assert (shown[middle] == 1).all()
        assert not shown[far].any()
    else:
        assert pytest.approx(rig.BRIGHT, abs=2) == shown[middle].min()
        assert pytest.approx(rig.DARK, abs=2) == shown[far & region].max()
        assert np.isneginf(shown[~region]).all()
        assert points_at(shown, frame == rig.BRIGHT)


def test_only_the_last_frame_is_shown(tmp_path: Path) -> None:
    """After `forget` nothing of the frame before is left."""
    watch = MapWatch(load_bundle(rig.write_bundle(tmp_path / "b", TaskName.ANOMALY), OnnxRuntime(), "f32", 1))
    reader = watch.loaded.reader((rig.FRAME, rig.FRAME))
    for place in ((0, 0), (96, 96)):
        watch.forget()
        reader.read(rig.picture(place))

    assert points_at(watch.frame_map((rig.FRAME, rig.FRAME)), rig.picture((96, 96)) == rig.BRIGHT)


def test_windows_are_those_of_the_readers() -> None:
    """Tiles come in the grid's order; where the aspect is kept, the region stands in the middle of the input image."""
    shape = (rig.FRAME, rig.FRAME)
    grid = tile_grid(WAYS["tiles"], shape)
    aspect = next(windows(Preprocessing(MONO, 64, 64, keep_aspect=True, shrink=4.0), shape))

    assert [(x, y, 64, 64) for x, y in grid.origins] == [
        (w.x_px, w.y_px, w.width_px, w.height_px) for w in windows(WAYS["tiles"], shape)
    ]
    assert Window(-64.0, -64.0, 256.0, 256.0) == aspect


def test_cells_are_enlarged_about_their_centres() -> None:
    """Between the centres of two cells values run in a straight line; beyond the last they stay."""
    cells = np.array([[0.0, 8.0]], np.float32)
    shown = enlarged(cells, Window(0, 0, 16, 2), (2, 20), cv2.INTER_LINEAR)

    assert pytest.approx([0, 0, 0, 0, 0.5, 1.5], abs=0.05) == shown[0, :6].tolist()
    assert [8.0] * 8 == shown[1, 12:].tolist()


@pytest.mark.parametrize(("place", "near"), [((40, 49), True), ((40, 50), False), ((47, 46), False), ((46, 46), True)])
def test_a_peak_within_nine_pixels_points_at_the_defect(place: tuple[int, int], near: bool) -> None:
    """The distance is that of pixel centres: 9 px straight, or 6 and 6 across, are near; 10, or 7 and 6, are not."""
    marks = np.zeros((80, 80), bool)
    marks[30:41, 30:41] = True
    values = np.zeros((80, 80), np.float32)
    values[place] = 1

    assert near is points_at(values, marks)
