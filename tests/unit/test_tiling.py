"""Tiles cover their region without padding, overlap as asked, and a defect too small for the model is said so."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.imaging.geometry import in_mm
from appliance.imaging.tiling import input_pixels_per_mm, tile_grid, too_small
from appliance.schema.bundle import ClassSpec, Preprocessing, Tiling
from appliance.schema.errors import ConfigError
from appliance.schema.finding import Box, Finding
from appliance.schema.frame import PixelFormat


def how(size=(128, 160), overlap=24, shrink=1.0, roi=None) -> Preprocessing:
    return Preprocessing(PixelFormat.BAYER_RG8, *size, roi, Tiling(overlap, shrink))


@given(
    st.integers(170, 2500),
    st.integers(140, 2500),
    st.integers(0, 100),
    st.sampled_from([1.0, 1.05]),
    st.integers(0, 40),
)
def test_tiles_cover_the_region(width: int, height: int, overlap: int, shrink: float, corner: int) -> None:
    """Every pixel of the region but a last odd one lies in a tile, no tile leaves it, and all start on even pixels."""
    roi = (2 * corner, 2 * corner + 2, width, height)
    grid = tile_grid(how(overlap=overlap, shrink=shrink, roi=roi), (4000, 4000))
    wide, high = grid.tile_px
    for axis, (begin, region, length) in enumerate(((roi[0], width, wide), (roi[1], height, high))):
        starts = sorted({origin[axis] for origin in grid.origins})

        assert begin == starts[0]
        assert begin + region - 1 <= starts[-1] + length <= begin + region
        assert all(start % 2 == 0 for start in starts)
        assert all(second + overlap <= first + length for first, second in itertools.pairwise(starts))


@given(st.integers(160, 1600), st.integers(0, 60))
def test_no_tile_is_superfluous(width: int, overlap: int) -> None:
    """One tile fewer could not cover the region with this overlap, the 2 px for even places counted in."""
    count = len(tile_grid(how(overlap=overlap, roi=(0, 0, width, 128)), (128, width)).origins)

    assert count == 1 or (count - 1) * (160 - overlap - 2) + overlap + 2 < width


@pytest.mark.parametrize(
    ("roi", "overlap", "said"),
    [
        ((0, 0, 100, 400), 10, "width is 160 px, the region of interest has 100"),
        ((0, 0, 400, 100), 10, "height is 128"),
        ((0, 0, 400, 400), 128, "overlap 128 px, limit is under the tile's height"),
    ],
)
def test_unusable_tiles_are_refused(roi, overlap: int, said: str) -> None:
    """A tile that does not fit, or never gets on, is refused in one line."""
    with pytest.raises(ConfigError, match=said):
        tile_grid(how(overlap=overlap, roi=roi), (400, 400))


def test_scale_of_the_input() -> None:
    """What one mm gets depends on region and input, or with tiles on their shrink alone."""
    whole = Preprocessing(PixelFormat.MONO8, 256, 256, (0, 0, 1024, 2048))

    assert 1.25 == input_pixels_per_mm(whole, (3000, 3000), mm_per_px=0.1)
    assert 5.0 == input_pixels_per_mm(how(shrink=2.0), (3000, 3000), mm_per_px=0.1)


def test_small_defects_are_named() -> None:
    """A class whose smallest defect is under 3 pixels of the input is named with numbers; at 3 pixels it is not."""
    classes = (
        ClassSpec("good", defect=False),
        ClassSpec("scratch", min_size_mm=0.2),
        ClassSpec("dent", min_size_mm=1.5),
    )

    assert ("scratch",) == tuple(line.split()[1].rstrip(":") for line in too_small(classes, 2.0))
    assert "0.4 px of the input image, 3 are needed" in too_small(classes, 2.0)[0]
    assert () == too_small(classes, 15.0)


def test_millimetres() -> None:
    """Place and size scale with the pixel, the area with its square; without a scale nothing is invented."""
    found = (Finding("dent", 0.9, None, Box(10, 20, 30, 40), area_px=600.0), Finding("scratch", 0.8, None))

    extent = in_mm(found, 0.1)[0].extent
    assert extent is not None
    assert pytest.approx((1.0, 2.0, 3.0, 4.0, 6.0)) == (
        extent.x_mm,
        extent.y_mm,
        extent.width_mm,
        extent.height_mm,
        extent.area_mm2,
    )
    assert in_mm(found, 0.1)[1].extent is None
    assert found == in_mm(found, None)
