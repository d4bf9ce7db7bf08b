"""Marked cells become regions of the frame whose box, area and outline are those of the scaled cells."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.ports.task import Window
from appliance.schema.finding import Box
from appliance.tasks.regions import MOST_CORNERS, MOST_REGIONS, Regions, split

masks = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))


def enclosed(polygon: tuple[tuple[float, float], ...]) -> float:
    """Give the area inside a closed path by the shoelace formula."""
    x, y = np.array(polygon).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@settings(deadline=None)
@given(masks)
def test_outlines_enclose_cells_and_holes(marked: np.ndarray) -> None:
    """The outline of each region encloses its cells and what they surround, exactly, whatever its shape."""
    window = Window(3.5, -2.0, 2.5 * marked.shape[1], 0.75 * marked.shape[0])
    found = Regions(window, marked.shape)
    for spot in found.find(marked, marked.astype(np.float32)):
        region = found.place(spot)
        padded = np.pad(~spot.cells, 1, constant_values=True).astype(np.uint8)
        _, around = cv2.connectedComponents(padded, connectivity=4)
        filled = float((around != around[0, 0]).sum()) * 2.5 * 0.75

        assert pytest.approx(filled) == enclosed(region.polygon)
        assert spot.cells.sum() * 2.5 * 0.75 == region.area_px


@settings(deadline=None)
@given(masks)
def test_regions_part_the_marked_cells(marked: np.ndarray) -> None:
    """Each marked cell is in one region, up to the cap, and boxes are as tight as outlines."""
    found = Regions(Window(0, 0, marked.shape[1], marked.shape[0]), marked.shape)
    places = [found.place(spot) for spot in found.find(marked, np.ones(marked.shape, np.float32))]

    assert len(places) >= MOST_REGIONS or marked.sum() == sum(place.area_px for place in places)
    for place in places:
        x, y = np.array(place.polygon).T

        assert Box(x.min(), y.min(), np.ptp(x), np.ptp(y)) == place.box


def test_outline_of_an_angle() -> None:
    """Corners come once each, in frame pixels, along the edges of the cells."""
    found = Regions(Window(100, 200, 40, 30), (3, 4))
    marked = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]], np.uint8)
    (spot,) = found.find(marked, np.full((3, 4), 7, np.float32))
    region = found.place(spot)

    assert (7.0, Box(110, 210, 20, 20), 300) == (spot.strength, region.box, region.area_px)
    assert {(110, 210), (120, 210), (120, 220), (130, 220), (130, 230), (110, 230)} == set(region.polygon)
    assert 6 == len(region.polygon)


def test_strongest_regions_are_kept() -> None:
    """Of more regions than are listed, the strongest are, in their order."""
    marked = np.zeros((15, 15), np.uint8)
    marked[::2, ::2] = 1
    marked[0, 1] = 1
    values = np.arange(225, dtype=np.float32).reshape(15, 15)
    regions = Regions(Window(0, 0, 15, 15), (15, 15))
    found = regions.find(marked, values)

    assert np.sort(values[marked > 0])[::-1][:MOST_REGIONS].tolist() == [spot.strength for spot in found]
    assert [2.0] == [spot.strength for spot in regions.find(marked, values, fewest=2)]


def test_pieces_of_a_region() -> None:
    """A region split at a level gives its pieces at their places, each with its own strength."""
    values = np.array([[0, 0, 0, 0, 0], [0, 9, 2, 6, 5], [0, 0, 0, 0, 0]], np.float32)
    (spot,) = Regions(Window(0, 0, 5, 3), (3, 5)).find((values > 1).view(np.uint8), values)
    pieces = split(spot, values, 4.5)

    assert [(9, 1, 1, 1), (6, 1, 3, 2)] == [
        (piece.strength, piece.top, piece.left, piece.cells.sum()) for piece in pieces
    ]


def test_ragged_outlines_are_simplified() -> None:
    """An outline stays within the corners that travel with a result, and still encloses nearly the same area."""
    marked = np.zeros((64, 256), np.uint8)
    marked[20:] = 1
    marked[20, ::2] = 0
    found = Regions(Window(0, 0, 256, 64), (64, 256))
    (spot,) = found.find(marked, np.ones((64, 256), np.float32))
    region = found.place(spot)

    assert 4 <= len(region.polygon) <= MOST_CORNERS
    assert pytest.approx(region.area_px, rel=0.03) == enclosed(region.polygon)
