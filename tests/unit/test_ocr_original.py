"""The whole reader says what the networks' own pipeline says, which runs here for comparison alone."""

import math
import warnings

import numpy as np
import pytest

from appliance.schema.finding import Box
from kernels import build
from tests.unit.ocr_rig import page, reader

pytestmark = pytest.mark.slow
REGION = Box(900, 860, 680, 440)
LINES = ("SN A7731-42", "LOT 260417", "EXP 2027-03-31")


@pytest.fixture(scope="module")
def original():
    """Give the wheel's own pipeline; it finds its models in the wheel and needs no network."""
    build.build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rapidocr = pytest.importorskip("rapidocr")
        return rapidocr.RapidOCR(params={"Global.log_level": "error"})


@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize(("height_px", "degrees"), [(16, 0), (24, -8), (36, 6)])
def test_the_original_pipeline_reads_the_same(original, height_px, degrees, upside_down):
    """Same texts, and boxes whose middles lie within a quarter of a line's height, on the same pixels."""
    grey = page(LINES, height_px, (1000, 980), degrees)
    left, top, width, height = (int(value) for value in (REGION.x_px, REGION.y_px, REGION.width_px, REGION.height_px))
    region = REGION
    if upside_down:
        grey = np.ascontiguousarray(grey[::-1, ::-1])
        left, top = grey.shape[1] - left - width, grey.shape[0] - top - height
        region = Box(left, top, width, height)
    colour = np.repeat(grey[top : top + height, left : left + width, None], 3, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = original(np.ascontiguousarray(colour))
    ours = reader(regions=[region]).read(grey).findings
    expected = dict(zip(theirs.txts, theirs.boxes.mean(axis=1) + np.array([left, top]), strict=True))
    found = {f.text: np.array(f.polygon).mean(axis=0) for f in ours}

    assert sorted(found) == sorted(expected) == sorted(LINES)
    assert all(math.dist(found[text], expected[text]) < 0.25 * height_px + 2 for text in LINES)
