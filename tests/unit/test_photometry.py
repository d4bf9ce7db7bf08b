"""Protect the aids that a camera is adjusted by: they say what changed, and nothing else moves them."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.imaging import photometry
from appliance.imaging.photometry import (
    MOST_SATURATED,
    TARGET,
    ZEBRA,
    drift,
    evenness,
    exposure_factor,
    focus,
    light_of,
    measured,
    zebra,
)
from appliance.schema.frame import PixelFormat

BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


def scene(seed: int = 1) -> NDArray[np.float32]:
    """Draw discs on a ground: (480, 640) float32, sharp, 40 to 180 of 255."""
    drawn = np.random.default_rng(seed)
    picture = np.full((480, 640), 110, np.float32)
    for _ in range(40):
        middle = (int(drawn.integers(0, 640)), int(drawn.integers(0, 480)))
        cv2.circle(picture, middle, int(drawn.integers(6, 40)), float(drawn.uniform(40, 180)), -1)
    return picture


def taken(picture: NDArray[np.float32], blur: float = 0.0, gain: float = 1.0, noise: float = 0.0) -> NDArray[np.uint8]:
    """Take a picture of a scene."""
    if blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.float32)
    grain = np.random.default_rng(7).normal(0, noise, picture.shape)
    return np.clip(np.round(picture * gain + grain), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_focus_falls_with_every_blur(seed: int, noise: float) -> None:
    """The more a picture is blurred the less it measures, down to under a twentieth."""
    found = [focus(taken(scene(seed), blur, noise=noise)) for blur in BLURS]

    assert sorted(found, reverse=True) == found
    assert found[-1] < found[0] / 20


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.4, 1.4), blur=st.sampled_from((0.0, 0.5, 1.0)), seed=st.integers(0, 3))
def test_exposure_does_not_move_focus(gain: float, blur: float, seed: int) -> None:
    """A gain of 0.4 to 1.4 that clips nothing moves the measure by under 5 %."""
    plain, changed = focus(taken(scene(seed), blur)), focus(taken(scene(seed), blur, gain))

    assert math.isclose(plain, changed, rel_tol=0.05)


@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0])
def test_noise_is_no_sharpness(blur: float) -> None:
    """Noise of 4 grey levels moves the measure by under 10 %; a flat noisy picture has next to none."""
    plain, noisy = focus(taken(scene(), blur)), focus(taken(scene(), blur, noise=4.0))
    flat = focus(taken(np.full((480, 640), 110, np.float32), noise=4.0))

    assert math.isclose(plain, noisy, rel_tol=0.10)
    assert flat < focus(taken(scene())) / 20


@pytest.mark.parametrize("shape", [(0, 0), (1, 9), (3, 3), (9, 2)])
def test_too_small_or_dark_a_picture_has_no_focus(shape: tuple[int, int]) -> None:
    """Nothing to be measured is 0, no error and no NaN."""
    assert [0.0, 0.0] == [focus(np.full(shape, 200, np.uint8)), focus(np.zeros((20, 20), np.uint8))]


def test_channels_are_those_of_the_raw_format() -> None:
    """Of a mosaic each colour is counted in its own cells: a saturated red hides in no grey."""
    mosaic = np.full((8, 8), 100, np.uint8)
    mosaic[::2, ::2] = 255
    mosaic[1::2, 1::2] = 0
    found = {one.name: one for one in measured(mosaic, PixelFormat.BAYER_RG8)}
    colours = measured(np.zeros((4, 4, 3), np.uint8), PixelFormat.RGB8)

    assert (1.0, 0.0, 0.0) == tuple(found[name].saturated for name in ("red", "green", "blue"))
    assert (0.0, 0.0, 1.0) == tuple(found[name].black for name in ("red", "green", "blue"))
    assert ["red", "green", "blue"] == [one.name for one in colours]
    assert ["grey"] == [one.name for one in measured(mosaic, PixelFormat.MONO8)]


@given(level=st.integers(0, 255))
def test_a_histogram_is_a_share(level: int) -> None:
    """The bars add up to one, and a flat picture stands in one bar."""
    [one] = measured(np.full((16, 16), level, np.uint8), PixelFormat.MONO8)

    assert (1.0, 1.0, float(level)) == (sum(one.histogram), max(one.histogram), one.mean)
    assert 1.0 == one.histogram[level * photometry.BINS // 256]


@pytest.mark.parametrize("gain", [0.35, 0.5, 0.7, 0.9])
def test_the_suggestion_leads_to_the_target(gain: float) -> None:
    """A picture that is too dark and clips nothing is right after one step, or the suggestion was to do nothing."""
    dark = taken(scene(), gain=gain)
    factor = exposure_factor(measured(dark, PixelFormat.MONO8))
    [after] = measured(taken(scene(), gain=gain * factor), PixelFormat.MONO8)

    assert math.isclose(TARGET, after.brightest, rel_tol=0.2)


def test_over_exposure_is_halved_and_then_leaves_off() -> None:
    """From any over-exposure a few steps lead to a picture that is left as it is, and none overshoots into the dark."""
    gain, steps = 8.0, []
    for _ in range(10):
        found = measured(taken(scene(), gain=gain), PixelFormat.MONO8)
        steps.append(exposure_factor(found))
        gain *= steps[-1]

    assert 1.0 == steps[-1]
    assert 0.5 == steps[0]
    assert max(one.saturated for one in found) <= MOST_SATURATED
    assert max(one.brightest for one in found) > 0.8 * TARGET


@given(share=st.floats(0.002, 1.0))
def test_saturation_never_asks_for_more_light(share: float) -> None:
    """While more is saturated than a glint the exposure is lowered."""
    picture = np.full(2000, 60, np.uint8)
    picture[: math.ceil(share * 2000)] = 255

    assert exposure_factor(measured(picture.reshape(40, 50), PixelFormat.MONO8)) < 1.0


def test_evenness_counts_what_changed() -> None:
    """An even sheet is 1, a lamp that lost its left half shows against the reference, whatever the part looks like."""
    picture = taken(scene())
    shade = np.linspace(0.5, 1.0, 640, dtype=np.float32)[None, :]
    dimmed = taken(scene() * shade)
    reference = light_of(picture)

    assert 1.0 == evenness(light_of(np.full((60, 80), 90, np.uint8)))
    assert math.isclose(1.0, evenness(light_of(taken(scene(), gain=0.8)), reference), rel_tol=0.03)
    assert math.isclose(0.52, evenness(light_of(dimmed), reference), abs_tol=0.06)
    assert math.isclose(0.8, drift(light_of(taken(scene(), gain=0.8)), reference), rel_tol=0.02)


def test_evenness_of_another_grid_or_in_the_dark_is_unknown() -> None:
    """What cannot be compared is no number."""
    dark = light_of(np.zeros((60, 80), np.uint8))

    assert all(map(math.isnan, (evenness(dark), evenness(dark, dark), evenness(dark, ((1.0,),)), drift(dark, dark))))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 400),
    columns=st.integers(1, 400),
    place=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    kind=st.sampled_from(PixelFormat),
)
def test_one_saturated_pixel_shows(rows: int, columns: int, place: tuple[float, float], kind: PixelFormat) -> None:
    """However small the map, no saturated pixel is averaged away, and it shows in its own place."""
    shape = (rows, columns, 3) if kind is PixelFormat.RGB8 else (rows, columns)
    picture = np.full(shape, 254, np.uint8)
    at = (int(place[0] * rows), int(place[1] * columns))
    picture[at] = 255
    found = zebra(picture, kind)
    [cell] = np.argwhere(found)

    assert max(found.shape) <= ZEBRA
    assert any(
        (at[0] // side, at[1] // side) == tuple(cell)
        for side in (2, 4)
        if found.shape == (-(-rows // side), -(-columns // side))
    )
