"""Turn the anomaly model's distance map into a score, a calibrated map and findings."""

import math

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import astuple
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import BorderTables, MapStatistics, MapView
from appliance.ports.runtime import Tensors
from appliance.ports.task import Interpretation, Surface, Window
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
    """(rows, cols) float32 standard deviations from good, of the cells that show what is looked at; owned by the
    interpreter, valid until its next call."""
    window: Window
    """What `map` shows, in frame pixels; its outermost cells may reach beyond the region by half of themselves."""
    peak_px: tuple[float, float]
    """(x, y) of the strongest cell's centre in frame pixels, of the last call."""

    def __init__(
        self,
        head: Head,
        settings: MapReading,
        known: MapStatistics | BorderTables,
        window: Window,
        shown: Window | None = None,
        cells: tuple[int, int] | None = None,
    ) -> None:
        """Take the head, whose one class names the level of a finding, settings, statistics, and the images' window.

        shown: what is looked at; the rest of the window shows its mirror image, which never counts. None: all of it.
        cells: (rows, cols) of the network's map; None: those of the statistics. RuntimeFault when they do not fit.
        """
        self._kind, self._settings = head.classes[0], settings
        self._cells = cells or _cells_of(known)
        looked_at = shown or window
        self._view = anomaly_map.view_of(self._cells, astuple(window), astuple(looked_at))
        self._known = _laid_out(known, self._view, self._cells)
        self.window = _part(window, self._view, self._cells)
        self._limits = looked_at
        self._regions = Regions(self.window, self._view.shape, looked_at)
        self.map = np.zeros(self._view.shape, np.float32)
        self.peak_px = (looked_at.x_px, looked_at.y_px)
        self._above = np.zeros(self._view.shape, np.uint8)
        self._surface = Surface(self.map, self.window, *anomaly_map.shown_range(self._kind.threshold))

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give the score and one finding per connected region over the level; keeps no reference to the tensors.

        RuntimeFault when the map is missing or of another shape.
        """
        distances = tensors.get(OUTPUT)
        if distances is None or distances.shape[1:] != self._cells or index >= len(distances):
            raise RuntimeFault(
                f"anomaly task: outputs {sorted(tensors)} hold no `{OUTPUT}` of {self._cells} cells; "
                "use a bundle of task anomaly"
            )
        anomaly_map.deviations(self._view.cut(distances[index]), self._known, out=self.map)
        if not np.isfinite(self.map).all():
            return Interpretation(math.nan, ())
        row, col = divmod(int(self.map.argmax()), self.map.shape[1])
        self.peak_px = self._clipped(*self._regions.centre(row, col))
        score = anomaly_map.image_score(self.map, self._settings.top_share)
        return Interpretation(score, self._findings(), self._surface)

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

    def _clipped(self, x: float, y: float) -> tuple[float, float]:
        """Move a place into what is looked at."""
        limits = self._limits
        return (
            min(max(x, limits.x_px), limits.x_px + limits.width_px),
            min(max(y, limits.y_px), limits.y_px + limits.height_px),
        )


def read_settings(content: bytes) -> MapReading:
    """Give the reading in a bundle's `settings.json`; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=MapReading)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"anomaly task: settings.json is damaged: {cause}; install the bundle again") from cause


def _cells_of(known: MapStatistics | BorderTables) -> tuple[int, int]:
    if isinstance(known, BorderTables):
        raise RuntimeFault("anomaly task: statistics by border distance need the shape of the map; name its cells")
    return known.mean.shape[0], known.mean.shape[1]


def _laid_out(known: MapStatistics | BorderTables, view: MapView, cells: tuple[int, int]) -> MapStatistics:
    if isinstance(known, BorderTables):
        return anomaly_map.lay_out(known, view)
    if known.mean.shape != cells:
        raise RuntimeFault(
            f"anomaly task: statistics of {known.mean.shape} cells do not fit a map of {cells}; build the bundle again"
        )
    return MapStatistics(view.cut(known.mean), view.cut(known.deviation))


def _part(window: Window, view: MapView, cells: tuple[int, int]) -> Window:
    """Give what the cells of a view show."""
    across, down = window.width_px / cells[1], window.height_px / cells[0]
    x, y = window.x_px + view.cols[0] * across, window.y_px + view.rows[0] * down
    return Window(x, y, view.shape[1] * across, view.shape[0] * down)
