"""Find pictures that show the same thing in almost the same way: copies, other encodings, frames taken twice.

Each picture is seen as 32 x 32 grey values less the mean of the set, so that what a fixture makes alike in all pictures
does not count. Its hash is the signs of the 255 lowest frequencies. Two pictures are near duplicates when their hashes
differ in few bits and the grey values themselves correlate.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.datasets.header import Header
from appliance.datasets.pictures import as_frame, read_picture
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

SIDE = 32
FREQUENCIES = 16
MOST_BITS = 32
"""Of 255. Magnetic tiles, printed boards and rendered parts, 2026-11-21: copies as JPEG 60, at half size or with noise
of 5 grey values differ by 29 at most, other boards by 92 at least, other rendered parts in one fixture by 31."""
LEAST_CORRELATION = 0.96
"""The same copies correlate by 0.984 at least, other rendered parts by 0.923 at most."""
FEWEST_COMPARED = 6
"""Pictures under which nothing tells what a fixture makes alike; only equal files are found then."""
SMALL_SET = 64
"""Pictures under which one of them moves the mean, so that each pair is compared with the mean of the others."""
BLANK_LEVELS = 0.5
"""Grey levels of standard deviation under which a picture shows nothing."""
SIMILAR_ASPECT = 1.05
ROWS_AT_ONCE = 512
MOST_OF_ONE = 8
"""Later near duplicates that are named of each picture: enough to chain a film together."""
MOST_COMPARED = 50_000
"""Pictures; comparing each with each takes about 20 s on two cores."""
MOST_PIXELS = 10_000_000_000
"""Decoded for the comparison; about a minute on two cores."""
THREADS = 2

Pair = tuple[int, int]


class Likeness(NamedTuple):
    """Say what the comparison found; places are those of the pictures given."""

    same_bytes: list[tuple[int, ...]]
    """Pictures whose files are equal, byte by byte."""
    near: list[Pair]
    """Pairs that show nearly the same, equal files left out."""
    blank: list[int]
    """Pictures of one grey value."""
    unreadable: dict[int, str]
    """Pictures that cannot be decoded, and why."""
    compared: int
    """Pictures that were decoded; fewer than given where that would take minutes."""


def compare(pictures: Sequence[Path], headers: Sequence[Header]) -> Likeness:
    """Compare each picture with each other."""
    same = equal_files(pictures)
    chosen = _chosen(pictures, headers, {place for places in same for place in places[1:]})
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda place: _thumbnail(pictures[place], headers[place]), chosen))
    unreadable = {place: said for place, said in zip(chosen, made, strict=True) if isinstance(said, str)}
    seen = [(place, image) for place, image in zip(chosen, made, strict=True) if not isinstance(image, str)]
    blank = [place for place, image in seen if image.std() < BLANK_LEVELS]
    shown = [(place, image) for place, image in seen if image.std() >= BLANK_LEVELS]
    near: list[Pair] = []
    if len(shown) > 1:
        places = [place for place, _ in shown]
        aspects = [headers[place].cols / headers[place].rows for place in places]
        for one, other in _alike(np.stack([image for _, image in shown])):
            if max(aspects[one] / aspects[other], aspects[other] / aspects[one]) < SIMILAR_ASPECT:
                near.append((places[one], places[other]))
    for copies in same:  # only the first of equal files was decoded
        if copies[0] in unreadable:
            unreadable |= dict.fromkeys(copies, unreadable[copies[0]])
        if copies[0] in blank:
            blank += copies[1:]
    return Likeness(same, near, sorted(blank), unreadable, len(chosen))


def equal_files(paths: Sequence[Path]) -> list[tuple[int, ...]]:
    """Give the places of files that are equal byte by byte, in groups of two and more."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        by_size[path.stat().st_size].append(place)
    by_digest: dict[bytes, list[int]] = defaultdict(list)
    for places in by_size.values():
        if len(places) > 1:
            for place in places:
                with paths[place].open("rb") as file:
                    by_digest[hashlib.file_digest(file, "sha256").digest()].append(place)
    return sorted(tuple(places) for places in by_digest.values() if len(places) > 1)


def _chosen(pictures: Sequence[Path], headers: Sequence[Header], without: set[int]) -> list[int]:
    """Give the places to compare: all, or evenly spaced ones where all would take too long."""
    places = [place for place in range(len(pictures)) if place not in without]
    pixels = sum(headers[place].rows * headers[place].cols for place in places)
    step = max(1, math.ceil(pixels / MOST_PIXELS), math.ceil(len(places) / MOST_COMPARED))
    return places[::step]


def _thumbnail(path: Path, header: Header) -> NDArray[np.uint8] | str:
    """Give SIDE x SIDE grey values, or why there are none; JPEG files are decoded at a fraction of their size."""
    try:
        small = _fraction(path, header) if header.lossy else None
        if small is None:
            small = as_frame(read_picture(path), PixelFormat.MONO8)
    except ConfigError as cause:
        return str(cause)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _fraction(path: Path, header: Header) -> NDArray[np.uint8] | None:
    factor = min(header.rows, header.cols) // (4 * SIDE)
    flag = next(
        (
            flag
            for least, flag in (
                (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
                (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
                (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
            )
            if factor >= least
        ),
        cv2.IMREAD_GRAYSCALE,
    )
    try:
        image: NDArray[np.uint8] | None = cv2.imdecode(np.fromfile(path, np.uint8), flag)
    except cv2.error:
        return None
    return image


def _alike(images: NDArray[np.uint8]) -> Iterator[Pair]:
    """Yield the pairs that are near duplicates. images: (pictures, SIDE, SIDE) uint8."""
    if len(images) < FEWEST_COMPARED:
        return
    if len(images) < SMALL_SET:
        yield from _alike_in_small_set(images.astype(np.float32))
        return
    count, mean = len(images), images.mean(axis=0, dtype=np.float32)
    signs = np.stack([_signs(image - mean) for image in images])
    for begin in range(0, count, ROWS_AT_ONCE):
        rows = signs[begin : begin + ROWS_AT_ONCE]
        # With signs of +-1 a product is the bits that agree less those that differ.
        agree = rows.astype(np.float32) @ signs[begin:].T.astype(np.float32)
        hits = agree >= signs.shape[1] - 2 * MOST_BITS
        for row in np.flatnonzero(hits.sum(axis=1) > 1):
            one = begin + int(row)
            others = begin + row + 1 + np.flatnonzero(hits[row, row + 1 :])
            alike = (int(other) for other in others if _correlate(images[one] - mean, images[other] - mean))
            yield from ((one, other) for other in islice(alike, MOST_OF_ONE))


def _alike_in_small_set(images: NDArray[np.float32]) -> Iterator[Pair]:
    total = images.sum(axis=0)
    for one, other in combinations(range(len(images)), 2):
        mean = (total - images[one] - images[other]) / (len(images) - 2)
        a, b = images[one] - mean, images[other] - mean
        if _correlate(a, b) and int((_signs(a) != _signs(b)).sum()) <= MOST_BITS:
            yield one, other


def _signs(values: NDArray[np.float32]) -> NDArray[np.int8]:
    """Give the signs of the lowest frequencies but the mean, (FREQUENCIES**2 - 1,) of -1 and 1."""
    spectrum = cv2.dct(np.ascontiguousarray(values, np.float32))[:FREQUENCIES, :FREQUENCIES]
    return np.where(spectrum.ravel()[1:] > 0, 1, -1).astype(np.int8)


def _correlate(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    a, b = one - one.mean(), other - other.mean()
    return float((a * b).sum()) >= LEAST_CORRELATION * math.sqrt(float((a * a).sum()) * float((b * b).sum())) > 0
