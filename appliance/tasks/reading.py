"""Read frames with one network: as a whole, or in overlapping tiles; every head interprets the same tensors."""

import math
import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Session, Tensors
from appliance.ports.task import Interpretation, Interpreter, Reading, Surface, Window
from appliance.schema.errors import RuntimeFault
from appliance.tasks.seams import Seen, merge
from kernels.canvas import CanvasPreprocessor
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer

MS = 1e6


class PrefixedInterpreter(Struct, frozen=True):
    """Show an interpreter only the outputs of its own head, under the names that its task knows."""

    prefix: str
    own: Interpreter

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give what the head's interpreter says."""
        cut = len(self.prefix)
        return self.own.interpret({name[cut:]: t for name, t in tensors.items() if name.startswith(self.prefix)}, index)


class WholeReader:
    """Read a frame, or its region of interest, as one input image."""

    heads: tuple[Interpreter, ...]
    """The deciding one first; after a read they hold what it saw: `map`, `window` and `peak_px` of an anomaly head."""

    def __init__(
        self, preprocessor: Preprocessor | CanvasPreprocessor, session: Session, heads: Sequence[Interpreter]
    ) -> None:
        """Take the stages; heads: the first decides, all must be made for the preprocessor's region."""
        self._preprocessor, self._session, self.heads = preprocessor, session, tuple(heads)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read borrowed pixels; blocking; keeps no reference. RuntimeFault when the model fails."""
        started = time.monotonic_ns()
        try:
            self._preprocessor.run(pixels, self._session.input[0])
        except ValueError as cause:
            raise RuntimeFault(f"preprocessing: {cause}") from cause
        prepared = time.monotonic_ns()
        tensors = self._session.run()
        inferred = time.monotonic_ns()
        said = [head.interpret(tensors) for head in self.heads]
        findings = tuple(finding for one in said for finding in one.findings)
        others = tuple(one.score for one in said[1:])
        spent = (prepared - started) / MS, (inferred - prepared) / MS
        return Reading(_score(said), findings, *spent, others, surfaces=_surfaces([said]))


class TiledReader:
    """Read a frame in tiles, as many at once as the batch holds; a last, shorter batch carries old tiles along."""

    heads: tuple[tuple[Interpreter, ...], ...]
    """Of each tile, in the order of reading, as those of `WholeReader`."""

    def __init__(
        self,
        gatherer: TileGatherer,
        session: Session,
        windows: Sequence[Window],
        heads: Sequence[Sequence[Interpreter]],
    ) -> None:
        """Take the stages; windows: the tiles; heads: for each tile its interpreters, the deciding one first."""
        self._gatherer, self._session = gatherer, session
        self._windows, self.heads = tuple(windows), tuple(tuple(one) for one in heads)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read borrowed pixels; blocking; keeps no reference. RuntimeFault when the model fails."""
        batch = self._session.input.shape[0]
        preparing = inferring = 0
        said: list[tuple[Interpretation, ...]] = []
        seen: list[Seen] = []
        for first in range(0, len(self._windows), batch):
            count = min(batch, len(self._windows) - first)
            started = time.monotonic_ns()
            self._gather(pixels, first, count)
            prepared = time.monotonic_ns()
            tensors = self._session.run()
            inferring += time.monotonic_ns() - prepared
            preparing += prepared - started
            for index in range(count):
                tile = first + index
                one = tuple(head.interpret(tensors, index) for head in self.heads[tile])
                said.append(one)
                seen += [Seen(finding, tile) for part in one for finding in part.findings]
        deciding, *others = [_highest(head) for head in zip(*said, strict=True)]
        score = math.nan if any(math.isnan(one) for one in others) else deciding
        found, spent = merge(seen, self._windows), (preparing / MS, inferring / MS)
        return Reading(score, found, *spent, tuple(others), surfaces=_surfaces(said))

    def _gather(self, pixels: NDArray[np.uint8], first: int, count: int) -> None:
        try:
            self._gatherer.run(pixels, self._session.input, first, count)
        except ValueError as cause:
            raise RuntimeFault(f"preprocessing: {cause}") from cause


def _surfaces(said: Sequence[Sequence[Interpretation]]) -> tuple[Surface, ...]:
    """Give the maps of the first head that has one; said: of each window, by each head."""
    for head in zip(*said, strict=True):
        found = tuple(one.surface for one in head if one.surface is not None)
        if found:
            return found
    return ()


def _score(said: Sequence[Interpretation]) -> float:
    """Give the deciding head's score; nan when any head's numbers are no numbers, since they share one backbone."""
    return math.nan if any(math.isnan(one.score) for one in said) else said[0].score


def _highest(said: Sequence[Interpretation]) -> float:
    return math.nan if any(math.isnan(one.score) for one in said) else max(one.score for one in said)
