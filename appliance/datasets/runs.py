"""Turn masks into run lengths and outlines into masks, as COCO defines both.

A mask is read column by column; runs alternate between outside and inside, the first is outside. Definition: the mask
functions of the COCO API, whose answers tests compare with these.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FINENESS = 5
"""COCO rounds outlines to fifths of a pixel."""

Box = tuple[float, float, float, float]


def mask_of_runs(counts: Sequence[int] | str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the mask, (rows, cols) bool; ValueError when the runs do not fill it."""
    if not fills(counts, size):
        raise ValueError(f"run lengths do not fill a mask of {size[1]} x {size[0]} px")
    runs = np.array(read_counts(counts) if isinstance(counts, str) else counts, np.int64)
    flat = np.repeat(np.arange(runs.size) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(size[1], size[0]).T)


def fills(counts: Sequence[int] | str, size: tuple[int, int]) -> bool:
    """Say whether run lengths can be read and fill a mask of (rows, cols)."""
    try:
        lengths = read_counts(counts) if isinstance(counts, str) else counts
    except ValueError:
        return False
    return bool(lengths) and min(lengths) >= 0 and sum(lengths) == size[0] * size[1]


def runs_of_mask(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Give the run lengths of a (rows, cols) bool mask."""
    flat = mask.T.ravel()
    borders = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], borders, [flat.size]]))
    return tuple(int(length) for length in ([0, *lengths] if flat.size and flat[0] else lengths))


def box_of_runs(counts: Sequence[int] | str, size: tuple[int, int]) -> Box:
    """Give the box (x1, y1, x2, y2) around the mask, ends exclusive; ValueError when it is empty."""
    return box_of_mask(mask_of_runs(counts, size))


def box_of_mask(mask: NDArray[np.bool_]) -> Box:
    """Give the box (x1, y1, x2, y2) around a (rows, cols) bool mask, ends exclusive; ValueError when it is empty."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise ValueError("an empty mask has no box")
    return float(cols[0]), float(rows[0]), float(cols[-1] + 1), float(rows[-1] + 1)


def read_counts(text: str) -> list[int]:
    """Read compressed runs; ValueError for other text.

    A number is groups of five bits, lowest first, signed by its highest; from the fourth on it is relative to the last
    but one.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii", "replace"):
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError(f"run lengths hold {chr(letter)!r}, which COCO does not write")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths end within a number")
    return counts


def write_counts(counts: Sequence[int]) -> str:
    """Give run lengths in COCO's compressed form."""
    letters = bytearray()
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            last = value == (-1 if bits & 16 else 0)
            letters.append(48 + (bits if last else bits | 32))
            if last:
                break
    return letters.decode("ascii")


def mask_of_rings(rings: Sequence[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the mask inside any of these outlines, (rows, cols) bool, as COCO rasterises polygons."""
    mask = np.zeros(size, bool)
    for ring in rings:
        mask |= _mask_of_ring(np.asarray(ring, np.float64).reshape(-1, 2), size)
    return mask


def _mask_of_ring(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Walk the outline on a grid of fifths; each crossing of a column's centre turns the pixels below it over."""
    rows, cols = size
    fine = (FINENESS * points + 0.5).astype(np.int64)
    corners = np.concatenate([fine, fine[:1]])
    steps = np.concatenate([_steps(corners[i], corners[i + 1]) for i in range(len(fine))])
    before, after = steps[:-1], steps[1:]
    crossing = before[:, 0] != after[:, 0]
    before, after = before[crossing], after[crossing]
    x = (np.where(after[:, 0] < before[:, 0], after[:, 0], after[:, 0] - 1) + 0.5) / FINENESS - 0.5
    y = np.ceil(np.clip((np.minimum(before[:, 1], after[:, 1]) + 0.5) / FINENESS - 0.5, 0, rows)).astype(np.int64)
    seen = (np.floor(x) == x) & (x >= 0) & (x <= cols - 1)
    turns = np.bincount(x[seen].astype(np.int64) * rows + y[seen], minlength=rows * cols + 1)[: rows * cols]
    inside = (np.cumsum(turns) & 1).astype(bool)
    return np.ascontiguousarray(inside.reshape(cols, rows).T)


def _steps(begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the grid points of one edge, (steps, 2) x and y, the same ones whichever way it runs."""
    width, height = abs(int(end[0] - begin[0])), abs(int(end[1] - begin[1]))
    flat = width >= height
    backwards = (flat and begin[0] > end[0]) or (not flat and begin[1] > end[1])
    (x1, y1), (x2, y2) = (end, begin) if backwards else (begin, end)
    along = np.arange(max(width, height) + 1)
    if backwards:
        along = along[::-1]
    if width == height == 0:
        return np.array([[x1, y1]])
    if flat:
        return np.stack([along + x1, (y1 + (y2 - y1) / width * along + 0.5).astype(np.int64)], axis=1)
    return np.stack([(x1 + (x2 - x1) / height * along + 0.5).astype(np.int64), along + y1], axis=1)
