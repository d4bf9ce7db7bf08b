"""Turn class probabilities of an image into a score and at most one finding."""

import math

import msgspec
import numpy as np

from appliance.ports.runtime import Tensors
from appliance.ports.task import Interpretation, Window
from appliance.schema.bundle import Head
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box, Finding

OUTPUT = "probabilities"


class ClassificationReading(msgspec.Struct, frozen=True):
    """Read a bundle's settings, of which this task needs none; keys are for people."""


class ClassificationInterpreter:
    """Interpret the probabilities of one head for one window."""

    def __init__(self, head: Head, settings: ClassificationReading, window: Window) -> None:
        """Take the head, whose classes are in the order of the output, and the window that images show.

        RuntimeFault when no class is good or none a defect: the score would mean nothing.
        """
        self._classes = head.classes
        self._defects = np.array([one.defect for one in head.classes], np.bool_)
        if self._defects.all() or not self._defects.any():
            raise RuntimeFault(
                f"classification task: {int(self._defects.sum())} of {len(self._defects)} classes are defects; "
                "a bundle needs at least one good class and one defect"
            )
        self._box = Box(window.x_px, window.y_px, window.width_px, window.height_px)

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give the image score, 1 - p(good), and the likeliest defect as a finding where it reaches its threshold.

        Its place is the whole window, its area is not known. RuntimeFault when the output is missing or of another
        shape.
        """
        found = tensors.get(OUTPUT)
        if found is None or found.ndim != 2 or found.shape[1] != len(self._classes) or index >= len(found):
            raise RuntimeFault(
                f"classification task: outputs {sorted(tensors)} hold no `{OUTPUT}` of {len(self._classes)} classes; "
                "use a bundle of task classification"
            )
        values = found[index]
        if not np.isfinite(values).all():
            return Interpretation(math.nan, ())
        score = float(values[self._defects].sum())
        likeliest = int(np.where(self._defects, values, -np.inf).argmax())
        kind, share = self._classes[likeliest], float(values[likeliest])
        if share < kind.threshold:
            return Interpretation(score, ())
        return Interpretation(score, (Finding(kind.name, share, None, self._box),))


def read_settings(content: bytes) -> ClassificationReading:
    """Give the reading in a bundle's settings; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=ClassificationReading)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"classification task: settings are damaged: {cause}; install the bundle again") from cause
