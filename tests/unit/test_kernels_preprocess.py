"""The fused preprocessing stays within one grey level of its definition, reads nothing else and copies nothing."""

import numpy as np
import pytest

from kernels import plan, reference
from kernels.plan import Normalisation
from kernels.preprocess import Preprocessor
from tests.unit.kernel_library import SMALL_BYTES, allocated, built

NORMALISATION = Normalisation((123.7, 116.3, 103.5), (0.0171, 0.0175, 0.0174))


def preprocessed(frame, pixel_format, roi, size, normalisation=None):
    preprocessor = Preprocessor(frame.shape[:2], pixel_format, roi, size, built(), normalisation)
    shape = (3, *size) if normalisation else (*size, 3)
    out = np.full(shape, 77, np.float32 if normalisation else np.uint8)
    preprocessor.run(frame, out)
    return out


def worst_difference(frame, pixel_format, roi, size) -> int:
    roi = roi or Preprocessor(frame.shape[:2], pixel_format, None, size, built()).roi
    expected = reference.preprocess(frame, pixel_format, roi, size).astype(int)
    return int(np.abs(expected - preprocessed(frame, pixel_format, roi, size)).max())


def ends(rng, shape, pixel_format):
    """Give noise of 0 and 255, the worst for rounding."""
    return rng.choice(np.array([0, 255], np.uint8), (*shape, 3) if pixel_format == "RGB8" else shape)


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(224, 224), (256, 256), (1, 1), (17, 640), (700, 900)])
def test_camera_sized_frames(rng, pixel_format: str, size: tuple[int, int]) -> None:
    """A 1280 x 1024 frame of 0 and 255 is within one grey level, read as quads or debayered."""
    assert 1 >= worst_difference(ends(rng, (1024, 1280), pixel_format), pixel_format, None, size)


@pytest.mark.parametrize("pixel_format", ["Mono8", "BayerRG8"])
def test_largest_shrink(pixel_format: str) -> None:
    """Two million white pixels in one value do not overflow."""
    assert 1 >= worst_difference(np.full((1000, 2000), 255, np.uint8), pixel_format, None, (1, 1))


def test_debayered_strip_of_largest_shrink() -> None:
    """A white Bayer strip that shrinks along one axis alone, so debayered in sixteenths, does not overflow."""
    white = np.full((1000, 2000), 255, np.uint8)

    assert {255} == set(preprocessed(white, "BayerRG8", None, (1, 1001)).ravel().tolist())
    assert {255} == set(preprocessed(white, "BayerRG8", None, (501, 40)).ravel().tolist())


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
def test_largest_growth(rng, pixel_format: str) -> None:
    """A thousand results per pixel are within one grey level, and white never wraps to black."""
    frame = ends(rng, (2, 3), pixel_format)

    assert 1 >= worst_difference(frame, pixel_format, (0, 0, 3, 2), (2, 3000))
    assert 1 >= worst_difference(frame, pixel_format, (0, 0, 3, 2), (2000, 3))


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("size", [(37, 41), (80, 100), (96, 130), (200, 31)])
@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
def test_flat_frames_stay_flat(pixel_format: str, size: tuple[int, int], value: int) -> None:
    """A frame of one value gives that value everywhere, exactly, at any shrink."""
    shape = (96, 130, 3) if pixel_format == "RGB8" else (96, 130)
    out = preprocessed(np.full(shape, value, np.uint8), pixel_format, None, size)

    assert {value} == set(out.ravel().tolist())


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (48, 40)])
def test_red_stays_red(size: tuple[int, int]) -> None:
    """BayerRG8 has red at the first pixel and blue at the diagonal one; the result is RGB, also when debayered."""
    frame = np.full((64, 64), 90, np.uint8)
    frame[0::2, 0::2] = 200
    frame[1::2, 1::2] = 50
    out = preprocessed(frame, "BayerRG8", None, size)

    assert [200, 90, 50] == out[7, 7].tolist()
    assert out[7, 7].tolist() == out[-1, -1].tolist() == out[0, 0].tolist()


def test_single_green_sample_counts_half() -> None:
    """The two greens of a quad are averaged."""
    frame = np.zeros((2, 2), np.uint8)
    frame[0, 1] = 100

    assert [[[0, 50, 0]]] == preprocessed(frame, "BayerRG8", None, (1, 1)).tolist()


@pytest.mark.parametrize(("size", "full"), [((20, 30), False), ((21, 30), True), ((20, 31), True), ((40, 60), True)])
def test_switch_to_full_resolution(rng, size: tuple[int, int], full: bool) -> None:
    """Quads are read from a shrink of two along both axes on; when either axis shrinks less, pixels are debayered."""
    frame = rng.integers(0, 256, (40, 60), dtype=np.uint8)
    points = reference.debayer(frame) if full else reference.colour_points(frame, "BayerRG8")
    expected = reference.area_average(reference.area_average(points, size[0], 0), size[1], 1)

    assert full == reference.debayers(60, 40, size)
    assert 0.5 + 0.25 >= np.abs(expected - preprocessed(frame, "BayerRG8", None, size)).max()


def test_native_resolution_shows_single_pixels() -> None:
    """A grey line of one pixel keeps its place and most of its contrast in a Bayer crop at native resolution."""
    frame = np.full((32, 32), 50, np.uint8)
    frame[:, 16] = frame[:, 21] = 200
    grey = preprocessed(frame, "BayerRG8", (8, 8, 16, 16), (16, 16)).mean(axis=(0, 2)) - 50

    assert [8, 13] == sorted(np.argsort(grey)[-2:].tolist())
    assert 0.7 * 150 < grey[[8, 13]].min()
    assert 0.2 * 150 > np.abs(np.delete(grey, [8, 13])).max()


@pytest.mark.parametrize(
    "roi", [(0, 0, 13, 9), (1, 0, 12, 9), (0, 1, 5, 5), (7, 5, 6, 6), (3, 2, 1, 1), (0, 0, 20, 14)]
)
def test_native_crop_is_cut_from_the_whole(rng, roi) -> None:
    """A native crop, at odd places too, is exactly that part of the debayered frame: its neighbours are the frame's."""
    frame = rng.integers(0, 256, (14, 20), dtype=np.uint8)
    x, y, width, height = roi
    expected = np.floor(reference.debayer(frame) + 0.5)[y : y + height, x : x + width]

    assert expected.tolist() == preprocessed(frame, "BayerRG8", roi, (height, width)).tolist()


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (5, 3), (2, 9), (4, 4)])
def test_smallest_bayer_frames_are_mirrored(rng, shape) -> None:
    """Frames smaller than the interpolation's reach are mirrored at their edges as often as it takes."""
    frame = rng.integers(0, 256, shape, dtype=np.uint8)
    expected = np.floor(reference.debayer(frame) + 0.5)

    assert expected.tolist() == preprocessed(frame, "BayerRG8", (0, 0, shape[1], shape[0]), shape).tolist()


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(5, 6), (7, 9), (12, 16)])
def test_region_has_sharp_edges(pixel_format: str, size: tuple[int, int]) -> None:
    """Each pixel just inside the region changes the result, each pixel beyond its reach outside does not."""
    x, y, width, height = roi = (6, 8, 16, 12)
    full = pixel_format == "BayerRG8" and reference.debayers(width, height, size)
    reach = 2 if full else 0
    blank = np.zeros((30, 34, 3) if pixel_format == "RGB8" else (30, 34), np.uint8)
    expected = preprocessed(blank, pixel_format, roi, size)

    def changes(row: int, col: int) -> bool:
        frame = blank.copy()
        frame[row, col] = 255
        return not np.array_equal(expected, preprocessed(frame, pixel_format, roi, size))

    rows, cols = (y, y + height - 1, y + 5), (x, x + width - 1, x + 7)
    assert {True} == {changes(row, col) for row in rows for col in cols}
    assert {False} == {changes(row, col) for row in (y - 1 - reach, y + height + reach) for col in range(34)}
    assert {False} == {changes(row, col) for col in (x - 1 - reach, x + width + reach) for row in range(30)}


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(10, 24), (20, 24), (30, 60)])
def test_strided_rows(rng, pixel_format: str, size: tuple[int, int]) -> None:
    """Rows may lie at any distance, also backwards; the frame is not written."""
    channels = (3,) if pixel_format == "RGB8" else ()
    padded = rng.integers(0, 256, (80, 140, *channels), dtype=np.uint8)
    padded.flags.writeable = False
    for frame in (padded[:, :100], padded[::2, 20:120], padded[::-1, 3:103]):
        assert 1 >= worst_difference(frame, pixel_format, (10, 6, 60, 30), size)


@pytest.mark.parametrize("normalisation", [None, NORMALISATION])
@pytest.mark.parametrize("size", [(10, 11), (30, 33), (50, 60)])
@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
def test_nothing_outside_the_output_is_written(pixel_format: str, size, normalisation) -> None:
    """The bytes before and after the output stay as they were."""
    frame = np.zeros((50, 60, 3) if pixel_format == "RGB8" else (50, 60), np.uint8)
    memory = np.full(size[0] * size[1] * 3 + 128, 99, np.float32 if normalisation else np.uint8)
    Preprocessor((50, 60), pixel_format, None, size, built(), normalisation).run(frame, memory[64:-64])

    assert {99} == set(memory[:64].tolist()) | set(memory[-64:].tolist())
    assert 99 not in set(memory[64:-64].tolist())


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(24, 30), (70, 95), (120, 160)])
def test_normalised_planes(rng, pixel_format: str, size: tuple[int, int]) -> None:
    """Normalised planes hold (grey level - mean) * scale of each channel, within a quarter of a grey level."""
    frame = ends(rng, (120, 160), pixel_format)
    expected = reference.normalised(frame, pixel_format, (0, 0, 160, 120), size, *NORMALISATION)
    actual = preprocessed(frame, pixel_format, None, size, NORMALISATION)

    assert (3, *size) == expected.shape
    assert 0.25 >= (np.abs(expected - actual) / np.reshape(NORMALISATION.scale, (3, 1, 1))).max()


def test_channels_are_normalised_each_by_its_own() -> None:
    """Mean and scale of a channel are applied to that channel."""
    frame = np.full((4, 6, 3), (10, 20, 30), np.uint8)
    planes = preprocessed(frame, "RGB8", None, (2, 2), Normalisation((1, 2, 3), (1, 10, 100)))

    assert [9, 180, 2700] == planes[:, 0, 0].tolist() == planes[:, 1, 1].tolist()


def test_reference_is_an_area_average(rng) -> None:
    """The definition keeps the mean of the frame and gives plain block means at whole factors."""
    frame = rng.integers(0, 256, (60, 60), dtype=np.uint8)
    blocks = frame.reshape(6, 10, 6, 10).mean(axis=(1, 3))
    points = reference.colour_points(frame, "Mono8")
    odd = reference.area_average(reference.area_average(points, 7, 0), 11, 1)

    assert np.array_equal(np.floor(blocks + 0.5), reference.preprocess(frame, "Mono8", (0, 0, 60, 60), (6, 6))[..., 0])
    assert pytest.approx(frame.mean()) == odd.mean()


def test_reference_debayers_planes_exactly() -> None:
    """Where all colours rise together along a plane, interpolation gives the plane, at each colour of pixel."""
    row, col = np.mgrid[:20, :24]
    frame = (40 + 3 * row + 2 * col).astype(np.uint8)
    inside = np.s_[2:-2, 2:-2]

    for channel in range(3):
        assert frame[inside].tolist() == reference.debayer(frame)[..., channel][inside].tolist()


@pytest.mark.parametrize("size", [(224, 224), (1000, 1000)])
@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("normalisation", [None, NORMALISATION])
def test_frame_is_read_where_it_lies(pixel_format: str, size: tuple[int, int], normalisation) -> None:
    """A call allocates nothing of the size of a row, and the scratch memory cannot hold a frame: it is not copied."""
    frame = np.zeros((1024, 1280, 3) if pixel_format == "RGB8" else (1024, 1280), np.uint8)
    frame.flags.writeable = False
    preprocessor = Preprocessor((1024, 1280), pixel_format, None, size, built(), normalisation)
    out = np.zeros((3, *size) if normalisation else (*size, 3), np.float32 if normalisation else np.uint8)

    assert SMALL_BYTES > allocated(lambda: preprocessor.run(frame, out))
    assert frame.nbytes / 8 > sum(array.nbytes for array in preprocessor._reader._arrays.values())


@pytest.mark.parametrize(
    ("shape", "pixel_format", "roi", "size", "message"),
    [
        ((8, 8), "BayerRG8", (1, 0, 4, 4), (2, 2), "cuts Bayer quads"),
        ((8, 8), "BayerRG8", (0, 0, 4, 5), (2, 2), "cuts Bayer quads"),
        ((8, 8), "Mono8", (4, 4, 5, 4), (2, 2), "leaves the frame"),
        ((8, 8), "Mono8", (4, 4, 4, 5), (2, 2), "leaves the frame"),
        ((8, 8), "Mono8", (-1, 0, 4, 4), (2, 2), "leaves the frame"),
        ((8, 8), "Mono8", (0, 0, 0, 4), (2, 2), "leaves the frame"),
        ((1, 8), "BayerRG8", None, (2, 2), "leaves the frame"),
        ((1, 8), "BayerRG8", (0, 0, 8, 1), (2, 2), "no Bayer quad"),
        ((8, 8), "BayerGB8", None, (2, 2), "not one of"),
        ((8, 8), "Mono8", None, (0, 2), "is empty"),
        ((2000, 2000), "Mono8", None, (1, 1), "choose a larger size"),
        ((1000, 2000), "BayerRG8", None, (701, 1), "choose more columns"),
        ((8, 8), "Mono8", None, (8, 8001), "choose a smaller size"),
        ((8, 8), "Mono8", None, (8001, 8), "choose a smaller size"),
    ],
)
def test_impossible_geometry_is_refused(shape, pixel_format, roi, size, message) -> None:
    """What cannot be read inside the frame is refused when the preprocessor is made."""
    with pytest.raises(ValueError, match=message):
        Preprocessor(shape, pixel_format, roi, size, built())


@pytest.mark.parametrize(
    ("frame", "out"),
    [
        (np.zeros((8, 9), np.uint8), np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((8, 8), np.uint16), np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((8, 16), np.uint8)[:, ::2], np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((8, 8), np.uint8), np.zeros((2, 3, 3), np.uint8)),
        (np.zeros((8, 8), np.uint8), np.zeros((2, 2, 3), np.float32)),
        (np.zeros((8, 8), np.uint8), np.zeros((2, 2, 6), np.uint8)[:, :, ::2]),
        (np.zeros((8, 8), np.uint8), np.broadcast_to(np.zeros(12, np.uint8), (12,))),
    ],
)
def test_wrong_buffers_are_refused(frame, out) -> None:
    """A buffer of another shape, type or order never reaches the kernel."""
    with pytest.raises(ValueError, match=r"frame is|output"):
        Preprocessor((8, 8), "Mono8", None, (2, 2), built()).run(frame, out)
