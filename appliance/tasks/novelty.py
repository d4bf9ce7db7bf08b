"""Say of each frame how unlike everything known it is, from the features that its network gives beside the answer."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.decision.novelty import Known, novelty
from appliance.ports.runtime import Session, Tensors
from appliance.ports.task import FrameReader, Reading


class FeatureSession:
    """Run as another session does, and keep what one output said of each input image."""

    def __init__(self, own: Session, output: str) -> None:
        """Take the session and the name of the output with features."""
        self._own, self._output = own, output
        self.runtime, self.precision = own.runtime, own.precision
        self.rows: list[NDArray[np.generic]] = []
        """Of every batch entry since the list was cleared; a last, shorter batch of tiles repeats older ones."""

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor of the session."""
        return self._own.input

    def run(self) -> Tensors:
        """Run on `input`; blocking. RuntimeFault when the runtime fails."""
        tensors = self._own.run()
        self.rows += list(tensors[self._output].copy())  # the session reuses its memory
        return tensors


class NovelReader:
    """Read as another reader does, and say how unlike everything known the frame is: its worst tile counts."""

    def __init__(self, reader: FrameReader, session: FeatureSession, known: Known) -> None:
        """Take the reader, the session that it runs, and what known parts look like."""
        self.reader = reader
        self._session, self._known = session, known

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read borrowed pixels; blocking; keeps no reference. RuntimeFault when the model fails."""
        self._session.rows.clear()
        reading = self.reader.read(pixels)
        return msgspec.structs.replace(reading, novelty=novelty(self._known, self._session.rows))
