"""Paint defects on images of good parts, for a network that is to know a defect before the first real one is seen.

Holes, cracks, scratches, chips, frays, uneven patches and displaced pieces are defects; stains, streaks, specks and
uneven light are not, so that the network learns to leave them alone.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Random = np.random.Generator
Paint = Callable[[Plane, Random], tuple[Plane, Plane]]
"""Give (image, share of the defect in each pixel, 0 to 1) of an image, all (rows, cols) float32."""

CLEAN, DEFECT, UNCLEAR = 0, 1, 2
"""What a pixel of the marks is: not touched, visibly another than its surroundings, or within a wide defect."""
# A change under this share of the mean grey level is not to be seen.
VISIBLE = 0.03
# Beyond this many pixels a change looks even: only its rim can be seen from near by.
NEAR_PX = 6.0
NUISANCES = 0.5
MOST_DEFECTS = 3


def painted(image: NDArray[np.uint8], random: Random) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give a painted copy and its marks.

    image: (rows, cols, 3) uint8. Marks: (rows, cols) uint8 of `CLEAN`, `DEFECT`, `UNCLEAR`.
    """
    grey = image.mean(axis=2, dtype=np.float32)
    base = grey
    for nuisance in _NUISANCES:
        if random.random() < NUISANCES:
            base = nuisance(base, random).clip(0, 255)
    now, marks = base, np.zeros(grey.shape, np.uint8)
    for _ in range(int(random.integers(1, MOST_DEFECTS + 1))):
        after, share = _DEFECTS[int(random.integers(len(_DEFECTS)))](now, random)
        after = after.clip(0, 255)
        change = after - now
        near = np.abs(change - cv2.GaussianBlur(change, (0, 0), NEAR_PX))
        seen = cv2.dilate(near, np.ones((3, 3), np.uint8)) > max(VISIBLE * _level(base), 0.25 * float(near.max()))
        marks[(share > 0.02) & (marks == CLEAN)] = UNCLEAR
        marks[(share > 0.25) & seen] = DEFECT
        now = after
    # All channels change alike: the colour of the part stays.
    gain = (now + 1) / (grey + 1)
    result = (image * gain[:, :, None] + 0.5).clip(0, 255).astype(np.uint8)
    return result, marks


def _level(image: Plane) -> float:
    return max(float(image.mean()), 10.0)


def _spot(shape: tuple[int, ...], random: Random) -> tuple[float, float]:
    """Give an (x, y) anywhere."""
    return float(random.uniform(0, shape[1])), float(random.uniform(0, shape[0]))


def _rim(shape: tuple[int, ...], random: Random) -> tuple[float, float]:
    """Give an (x, y) on the border."""
    x, y = _spot(shape, random)
    return ((x, 0.0), (x, shape[0] - 1.0), (0.0, y), (shape[1] - 1.0, y))[int(random.integers(4))]


def _log_uniform(low: float, high: float, random: Random) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _texture(shape: tuple[int, ...], grain_px: float, random: Random) -> Plane:
    """Give noise of mean about 0 and deviation 1."""
    noise = cv2.GaussianBlur(random.standard_normal(shape[:2]).astype(np.float32), (0, 0), grain_px)
    result: Plane = (noise / max(float(noise.std()), 1e-6)).astype(np.float32)
    return result


def _blob(
    shape: tuple[int, ...], centre: tuple[float, float], radius_px: float, random: Random, longer: float = 1.0
) -> Plane:
    """Give an irregular patch, 0 to 1."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    reach = np.ones(24)
    for harmonic in range(1, 5):
        reach += 0.4 / harmonic * random.standard_normal() * np.cos(harmonic * angle + random.uniform(0, 2 * np.pi))
    reach = np.maximum(reach, 0.25) * radius_px
    turn = random.uniform(0, np.pi)
    along, across = reach * np.cos(angle) * longer, reach * np.sin(angle) / longer
    x = centre[0] + along * np.cos(turn) - across * np.sin(turn)
    y = centre[1] + along * np.sin(turn) + across * np.cos(turn)
    drawn = np.zeros(shape[:2], np.uint8)
    corners = np.round(np.stack([x, y], axis=1) * 8).astype(np.int32)
    cv2.fillPoly(drawn, [corners], 255, lineType=cv2.LINE_AA, shift=3)
    return (drawn / 255).astype(np.float32)


def _line(shape: tuple[int, ...], start: tuple[float, float], length_px: float, bend: float, random: Random) -> Plane:
    """Give a wandering line, 0 to 1, under one to over two pixels wide."""
    heading, step = random.uniform(0, 2 * np.pi), 4.0
    points = [np.array(start)]
    for _ in range(max(2, int(length_px / step))):
        heading += random.normal(0, bend)
        points.append(points[-1] + step * np.array([np.cos(heading), np.sin(heading)]))
    drawn = np.zeros(shape[:2], np.uint8)
    corners = np.round(np.array(points) * 8).astype(np.int32)
    cv2.polylines(drawn, [corners], False, 255, int(random.integers(1, 3)), cv2.LINE_AA, 3)
    soft = cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), random.uniform(0.4, 0.9))
    result: Plane = (soft / max(float(soft.max()), 1e-3)).astype(np.float32)
    return result


def _hole(image: Plane, random: Random) -> tuple[Plane, Plane]:
    share = _blob(image.shape, _spot(image.shape, random), _log_uniform(1.2, 6, random), random, random.uniform(1, 1.5))
    share = cv2.GaussianBlur(share, (0, 0), random.uniform(0.4, 1))
    result = image * (1 - random.uniform(0.25, 0.75) * share)
    if random.random() < 0.4:  # a raised edge catches the light
        wider = cv2.GaussianBlur(cv2.dilate(share, np.ones((3, 3), np.uint8)), (0, 0), 0.8)
        result = result + np.maximum(wider - share, 0) * random.uniform(0.1, 0.5) * _level(image)
    return result, share


def _crack(image: Plane, random: Random) -> tuple[Plane, Plane]:
    start = (_rim if random.random() < 0.4 else _spot)(image.shape, random)
    share = _line(image.shape, start, _log_uniform(15, 140, random), random.uniform(0.1, 0.6), random)
    depth = (0.6 + 0.5 * _texture(image.shape, 6, random)).clip(0.1, 1)
    return image * (1 - random.uniform(0.2, 0.6) * share * depth), share


def _scratch(image: Plane, random: Random) -> tuple[Plane, Plane]:
    share = _line(image.shape, _spot(image.shape, random), _log_uniform(20, 120, random), 0.03, random)
    sign = 1 if random.random() < 0.6 else -1
    return image + sign * random.uniform(0.12, 0.5) * _level(image) * share, share


def _chip(image: Plane, random: Random) -> tuple[Plane, Plane]:
    share = _blob(image.shape, _rim(image.shape, random), _log_uniform(4, 26, random), random, random.uniform(1, 2))
    share = cv2.GaussianBlur(share, (0, 0), 0.8)
    grain = random.uniform(0.05, 0.4) * _texture(image.shape, random.uniform(0.8, 3), random)
    filling = random.uniform(0.05, 1.5) * _level(image) * (1 + grain)
    part = random.uniform(0.5, 1) * share
    result = image * (1 - part) + filling * part
    if random.random() < 0.5:
        result = result * (1 - 0.6 * np.abs(cv2.Laplacian(share, cv2.CV_32F)).clip(0, 1))
    return result, share


def _fray(image: Plane, random: Random) -> tuple[Plane, Plane]:
    centre = (_rim if random.random() < 0.6 else _spot)(image.shape, random)
    share = _blob(image.shape, centre, _log_uniform(6, 30, random), random, random.uniform(1, 2.2))
    share = cv2.GaussianBlur(share, (0, 0), 2.0)
    rough = _texture(image.shape, random.uniform(0.7, 2.5), random).clip(-2.5, 2.5)
    result = image * (1 + random.uniform(0.1, 0.45) * share * rough)
    return result - random.uniform(-0.1, 0.3) * _level(image) * share, share


def _uneven(image: Plane, random: Random) -> tuple[Plane, Plane]:
    share = _band(image.shape, random) if random.random() < 0.6 else _patch(image.shape, random)
    result = image * (1 + random.uniform(0.07, 0.35) * (1 if random.random() < 0.6 else -1) * share)
    if random.random() < 0.5:
        result = result * (1 - share) + share * cv2.GaussianBlur(result, (0, 0), random.uniform(0.6, 2))
    return result, share


def _patch(shape: tuple[int, ...], random: Random) -> Plane:
    share = _blob(shape, _spot(shape, random), _log_uniform(12, 60, random), random, random.uniform(1, 2))
    soft: Plane = cv2.GaussianBlur(share, (0, 0), random.uniform(0.8, 4)).astype(np.float32)
    return soft


def _band(shape: tuple[int, ...], random: Random) -> Plane:
    """Give a band across the image with wavy edges."""
    upright = random.random() < 0.3
    rows, cols = (shape[1], shape[0]) if upright else (shape[0], shape[1])
    wave = _texture((1, cols), random.uniform(8, 40), random)[0] * random.uniform(0.5, 5)
    first = random.uniform(0.1, 0.9) * rows
    low, high = sorted((first, first + random.choice((-1, 1)) * random.uniform(0.08, 0.5) * rows))
    low, high = (-50 if low < 0.06 * rows else low), (rows + 50 if high > 0.94 * rows else high)
    place, soft = np.arange(rows)[:, None] - wave, _log_uniform(0.8, 5, random)
    rising, falling = (1 / (1 + np.exp(-((place - edge) / soft).clip(-30, 30))) for edge in (low, high))
    band = (rising - falling).astype(np.float32)
    return np.ascontiguousarray(band.T if upright else band)


def _displaced(image: Plane, random: Random) -> tuple[Plane, Plane]:
    """Put a piece of another place over the image."""
    share = _blob(image.shape, _spot(image.shape, random), _log_uniform(5, 25, random), random, random.uniform(1, 2.5))
    share = cv2.GaussianBlur(share, (0, 0), 0.8)
    moved = np.roll(image, (int(random.integers(image.shape[0])), int(random.integers(image.shape[1]))), (0, 1))
    if random.random() < 0.5:
        moved = cv2.resize(cv2.rotate(moved, cv2.ROTATE_90_CLOCKWISE), (image.shape[1], image.shape[0]))
    return image * (1 - share) + moved * random.uniform(0.7, 1.3) * share, share


def _stain(image: Plane, random: Random) -> Plane:
    share = _blob(image.shape, _spot(image.shape, random), _log_uniform(4, 40, random), random, random.uniform(1, 2))
    share = cv2.GaussianBlur(share, (0, 0), random.uniform(4, 14))
    result: Plane = image * (1 - random.uniform(-0.1, 0.16) * share / max(float(share.max()), 1e-3))
    return result


def _streak(image: Plane, random: Random) -> Plane:
    """Draw bright and dark lines along the grain of the surface."""
    along_rows = np.abs(np.diff(image, axis=0)).mean() < np.abs(np.diff(image, axis=1)).mean()
    length, count = image.shape if along_rows else image.shape[::-1]
    profile = np.zeros(count, np.float32)
    for _ in range(int(random.integers(1, 5))):
        away = (np.arange(count) - random.uniform(0, count)) / random.uniform(0.5, 2.5)
        profile += random.uniform(-0.25, 0.3) * np.exp(-0.5 * away**2)
    strength = (0.5 + 0.6 * _texture((length, 1), length / 5, random)).clip(0, 1)
    lines = strength * profile[None]
    result: Plane = image * (1 + (lines if along_rows else lines.T))
    return result


def _light(image: Plane, random: Random) -> Plane:
    coarse = random.standard_normal((3, 3)).astype(np.float32)
    size = (image.shape[1], image.shape[0])
    result: Plane = image * (1 + 0.12 * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    return result


def _specks(image: Plane, random: Random) -> Plane:
    for _ in range(int(random.integers(1, 6))):
        share = _blob(image.shape, _spot(image.shape, random), random.uniform(0.5, 0.9), random)
        image = image * (1 + random.uniform(-0.35, 0.5) * cv2.GaussianBlur(share, (0, 0), 0.5))
    return image


_DEFECTS: tuple[Paint, ...] = (_hole, _crack, _scratch, _chip, _fray, _uneven, _displaced)
_NUISANCES: tuple[Callable[[Plane, Random], Plane], ...] = (_stain, _streak, _light, _specks)
