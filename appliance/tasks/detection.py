"""Turn boxes and class scores into findings."""

from pathlib import Path

from appliance.ports.runtime import Tensors
from appliance.ports.task import Interpretation, Window
from appliance.schema.bundle import Head
from appliance.schema.finding import Finding
from appliance.tasks.boxes import BoxReader, BoxSettings
from kernels.build import LIBRARY


class DetectionInterpreter:
    """Interpret the boxes of one head for one window; scratch memory is made once."""

    def __init__(
        self,
        head: Head,
        settings: BoxSettings,
        window: Window,
        input_size: tuple[int, int],
        boxes: int,
        library: Path = LIBRARY,
        shown: Window | None = None,
    ) -> None:
        """Take the head, whose classes are in the order of the scores, and the window that an input image shows.

        input_size: (rows, cols) of the input image. boxes: how many the model gives. shown: the part of the window that
        is really seen, where the rest shows its mirror image; None: all of it.
        """
        self._reader = BoxReader(head, settings, window, input_size, boxes, library, shown)

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give score and findings of batch entry `index`; the area of a finding is that of its box.

        RuntimeFault when an output is missing or of another shape.
        """
        read = self._reader.read(tensors, index)
        return Interpretation(
            read.score,
            tuple(
                Finding(one.kind, one.score, None, one.box, area_px=one.box.width_px * one.box.height_px)
                for one in read.found
            ),
        )
