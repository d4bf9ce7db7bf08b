"""The robustness suite changes frames as light, lens, sensor and fixture do, and counts what then passes."""

from pathlib import Path

import numpy as np
import pytest

from appliance.datasets.pictures import as_frame
from appliance.datasets.reading import read_data
from appliance.datasets.sample import Split
from appliance.datasets.splitting import selected
from appliance.evaluation.disturbances import DISTURBANCES, Disturbance, disturbed, lamp, sensor
from appliance.evaluation.robustness import run_robustness, worst_cases
from appliance.learning.rates import rate
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import TaskName
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import load_bundle
from tests.unit import evaluation_rig as rig

FORMATS = (PixelFormat.MONO8, PixelFormat.RGB8, PixelFormat.BAYER_RG8)


def scene(pixel_format: PixelFormat) -> np.ndarray:
    """Give a coloured frame with edges and slopes."""
    rows, cols = np.mgrid[0:96, 0:128]
    colour = np.stack([rows * 2, cols, 40 + (rows > 48) * 120], axis=2).astype(np.uint8)
    return as_frame(colour, pixel_format)


@pytest.mark.parametrize("how", DISTURBANCES, ids=lambda how: f"{how.name} {how.level}")
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_disturbance_changes_the_frame_and_nothing_else(how: Disturbance, pixel_format: PixelFormat) -> None:
    """Shape and format stay, the frame given is untouched, the same seed repeats; the scene is still to be seen."""
    frame = scene(pixel_format)
    before = frame.copy()
    once, twice = (disturbed(frame, pixel_format, how, np.random.default_rng(3)) for _ in range(2))
    middle = (slice(16, -16), slice(16, -16))
    difference = np.abs(once[middle].astype(int) - frame[middle].astype(int)).mean()

    assert (frame.shape, np.uint8) == (once.shape, once.dtype)
    assert np.array_equal(before, frame)
    assert np.array_equal(once, twice)
    assert 0.05 < difference < 30


def test_light_is_a_gain_and_noise_grows_with_light() -> None:
    """A fifth less light is a fifth less grey; shot noise has the variance that the electrons say (EMVA 1288)."""
    flat = np.full((300, 300), 200, np.uint8)
    dark = np.full((300, 300), 20, np.uint8)
    generator = np.random.default_rng(0)
    spread = [float(sensor(one, 2500, generator).std()) for one in (dark, flat)]
    expected = [float(np.sqrt(one * 255 / 2500 + (15 * 255 / 2500) ** 2 + 1 / 12)) for one in (20, 200)]

    assert 160 == lamp(flat, 0.8, generator)[0, 0]
    assert 255 == lamp(np.full((2, 2), 250, np.uint8), 1.2, generator)[0, 0]
    assert pytest.approx(expected, rel=0.03) == spread


def test_rates_stand_beside_those_of_the_undisturbed_pictures(tmp_path: Path) -> None:
    """Less light lets a defect near the limit escape, more light holds good parts back; the worst case is named."""
    root = rig.write_folders(tmp_path / "data", good=4)
    generator = np.random.default_rng(2)
    for name, level in (("spot/spot0", 110), ("good/test0", 95), ("good/test1", 95), ("spot/spot1", 160)):
        rig.cv2.imwrite(str(root / "test" / f"{name}.png"), rig.noisy(rig.picture((0, 0), level), generator))
    bundle = load_bundle(rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY), OnnxRuntime(), "f32", 1)
    data = read_data(root, TaskName.ANOMALY)
    light = [how for how in DISTURBANCES if how.name == "light"]
    shares: list[float] = []
    plain, less, more = run_robustness(bundle, data, selected(data, Split.TEST), shares.append, light)

    assert ("none", "light", "light") == (plain.disturbance, less.disturbance, more.disturbance)
    assert (rate(0, 3), rate(0, 4), rate(2, 7)) == (plain.escape_rate, plain.overkill_rate, plain.review_rate)
    assert (rate(1, 3), rate(0, 4)) == (less.escape_rate, less.overkill_rate)
    assert (rate(0, 3), rate(2, 4)) == (more.escape_rate, more.overkill_rate)
    assert {"spot": rate(1, 3)} == less.escape_rate_of
    assert [("good", rate(2, 4), "+20 %"), ("spot", rate(1, 3), "-20 %")] == [
        (one.kind, one.rate, one.level) for one in worst_cases((plain, less, more))
    ]
    assert shares == sorted(shares)
    assert 1.0 == shares[-1]
