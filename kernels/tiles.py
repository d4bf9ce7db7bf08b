"""Cut overlapping tiles out of a raw frame into one batch, by the fused C kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.plan import RegionReader, reads_quads
from kernels.reference import tile_places


class TileGatherer:
    """Hold the weights and scratch memory for tiles of one size; not for use by two threads at once.

    shape: (rows, cols) of the frames. origins: (tiles, 2) whole numbers, x and y of each tile in frame pixels. tile_px:
    (width, height) of a tile in frame pixels; both even for BayerRG8 when both axes shrink at least twofold. size:
    (rows, cols) of a tile in the batch; equal to tile_px is native resolution, debayered. Definition: gather_tiles in
    reference/image.py; error bound 1 grey level, none at native resolution. Raises ValueError when these do not fit
    together, FileNotFoundError when the kernels are not built.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_format: str,
        origins: NDArray[np.integer],
        tile_px: tuple[int, int],
        size: tuple[int, int],
        library: Path = LIBRARY,
    ) -> None:
        self._reader = RegionReader(shape, pixel_format, tile_px, size, None, library)
        if reads_quads(pixel_format, tile_px, size) and any(value % 2 for value in tile_px):
            raise ValueError(f"tile of {tile_px[0]} x {tile_px[1]} px cuts Bayer quads; width and height must be even")
        if origins.ndim != 2 or origins.shape[1] != 2 or origins.dtype.kind not in "iu" or not len(origins):
            raise ValueError(
                f"tile origins are {origins.shape} {origins.dtype}, need (tiles, 2) whole numbers, x and y"
            )
        self.size = size
        self.places = np.ascontiguousarray(tile_places(shape, pixel_format, origins, tile_px, size))
        """(tiles, 2) int32: where the tiles really begin, x and y. A tile that leaves the frame is shifted inside, and
        Bayer quads begin at even places."""

    def run(self, frame: NDArray[np.uint8], out: NDArray[np.uint8], first: int = 0, count: int | None = None) -> int:
        """Write tiles `first` to `first + count` into the first places of `out`, and give their number.

        frame: borrowed for the call, never written; as for Preprocessor.run. out: (at least count, rows, cols, 3) uint8
        in C order. count: None for as many as are left and fit. Releases the GIL. Raises ValueError on any other layout
        and for tiles that do not exist.
        """
        if out.ndim != 4 or out.shape[1:] != (*self.size, 3) or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(
                f"output is {out.shape} {out.dtype}, needs (tiles, {self.size[0]}, {self.size[1]}, 3) uint8 in C order"
            )
        if not out.flags.writeable:
            raise ValueError(f"output {out.shape} is read-only; give a buffer that may be written")
        if count is None:
            count = min(len(out), len(self.places) - first)
        if not 0 <= first <= first + count <= len(self.places) or count > len(out):
            raise ValueError(
                f"tiles {first} to {first + count} of {len(self.places)} into a batch of {len(out)}; choose fewer"
            )
        self._reader.read(frame, self.places[first : first + count], out)
        return count
