"""The CUDA preprocessing and tile kernels give the exact average, rounded once, of exactly the pixels they should."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import reference
from kernels.cuda.driver import DriverFault
from kernels.cuda.host import emulated
from kernels.cuda.host.emulated import EmulatedDriver
from kernels.cuda.preprocess import CudaPreprocessor
from kernels.cuda.tiles import CudaTileGatherer
from kernels.plan import PIXEL_FORMATS, Normalisation
from tests.unit.cuda_rig import EMULATED, REAL, Device, open_device

NORMALISATION = Normalisation((123.675, 116.28, 103.53), (1 / 58.4, 1 / 57.1, -1 / 57.4))


@pytest.fixture(scope="module", params=[*EMULATED, "mapped", *REAL])
def device(request):
    opened = open_device(request.param)
    yield opened
    opened.driver.close()


def run(device: Device, frame, pixel_format, roi, size, normalisation=None):
    """Preprocess a frame whose rows may lie apart or backwards, in memory that ends with its last pixel."""
    start, end = np.lib.array_utils.byte_bounds(frame)
    pointer = device.put_last(ctypes.string_at(start, end - start))
    preprocessor = CudaPreprocessor(
        device.driver, device.module, frame.shape[:2], pixel_format, roi, size, normalisation, frame.strides[0]
    )
    out = device.space(preprocessor.result_bytes)
    preprocessor.run(pointer + frame.ctypes.data - start, out, device.stream)
    shape, dtype = ((3, *size), np.float32) if normalisation else ((*size, 3), np.uint8)
    result = device.get(out, shape, dtype)
    device.driver.free(out)
    device.driver.free(pointer - (start - end) % 16)
    return result


def exact(frame, pixel_format, roi, size) -> np.ndarray:
    """Give the average in whole numbers, halves rounded up: what the kernels promise."""
    x, y, width, height = roi
    if pixel_format == "BayerRG8" and reference.debayers(width, height, size):
        points, scale = reference.debayer(frame)[y : y + height, x : x + width], 16
    else:
        points = reference.colour_points(frame[y : y + height, x : x + width], pixel_format)
        scale = 2 if pixel_format == "BayerRG8" else 1
    whole = np.rint(points * scale).astype(np.int64)
    assert np.array_equal(whole, points * scale)
    rows, cols = (overlaps(whole.shape[axis], size[axis]) for axis in (0, 1))
    total = np.einsum("ick,jc->ijk", np.einsum("ir,rck->ick", rows, whole), cols)
    one = whole.shape[0] * whole.shape[1] * scale
    rounded = (2 * total + one) // (2 * one)
    return np.broadcast_to(rounded, (*size, 3)).astype(np.uint8)


def overlaps(source: int, length: int) -> np.ndarray:
    out, point = np.arange(length)[:, None] * source, np.arange(source)[None] * length
    return (np.minimum(out + source, point + length) - np.maximum(out, point)).clip(0)


@st.composite
def cases(draw):
    pixel_format = draw(st.sampled_from(PIXEL_FORMATS))
    rows, cols = draw(st.integers(2, 90)), draw(st.integers(2, 130))
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    x, y = draw(st.integers(0, cols - 1)), draw(st.integers(0, rows - 1))
    width, height = draw(st.integers(1, cols - x)), draw(st.integers(1, rows - y))
    if pixel_format == "BayerRG8" and not reference.debayers(width, height, size):
        x, y, width, height = x & ~1, y & ~1, max(width & ~1, 2), max(height & ~1, 2)
    if pixel_format == "BayerRG8" and (x + width > cols or y + height > rows):
        x, y, width, height = 0, 0, cols & ~1, rows & ~1
    seed, kind = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(["noise", "black", "white", "ends"]))
    padding, order = draw(st.integers(0, 5)), draw(st.sampled_from([1, -1]))
    return pixel_format, (rows, cols), (x, y, width, height), size, seed, kind, padding, order


def painted(random, shape, kind):
    if kind == "noise":
        return random.integers(0, 256, shape, dtype=np.uint8)
    if kind == "ends":
        return random.choice(np.array([0, 255], np.uint8), shape)
    return np.full(shape, 255 * (kind == "white"), np.uint8)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_any_geometry_is_exact(device, case) -> None:
    """Odd sizes, regions at edges, rows apart or backwards, shrinking and growing, all formats and extremes: exact."""
    pixel_format, shape, roi, size, seed, kind, padding, order = case
    channels = (3,) if pixel_format == "RGB8" else ()
    wide = painted(np.random.default_rng(seed), (shape[0], shape[1] + padding, *channels), kind)
    frame = wide[::order, : shape[1]]
    if pixel_format == "BayerRG8" and not reference.debayers(*roi[2:], size) and any(value % 2 for value in roi):
        return

    result = run(device, frame, pixel_format, roi, size)

    assert np.array_equal(exact(frame, pixel_format, roi, size), result)
    assert 1 >= np.abs(reference.preprocess(frame, pixel_format, roi, size).astype(int) - result).max()


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_planes_are_normalised(device, case) -> None:
    """Float32 planes are the unrounded average, (grey level - mean) * scale, within 1e-4 grey levels."""
    pixel_format, shape, roi, size, seed, kind, _, _ = case
    frame = painted(np.random.default_rng(seed), (*shape, 3) if pixel_format == "RGB8" else shape, kind)
    if pixel_format == "BayerRG8" and not reference.debayers(*roi[2:], size) and any(value % 2 for value in roi):
        return

    result = run(device, frame, pixel_format, roi, size, NORMALISATION)

    expected = reference.normalised(frame, pixel_format, roi, size, *NORMALISATION)
    assert 1e-4 >= (np.abs(expected - result) / np.abs(NORMALISATION.scale)[:, None, None]).max()


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(23, 21), (1, 1), (2, 97), (2, 1000)])
def test_camera_sized_frames(device, pixel_format: str, size: tuple[int, int]) -> None:
    """A frame wider than one block's reach, of zeros and 255s, read up to its last byte, is exact."""
    shape = (270, 1301, 3) if pixel_format == "RGB8" else (270, 1301)
    frame = np.random.default_rng(3).choice(np.array([0, 255], np.uint8), shape)
    roi = (0 if pixel_format == "BayerRG8" else 1, 0, 1300, 270)

    assert np.array_equal(exact(frame, pixel_format, roi, size), run(device, frame, pixel_format, roi, size))


def test_largest_shrink(device) -> None:
    """Two million white pixels in one value do not overflow, full-resolution colour is not clipped wrongly."""
    white = np.full((1000, 2000), 255, np.uint8)
    for pixel_format in ("Mono8", "BayerRG8"):
        assert {255} == set(run(device, white, pixel_format, None, (1, 1)).ravel().tolist())


ROUNDED = """
#include "area.cuh"
KERNEL(256) round_all(const uint64 *total, const uint64 *whole, uint32 *out, int count) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < count) out[i] = rounded(total[i], whole[i]); }
"""


def test_averages_are_rounded_exactly(tmp_path) -> None:
    """Halves go up and no sum is too large for the guess: the float quotient is put right by whole numbers."""
    (tmp_path / "rounded.cu").write_text(ROUNDED)
    driver = EmulatedDriver(emulated.build(tmp_path / "rounded.so", (), [tmp_path / "rounded.cu"]))
    random = np.random.default_rng(8)
    whole = random.integers(1, 2 ** random.integers(1, 50, 50_000))
    grey = random.integers(0, 255, whole.size)
    total = (2 * grey + 1) * whole // 2 + random.integers(-1, 2, whole.size)
    total = total.clip(0, 255 * whole)
    pointers = [driver.allocate(8 * whole.size) for _ in range(3)]
    driver.upload(pointers[0], total, 0)
    driver.upload(pointers[1], whole, 0)
    grid = (-(-whole.size // 256), 1, 1)
    arguments = [*pointers, np.int32(whole.size)]
    driver.launch(driver.module(emulated.IMAGE), "round_all", grid, (256, 1, 1), arguments, 0)
    result = np.zeros(whole.size, np.uint32)
    driver.download(result, pointers[2], 0)
    driver.close()

    assert np.array_equal((2 * total + whole) // (2 * whole), result)


def test_red_stays_red(device) -> None:
    """BayerRG8 has red at the first pixel and blue at the diagonal one, as quads and as single pixels."""
    frame = np.zeros((16, 16), np.uint8)
    frame[0::2, 0::2] = 200
    frame[1::2, 1::2] = 50

    assert [200, 0, 50] == run(device, frame, "BayerRG8", None, (4, 4))[2, 2].tolist()
    assert [200, 0, 50] == run(device, frame, "BayerRG8", None, (16, 16))[7, 7].tolist()


def test_mapped_ring_is_read_in_place(device) -> None:
    """Where the device maps registered host memory, the kernel reads the frame there; elsewhere there is no address."""
    ring = np.random.default_rng(1).integers(0, 256, (2, 64, 80), dtype=np.uint8)
    pointer = device.driver.register(ring)
    if not device.driver.maps_host_memory:
        device.driver.unregister(ring)

        assert pointer is None
        return
    preprocessor = CudaPreprocessor(device.driver, device.module, (64, 80), "BayerRG8", None, (10, 12))
    out = device.space(preprocessor.result_bytes)
    preprocessor.run(pointer + ring[0].nbytes, out, device.stream)
    result = device.get(out, (10, 12, 3), np.uint8)
    device.driver.unregister(ring)

    assert np.array_equal(exact(ring[1], "BayerRG8", (0, 0, 80, 64), (10, 12)), result)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize(("tile", "size"), [((32, 24), (24, 32)), ((40, 20), (9, 11)), ((18, 34), (40, 20))])
def test_tiles_are_regions(device, pixel_format: str, tile, size) -> None:
    """Every tile of a batch equals the region of its own; tiles over the edge are shifted inside."""
    frame = np.random.default_rng(5).integers(0, 256, (70, 90, 3) if pixel_format == "RGB8" else (70, 90), np.uint8)
    origins = np.array([[0, 0], [33, 21], [200, 200], [-5, 47], [57, 0]])
    pointer = device.put(frame)
    gatherer = CudaTileGatherer(
        device.driver, device.module, (70, 90), pixel_format, origins, tile, size, device.stream
    )
    out = device.space(5 * gatherer.tile_bytes)
    count = gatherer.run(pointer, out, device.stream, 0, 2) + gatherer.run(
        pointer, out + 2 * gatherer.tile_bytes, device.stream, 2
    )
    result = device.get(out, (5, *size, 3), np.uint8)
    gatherer.close()
    device.driver.free(out)

    expected = [exact(frame, pixel_format, (*map(int, place), *tile), size) for place in gatherer.places]
    assert 5 == count
    assert np.array_equal(expected, result)
    assert 1 >= np.abs(reference.gather_tiles(frame, pixel_format, origins, tile, size).astype(int) - result).max()


def test_frame_is_allocated_once() -> None:
    """Running allocates nothing, whatever runs; one launch a frame."""
    device = open_device("emulated")
    preprocessor = CudaPreprocessor(device.driver, device.module, (64, 80), "BayerRG8", None, (10, 12))
    frame, out = device.space(64 * 80), device.space(preprocessor.result_bytes)
    before = device.driver.allocations
    for _ in range(3):
        preprocessor.run(frame, out, device.stream)

    assert (before, 3) == (device.driver.allocations, device.driver.launches)
    device.driver.close()


@pytest.mark.parametrize(
    ("pixel_format", "roi", "size", "row_bytes", "message"),
    [
        ("BayerRG8", (1, 0, 4, 4), (2, 2), None, "cuts Bayer quads"),
        ("Mono8", (4, 4, 5, 4), (2, 2), None, "leaves the frame"),
        ("Mono8", (-1, 0, 4, 4), (2, 2), None, "leaves the frame"),
        ("Mono8", (0, 0, 0, 4), (2, 2), None, "leaves the frame"),
        ("BayerGB8", None, (2, 2), None, "not one of"),
        ("Mono8", None, (0, 2), None, "is empty"),
        ("RGB8", None, (2, 2), 8, "must not overlap"),
        ("Mono8", None, (2**29, 2), None, "choose a smaller size"),
    ],
)
def test_impossible_geometry_is_refused(pixel_format, roi, size, row_bytes, message) -> None:
    """What cannot be read inside the frame is refused when the preprocessor is made, by value and remedy."""
    device = open_device("emulated")
    with pytest.raises(ValueError, match=message):
        CudaPreprocessor(device.driver, device.module, (8, 8), pixel_format, roi, size, None, row_bytes)


def test_endless_frames_are_refused() -> None:
    """A region so long that its sums would overflow is refused when the preprocessor is made."""
    device = open_device("emulated")
    with pytest.raises(ValueError, match="the longest whose sums fit 32 bits"):
        CudaPreprocessor(device.driver, device.module, (2**20 + 2, 2), "Mono8", None, (9, 2))


def test_frame_shorter_than_said_is_found() -> None:
    """The emulated device reports a read outside a buffer as a real one reports an illegal address."""
    device = open_device("emulated")
    preprocessor = CudaPreprocessor(device.driver, device.module, (64, 80), "Mono8", None, (10, 12))
    frame, out = device.space(63 * 80), device.space(preprocessor.result_bytes)
    with pytest.raises(DriverFault, match=r"preprocess_mono: illegal address at 0x\w+: block \d+ \d+ 0, thread"):
        preprocessor.run(frame, out, device.stream)
    device.driver.close()
