"""Turn a detector's boxes and scores into the few that count, on the device."""

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, Driver, Pointer
from kernels.cuda.memory import DeviceMemory
from kernels.reference.boxes import Boxes

THREADS, SCORES_PER_BLOCK = 256, 1024
"""BOX_THREADS and SCORES_PER_BLOCK in boxes.cu."""
MOST_SCORES = 2**30
"""Places are 32-bit numbers in the sorting key; box coordinates are counted in them too."""


class CudaBoxDecoder:
    """Hold thresholds, scratch memory and results for one shape of detector output; `close` frees them.

    boxes, classes: size of the score matrix. thresholds: (classes,) float32, infinity leaves a class out. iou: a weaker
    box of the same class that overlaps by more is dropped; from 1 on none is. most: results kept, the strongest.
    Raises ValueError when these do not fit together.
    """

    def __init__(
        self,
        driver: Driver,
        module: object,
        boxes: int,
        classes: int,
        most: int,
        thresholds: NDArray[np.float32],
        iou: float,
        stream: int,
    ) -> None:
        if min(boxes, classes, most) < 1 or max(classes, 4) * boxes >= MOST_SCORES:
            raise ValueError(
                f"box decode: {boxes} boxes of {classes} classes, {most} results; each at least 1, and fewer than "
                f"{MOST_SCORES} scores"
            )
        if thresholds.shape != (classes,) or np.isnan(thresholds).any() or not iou >= 0:
            raise ValueError(
                f"box decode: thresholds {thresholds.tolist()} of {classes} classes and overlap {iou}; give one number "
                "for each class, and an overlap from 0"
            )
        blocks = -(-boxes * classes // SCORES_PER_BLOCK)
        memory = DeviceMemory(driver)
        limits = memory.holding(thresholds.astype(np.float32), stream)
        keys, counts = memory.empty(8 * blocks * SCORES_PER_BLOCK), memory.empty(4 * blocks)
        alive = memory.empty(8 * boxes * classes)
        self._results = memory.empty(4 * (1 + 3 * most))
        self.count: Pointer = self._results
        """int32 in device memory: results of the last run, -1 when an input is not finite."""
        self.index: Pointer = self.count + 4
        """(most,) int32 in device memory: numbers of the boxes, the first `count` are valid."""
        self.most = most
        self._host = driver.pinned((1 + 3 * most,), np.dtype(np.int32))
        self._driver, self._module, self._memory, self._blocks = driver, module, memory, blocks
        number = np.int32
        self._select: list[Argument] = [0, 0, limits, number(boxes), number(classes), keys, counts]
        self._suppress: list[Argument] = [
            0, 0, number(classes), keys, counts, number(blocks), alive, np.float64(iou), number(most), self.index,
            self.index + 4 * most, self.index + 8 * most, self.count,
        ]  # fmt: skip

    def run(self, boxes: Pointer, scores: Pointer, stream: int) -> None:
        """Put both launches and the copy of the results on a stream; returns at once.

        boxes: (boxes, 4) float32 x1 y1 x2 y2. scores: (boxes, classes) float32. Both in device memory.
        Raises DriverFault.
        """
        self._select[0] = self._suppress[0] = boxes
        self._select[1] = self._suppress[1] = scores
        block = (THREADS, 1, 1)
        self._driver.launch(self._module, "boxes_select", (self._blocks, 1, 1), block, self._select, stream)
        self._driver.launch(self._module, "boxes_suppress", (1, 1, 1), block, self._suppress, stream)
        self._driver.download(self._host, self._results, stream)

    def results(self) -> Boxes | None:
        """Give index, kind and score of the last run, which must have ended; None when an input was not finite.

        Views of the decoder's own memory, valid until the next run.
        """
        count, most = int(self._host[0]), self.most
        if count < 0:
            return None
        index, kind, score = (self._host[1 + i * most : 1 + i * most + count] for i in range(3))
        return index.view(np.int32), kind.view(np.int32), score.view(np.float32)

    def close(self) -> None:
        """Free thresholds, scratch memory and results."""
        self._memory.close()
