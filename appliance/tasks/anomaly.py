"""Turn the anomaly model's distance map into a score, a calibrated map and findings."""

import math

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import MapStatistics
from appliance.ports.runtime import Tensors
from appliance.ports.task import Interpretation, Window
from appliance.schema.bundle import Head
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Finding
from appliance.tasks.regions import MOST_REGIONS, Regions, split

OUTPUT = "map"
# A finding extends to half of its peak, as the width of a blurred spot is commonly measured.
EXTENT_SHARE = 0.5


class MapReading(Struct, frozen=True):
    """Read how a map becomes a score from a bundle's settings; other keys are for people."""

    top_share: float


class AnomalyInterpreter:
    """Interpret the maps of one head for one window; holds the calibrated map's memory."""

    map: NDArray[np.float32]
    """(rows, cols) float32 standard deviations from good; owned by the interpreter, valid until its next call."""
    peak_px: tuple[float, float]
    """(x, y) of the strongest cell's centre in frame pixels, of the last call."""

    def __init__(self, head: Head, settings: MapReading, known: MapStatistics, window: Window) -> None:
        """Take the head, whose one class names the level of a finding, settings, statistics, and the images' window."""
        self._kind, self._settings, self._known = head.classes[0], settings, known
        self._regions = Regions(window, (known.mean.shape[0], known.mean.shape[1]))
        self.map = np.zeros(known.mean.shape, np.float32)
        self.peak_px = (window.x_px, window.y_px)
        self._above = np.zeros(known.mean.shape, np.uint8)

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give the score and one finding per connected region over the level; keeps no reference to the tensors.

        RuntimeFault when the map is missing or of another shape.
        """
        distances = tensors.get(OUTPUT)
        if distances is None or distances.shape[1:] != self.map.shape or index >= len(distances):
            raise RuntimeFault(
                f"anomaly task: outputs {sorted(tensors)} hold no `{OUTPUT}` of {self.map.shape} cells; "
                "use a bundle of task anomaly"
            )
        anomaly_map.deviations(distances[index], self._known, out=self.map)
        if not np.isfinite(self.map).all():
            return Interpretation(math.nan, ())
        row, col = divmod(int(self.map.argmax()), self.map.shape[1])
        self.peak_px = self._regions.centre(row, col)
        return Interpretation(anomaly_map.image_score(self.map, self._settings.top_share), self._findings())

    def _findings(self) -> tuple[Finding, ...]:
        np.greater(self.map, self._kind.threshold, out=self._above.view(np.bool_))
        # The network sees wider than a cell, so a strong defect lifts its surroundings over the level too.
        pieces = [
            piece
            for spot in self._regions.find(self._above, self.map)
            for piece in split(spot, self.map, min(spot.strength, EXTENT_SHARE * spot.strength))
        ]
        pieces.sort(key=lambda piece: -piece.strength)
        found = []
        for piece in pieces[:MOST_REGIONS]:
            region = self._regions.place(piece)
            found.append(
                Finding(
                    self._kind.name,
                    piece.strength,
                    None,
                    region.box,
                    area_px=region.area_px,
                    polygon=region.polygon,
                )
            )
        return tuple(found)


def read_settings(content: bytes) -> MapReading:
    """Give the reading in a bundle's `settings.json`; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=MapReading)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"anomaly task: settings.json is damaged: {cause}; install the bundle again") from cause


def read_statistics(arrays: dict[str, NDArray[np.generic]]) -> MapStatistics:
    """Give the statistics in a bundle's `statistics.npz`; RuntimeFault when arrays are missing or of another shape."""
    mean, deviation = arrays.get("mean"), arrays.get("deviation")
    if mean is None or deviation is None or mean.ndim != 2 or mean.shape != deviation.shape:
        raise RuntimeFault(
            "anomaly task: statistics.npz lacks `mean` and `deviation` maps of one shape; install it again"
        )
    return MapStatistics(mean.astype(np.float32), deviation.astype(np.float32))
