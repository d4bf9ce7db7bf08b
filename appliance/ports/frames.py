"""Say how a reader gets at pixels."""

from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.schema.frame import FrameReady


class Frames(Protocol):
    """Lend frames of the rings to one reader."""

    def attach(self, camera: str) -> None:
        """Make this reader known to a camera's ring before its first frame; StoreError when there is none yet."""

    def borrow(self, frame: FrameReady) -> AbstractContextManager[NDArray[np.uint8]]:
        """Lend the pixels: (rows, columns) uint8 for Mono8 and BayerRG8, (rows, columns, 3) for RGB8; read-only.

        The array aliases the ring: valid inside the `with` only. FrameOverwritten on entry when the slot was
        reclaimed before, on exit when it was reclaimed meanwhile; then nothing derived from it may be used.
        """

    def release(self, frame: FrameReady) -> None:
        """Give a frame back that will not be borrowed."""

    def refresh(self, now_ns: int) -> None:
        """Show the writer that this reader lives."""

    def close(self) -> None:
        """Give all rings back; no frame may be lent."""
