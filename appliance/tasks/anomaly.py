"""Turn the anomaly model's distance map into a score, a calibrated map and findings."""

import cv2
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import MapStatistics
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box, Finding

KIND = "anomaly"
OUTPUT = "map"
# The strongest regions are listed; a part with more is rejected all the same.
MOST_FINDINGS = 16
# A finding extends to half of its peak, as the width of a blurred spot is commonly measured.
EXTENT_SHARE = 0.5


class MapReading(Struct, frozen=True):
    """Read how a map becomes a score and findings from a bundle's `settings.json`; other keys are for people."""

    roi: tuple[int, int, int, int] | None
    top_share: float
    finding_level: float


class AnomalyResult(Struct, frozen=True):
    """State what one map says."""

    score: float
    """Image score; nan when the map is not finite, which no limit accepts."""
    findings: tuple[Finding, ...]
    """Strongest first."""
    peak_px: tuple[float, float]
    """(x, y) of the strongest cell's centre in frame pixels."""
    map: NDArray[np.float32]
    """(rows, cols) float32 standard deviations from good; owned by the task, valid until its next call."""


class AnomalyTask:
    """Interpret the maps of one bundle for frames of one shape; holds the calibrated map's memory."""

    def __init__(self, reading: MapReading, known: MapStatistics, frame_shape: tuple[int, int]) -> None:
        """Take the bundle's reading and statistics; frame_shape: (rows, cols) of the camera's frames in pixels."""
        self._reading, self._known = reading, known
        rows, cols = known.mean.shape
        x, y, width, height = reading.roi or (0, 0, frame_shape[1], frame_shape[0])
        self._origin = (x, y)
        self._cell = (width / cols, height / rows)
        self._map = np.zeros((rows, cols), np.float32)
        self._above = np.zeros((rows, cols), np.uint8)

    def interpret(self, tensors: dict[str, NDArray[np.float32]]) -> AnomalyResult:
        """Give the result for the model's outputs; keeps no reference to them. Raises RuntimeFault without a map."""
        distances = tensors.get(OUTPUT)
        if distances is None or distances.shape[1:] != self._map.shape:
            raise RuntimeFault(
                f"anomaly task: outputs {sorted(tensors)} hold no `{OUTPUT}` of {self._map.shape} cells; "
                "use a bundle of task anomaly"
            )
        anomaly_map.deviations(distances[0], self._known, out=self._map)
        if not np.isfinite(self._map).all():
            return AnomalyResult(float("nan"), (), (0.0, 0.0), self._map)
        row, col = divmod(int(self._map.argmax()), self._map.shape[1])
        return AnomalyResult(
            score=anomaly_map.image_score(self._map, self._reading.top_share),
            findings=self._findings(),
            peak_px=(self._origin[0] + (col + 0.5) * self._cell[0], self._origin[1] + (row + 0.5) * self._cell[1]),
            map=self._map,
        )

    def _findings(self) -> tuple[Finding, ...]:
        np.greater(self._map, self._reading.finding_level, out=self._above.view(np.bool_))
        if not self._above.any():
            return ()
        count, labels = cv2.connectedComponents(self._above, connectivity=8)
        found = [self._finding(labels == label) for label in range(1, count)]
        return tuple(sorted(found, key=lambda finding: -finding.score)[:MOST_FINDINGS])

    def _finding(self, region: NDArray[np.bool_]) -> Finding:
        peak = float(self._map[region].max())
        # The network sees wider than a cell, so a strong defect lifts its surroundings over the level too.
        rows, cols = np.nonzero(region & (self._map >= min(peak, EXTENT_SHARE * peak)))
        left, top = int(cols.min()), int(rows.min())
        width, height = int(cols.max()) - left + 1, int(rows.max()) - top + 1
        wide, high = self._cell
        return Finding(
            kind=KIND,
            score=peak,
            confidence=None,
            box=Box(self._origin[0] + left * wide, self._origin[1] + top * high, width * wide, height * high),
            area_px=len(rows) * wide * high,
        )


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
