"""For any frame, region and size, images and tiles are those of the definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernels import plan, reference
from kernels.plan import Normalisation
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer
from tests.unit.kernel_library import built

NORMALISATION = Normalisation((100.0, 50.0, 0.0), (0.02, -0.01, 1.0))


@st.composite
def regions(draw):
    """Give pixel format, frame shape, region (x, y, width, height) and result size; Bayer quads are left whole."""
    pixel_format = draw(st.sampled_from(plan.PIXEL_FORMATS))
    rows, cols = draw(st.integers(2, 90)), draw(st.integers(2, 90))
    width, height = draw(st.integers(1, cols)), draw(st.integers(1, rows))
    size = draw(st.one_of(st.just((height, width)), st.tuples(st.integers(1, 60), st.integers(1, 60))))
    x, y = draw(st.integers(0, cols - width)), draw(st.integers(0, rows - height))
    if pixel_format == "BayerRG8" and not reference.debayers(width, height, size):
        x, y, width, height = x & ~1, y & ~1, width & ~1, height & ~1
        size = min(size[0], height // 2), min(size[1], width // 2)
    return pixel_format, (rows, cols), (x, y, width, height), size


@st.composite
def frames(draw, shape, pixel_format):
    shape = (*shape, 3) if pixel_format == "RGB8" else shape
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "black", "white", "ends", "one"]))
    if kind == "noise":
        return random.integers(0, 256, shape, dtype=np.uint8)
    if kind == "ends":
        return random.choice(np.array([0, 255], np.uint8), shape)
    frame = np.full(shape, 255 if kind == "white" else 0, np.uint8)
    if kind == "one":
        frame.ravel()[random.integers(frame.size)] = 255
    return frame


@given(regions(), st.data())
def test_any_geometry_is_within_one_grey_level(region, data) -> None:
    """Odd sizes, edges, shrinking, growing, all formats and extremes: at most 1 grey level off, none at native size."""
    pixel_format, shape, roi, size = region
    frame = data.draw(frames(shape, pixel_format))
    out = np.full((*size, 3), 77, np.uint8)
    Preprocessor(shape, pixel_format, roi, size, built()).run(frame, out)
    expected = reference.preprocess(frame, pixel_format, roi, size).astype(int)
    native = size == (roi[3], roi[2])

    assert (0 if native else 1) >= np.abs(expected - out).max()


@given(regions(), st.data())
def test_any_normalised_geometry_is_within_a_quarter(region, data) -> None:
    """Planes are within a quarter of a grey level, times the channel's scale."""
    pixel_format, shape, roi, size = region
    frame = data.draw(frames(shape, pixel_format))
    out = np.full((3, *size), 77, np.float32)
    Preprocessor(shape, pixel_format, roi, size, built(), NORMALISATION).run(frame, out)
    expected = reference.normalised(frame, pixel_format, roi, size, *NORMALISATION)

    assert 0.25 >= (np.abs(expected - out) / np.abs(np.reshape(NORMALISATION.scale, (3, 1, 1)))).max()


@given(regions(), st.lists(st.tuples(*[st.integers(-100, 200)] * 2), min_size=1, max_size=6), st.data())
def test_any_tiles_are_within_one_grey_level(region, origins, data) -> None:
    """Wherever tiles are wished, each shows the place that it names, inside the frame."""
    pixel_format, shape, (_, _, *tile), size = region
    frame = data.draw(frames(shape, pixel_format))
    tile_px = (tile[0], tile[1])
    gatherer = TileGatherer(shape, pixel_format, np.array(origins), tile_px, size, built())
    out = np.full((len(origins), *size, 3), 77, np.uint8)
    count = gatherer.run(frame, out)
    expected = reference.gather_tiles(frame, pixel_format, np.array(origins), tile_px, size).astype(int)

    assert len(origins) == count
    assert (gatherer.places >= 0).all()
    assert (gatherer.places + tile_px <= (shape[1], shape[0])).all()
    assert 1 >= np.abs(expected - out).max()
