"""Give findings the confidence that their bundle's curves say."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.learning.confidence import confidence_of
from appliance.ports.task import FrameReader, Reading
from appliance.schema.bundle import ConfidenceCurve
from appliance.schema.finding import Finding


class ConfidentReader:
    """Read as another reader does, and say how sure each finding is; a class without a curve has no confidence."""

    def __init__(self, reader: FrameReader, curves: Sequence[ConfidenceCurve]) -> None:
        """Take the reader and the manifest's curves; that of the image score is for people."""
        self.reader = reader
        self._curves = {curve.kind: curve for curve in curves if curve.kind}

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read borrowed pixels; blocking; keeps no reference. RuntimeFault when the model fails."""
        reading = self.reader.read(pixels)
        if not reading.findings:
            return reading
        return msgspec.structs.replace(reading, findings=tuple(map(self._confident, reading.findings)))

    def _confident(self, finding: Finding) -> Finding:
        curve = self._curves.get(finding.kind)
        if curve is None:
            return finding
        return msgspec.structs.replace(finding, confidence=confidence_of(curve, finding.score))
