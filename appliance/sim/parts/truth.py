"""State what is true of each part before anybody looks at it."""

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError

DEFECTS: Final = ("scratch", "dent", "chip", "stain", "missing_hole", "crack")
"""The taxonomy of rendered defects, in a fixed order: the order is part of what a seed means."""

GOOD: Final = "good"
"""The word for a part without a defect, as in the folder names of a data set."""

DEFECT_RATE: Final = 0.15
"""Far above a real line, so that a run of some minutes shows every kind."""

LINE_PARTS: Final = 0
"""Purpose of a seed: parts on the line."""

DAY_ONE_PARTS: Final = 1
"""Purpose of a seed: good parts shown before the line starts; never the same parts as on the line."""


class PartTruth(Struct, frozen=True):
    """Fix one part: two equal truths are the same part, pixel for pixel."""

    number: int
    """1, 2, 3 ... in the order of the belt."""
    defect: str | None
    """Kind of the one defect; None for a good part."""
    seed: int = 0
    """Start of this part's own random generator."""
    source: str | None = None
    """The photograph's path inside its folder; None for a rendered part."""


class RenderedPart(NamedTuple):
    """Give what one camera sees of one part, with the truth about it."""

    image: NDArray[np.uint8]
    """(rows, cols, 3) uint8, RGB."""
    mask: NDArray[np.bool_]
    """(rows, cols) bool, True on the defect; all False for a good part."""
    truth: PartTruth


def truth_sequence(seed: int, defect_rate: float = DEFECT_RATE) -> Iterator[PartTruth]:
    """Yield parts 1, 2, 3 ... without end, the same ones for the same seed.

    Every run of `6 / defect_rate` parts (40 at 0.15) holds each defect kind once, at random places: short runs show all
    kinds and the rate is exact. Raises ConfigError for a rate outside [0, 1].
    """
    if not 0.0 <= defect_rate <= 1.0:
        raise ConfigError(f"defect rate {defect_rate} is outside 0..1; give a share such as 0.15")
    kinds = _defects_in_turn(np.random.default_rng((seed, len(DEFECTS))), defect_rate)
    return (PartTruth(n, kind, part_seed(seed, n)) for n, kind in zip(itertools.count(1), kinds, strict=False))


def part_seed(seed: int, number: int, purpose: int = LINE_PARTS) -> int:
    """Derive the seed of one part from the seed of the run; purposes never share parts."""
    return int(np.random.SeedSequence((seed, purpose, number)).generate_state(1, np.uint32)[0])


def _defects_in_turn(rng: np.random.Generator, defect_rate: float) -> Iterator[str | None]:
    if defect_rate == 0.0:
        yield from itertools.repeat(None)
    placed, owed = 0, 0.0
    while True:
        # The fraction of a part that a block cannot hold is carried on, so that the rate does not drift.
        owed += len(DEFECTS) / defect_rate
        length = int(owed) - placed
        placed += length
        places = dict(zip(rng.permutation(length)[: len(DEFECTS)].tolist(), rng.permutation(DEFECTS), strict=True))
        yield from (str(places[i]) if i in places else None for i in range(length))
