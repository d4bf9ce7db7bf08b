"""Tiles are the parts of the frame that their places name, shifted inside it, all in one batch."""

import numpy as np
import pytest

from kernels import plan, reference
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer
from tests.unit.kernel_library import SMALL_BYTES, allocated, built

SHAPE = (60, 82)
ORIGINS = np.array([[0, 0], [17, 9], [50, 28], [61, 37], [200, -30]])


def frame_of(rng, pixel_format):
    return rng.integers(0, 256, (*SHAPE, 3) if pixel_format == "RGB8" else SHAPE, dtype=np.uint8)


def gathered(frame, pixel_format, tile_px, size):
    gatherer = TileGatherer(SHAPE, pixel_format, ORIGINS, tile_px, size, built())
    out = np.full((len(ORIGINS), *size, 3), 77, np.uint8)
    count = gatherer.run(frame, out)
    return gatherer.places, out[:count]


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
def test_native_tiles_are_exact(rng, pixel_format: str) -> None:
    """At native resolution each tile is the frame's own part, debayered with the frame's own neighbours."""
    frame = frame_of(rng, pixel_format)
    points = reference.debayer(frame) if pixel_format == "BayerRG8" else reference.colour_points(frame, pixel_format)
    whole = np.broadcast_to(np.floor(points + 0.5), (*SHAPE, 3))
    places, tiles = gathered(frame, pixel_format, (21, 23), (23, 21))
    expected = [whole[y : y + 23, x : x + 21] for x, y in places]

    assert [[0, 0], [17, 9], [50, 28], [61, 37], [61, 0]] == places.tolist()
    assert np.array_equal(expected, tiles)


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(20, 15), (10, 11), (7, 5), (40, 50)])
def test_resized_tiles_are_the_preprocessed_regions(rng, pixel_format: str, size: tuple[int, int]) -> None:
    """A tile is what preprocessing makes of its region, byte for byte, and within a grey level of the definition."""
    frame = frame_of(rng, pixel_format)
    places, tiles = gathered(frame, pixel_format, (22, 24), size)
    same = np.zeros((*size, 3), np.uint8)
    for (x, y), tile in zip(places.tolist(), tiles, strict=True):
        Preprocessor(SHAPE, pixel_format, (x, y, 22, 24), size, built()).run(frame, same)
        assert same.tolist() == tile.tolist()
    expected = reference.gather_tiles(frame, pixel_format, ORIGINS, (22, 24), size).astype(int)

    assert 1 >= np.abs(expected - tiles).max()


def test_tiles_stay_inside_the_frame() -> None:
    """A tile that would leave the frame is shifted inside, whole, never padded; Bayer quads begin at even places."""
    pixels = TileGatherer(SHAPE, "Mono8", ORIGINS, (22, 24), (12, 11), built()).places
    quads = TileGatherer(SHAPE, "BayerRG8", ORIGINS, (22, 24), (12, 11), built()).places
    odd_frame = TileGatherer((61, 83), "BayerRG8", ORIGINS, (22, 24), (12, 11), built()).places

    assert [[0, 0], [17, 9], [50, 28], [60, 36], [60, 0]] == pixels.tolist()
    assert [[0, 0], [16, 8], [50, 28], [60, 36], [60, 0]] == quads.tolist()
    assert [60, 36] == odd_frame[3].tolist()


def test_a_tile_may_be_the_whole_frame(rng) -> None:
    """A tile of the frame's size begins at its first pixel, wherever it was wished."""
    frame = frame_of(rng, "Mono8")
    places, tiles = gathered(frame, "Mono8", (82, 60), (60, 82))

    assert {(0, 0)} == {tuple(place) for place in places.tolist()}
    assert frame.tolist() == tiles[4, ..., 1].tolist()


def test_batches_follow_one_another(rng) -> None:
    """`first` and `count` cut the tiles into batches; the rest of the last batch stays as it was."""
    frame = frame_of(rng, "RGB8")
    gatherer = TileGatherer(SHAPE, "RGB8", ORIGINS, (16, 16), (8, 8), built())
    every = np.zeros((5, 8, 8, 3), np.uint8)
    batch = np.full((3, 8, 8, 3), 77, np.uint8)

    assert 5 == gatherer.run(frame, every)
    assert 3 == gatherer.run(frame, batch)
    assert every[:3].tolist() == batch.tolist()
    batch[:] = 77
    assert 2 == gatherer.run(frame, batch, 3)
    assert every[3:].tolist() == batch[:2].tolist()
    assert {77} == set(batch[2].ravel().tolist())
    assert 1 == gatherer.run(frame, batch, 1, 1)
    assert every[1].tolist() == batch[0].tolist()
    assert 0 == gatherer.run(frame, batch, 5)


def test_nothing_beyond_the_batch_is_written() -> None:
    """The tiles after the last one stay as they were, and so do the bytes before the first."""
    memory = np.full((7, 9, 9, 3), 77, np.uint8)
    TileGatherer(SHAPE, "BayerRG8", ORIGINS, (9, 9), (9, 9), built()).run(np.zeros(SHAPE, np.uint8), memory[1:6])

    assert {77} == set(memory[[0, 6]].ravel().tolist())
    assert {0} == set(memory[1:6].ravel().tolist())


@pytest.mark.parametrize("pixel_format", plan.PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(256, 256), (160, 160), (64, 64)])
def test_frame_is_read_where_it_lies(pixel_format: str, size: tuple[int, int]) -> None:
    """A call allocates nothing of the size of a row: neither frame nor tile is copied on the way."""
    frame = np.zeros((600, 800, 3) if pixel_format == "RGB8" else (600, 800), np.uint8)
    frame.flags.writeable = False
    origins = np.array([[x, y] for y in (0, 300) for x in (0, 200, 400)])
    gatherer = TileGatherer((600, 800), pixel_format, origins, (256, 256), size, built())
    out = np.zeros((6, *size, 3), np.uint8)

    assert SMALL_BYTES > allocated(lambda: gatherer.run(frame, out))


@pytest.mark.parametrize(
    ("pixel_format", "origins", "tile_px", "size", "message"),
    [
        ("Mono8", ORIGINS, (83, 10), (5, 5), "leaves the frame"),
        ("Mono8", ORIGINS, (10, 61), (5, 5), "leaves the frame"),
        ("BayerRG8", ORIGINS, (11, 10), (5, 5), "cuts Bayer quads"),
        ("BayerRG8", ORIGINS, (10, 11), (5, 5), "cuts Bayer quads"),
        ("Mono8", ORIGINS[:0], (10, 10), (5, 5), "tile origins"),
        ("Mono8", ORIGINS.astype(float), (10, 10), (5, 5), "tile origins"),
        ("Mono8", ORIGINS[:, :1], (10, 10), (5, 5), "tile origins"),
        ("Mono16", ORIGINS, (10, 10), (5, 5), "not one of"),
    ],
)
def test_impossible_tiles_are_refused(pixel_format, origins, tile_px, size, message) -> None:
    """What cannot be cut from the frame is refused when the gatherer is made."""
    with pytest.raises(ValueError, match=message):
        TileGatherer(SHAPE, pixel_format, origins, tile_px, size, built())


@pytest.mark.parametrize(
    ("out", "first", "count", "message"),
    [
        (np.zeros((5, 8, 9, 3), np.uint8), 0, None, "output is"),
        (np.zeros((5, 8, 8, 3), np.int8), 0, None, "output is"),
        (np.zeros((5, 8, 8, 6), np.uint8)[..., ::2], 0, None, "output is"),
        (np.broadcast_to(np.zeros((5, 8, 8, 3), np.uint8), (5, 8, 8, 3)), 0, None, "read-only"),
        (np.zeros((5, 8, 8, 3), np.uint8), 6, None, "choose fewer"),
        (np.zeros((5, 8, 8, 3), np.uint8), -1, 2, "choose fewer"),
        (np.zeros((5, 8, 8, 3), np.uint8), 4, 2, "choose fewer"),
        (np.zeros((5, 8, 8, 3), np.uint8), 0, -1, "choose fewer"),
        (np.zeros((1, 8, 8, 3), np.uint8), 0, 2, "choose fewer"),
    ],
)
def test_wrong_batches_are_refused(out, first, count, message) -> None:
    """A batch of another shape, and tiles that do not exist, never reach the kernel."""
    gatherer = TileGatherer(SHAPE, "Mono8", ORIGINS, (16, 16), (8, 8), built())
    with pytest.raises(ValueError, match=message):
        gatherer.run(np.zeros(SHAPE, np.uint8), out, first, count)
