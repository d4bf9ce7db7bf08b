"""Show the maps behind a bundle's answers in frame pixels: what a network gave is watched on its way to the task."""

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.imaging.tiling import tile_grid
from appliance.ports.runtime import Session, Tensors
from appliance.ports.task import Window
from appliance.schema.bundle import Head, Manifest, Preprocessing, TaskName
from appliance.schema.frame import PixelFormat
from appliance.services._inspector import LoadedBundle
from appliance.storage import bundle as bundles
from appliance.tasks import anomaly
from appliance.tasks.anomaly import AnomalyInterpreter
from appliance.tasks.opening import STATISTICS
from appliance.tasks.semantic import CLASSES, PROBABILITIES
from kernels.canvas import scaled

Map = NDArray[np.float32] | NDArray[np.uint8]
MOST_WINDOWS = 256
"""Windows whose interpreters are kept; data sets whose pictures all differ in size make them anew."""
WITH_MAPS = frozenset({TaskName.ANOMALY, TaskName.SEMANTIC})


class WatchedSession:
    """Run as another session does, and keep copies of some outputs of the last runs."""

    def __init__(self, own: Session, names: frozenset[str]) -> None:
        """Take the session and the outputs to keep."""
        self._own, self._names = own, names
        self.runtime, self.precision = own.runtime, own.precision
        self.runs: list[dict[str, NDArray[np.generic]]] = []

    @property
    def input(self) -> NDArray[np.uint8]:
        """Input tensor of the session watched."""
        return self._own.input

    def run(self) -> Tensors:
        """Run on `input`; blocking."""
        tensors = self._own.run()
        self.runs.append({name: tensors[name].copy() for name in self._names & set(tensors)})
        return tensors


class MapWatch:
    """Give the deciding head's map of the frame read last."""

    def __init__(self, loaded: LoadedBundle) -> None:
        """Take a bundle whose deciding head draws maps; read frames with `loaded`, which is the same, watched."""
        self._head: Head = loaded.manifest.heads[0]
        name = loaded.manifest.models[0].name
        outputs = {anomaly.OUTPUT, CLASSES, PROBABILITIES}
        self._session = WatchedSession(loaded.sessions[name], frozenset(self._head.prefix + one for one in outputs))
        self.loaded = LoadedBundle(loaded.bundle, {**loaded.sessions, name: self._session})
        self._interpreters: dict[tuple[Window, Window], AnomalyInterpreter] = {}

    def forget(self) -> None:
        """Drop what was seen; call before each frame."""
        self._session.runs.clear()

    def frame_map(self, frame_shape: tuple[int, int]) -> Map | None:
        """Give (rows, cols) in frame pixels: float32 deviations, or uint8 places in the head's classes.

        None when nothing was read since `forget`. What the bundle does not look at is minus infinity, or background.
        """
        if not self._session.runs:
            return None
        how = self.loaded.manifest.preprocessing
        seen, region = windows(how, frame_shape), looked_at(how, frame_shape)
        entries = [
            {name.removeprefix(self._head.prefix): tensor[index] for name, tensor in run.items()}
            for run in self._session.runs
            for index in range(self._session.input.shape[0])
        ]
        if self._head.task is TaskName.ANOMALY:
            shown = np.full(frame_shape, -np.inf, np.float32)
            for window, entry in zip(seen, entries, strict=False):  # a last batch carries old tiles along
                read = self._deviations(window, region, entry)
                own = enlarged(read.map, read.window, frame_shape, cv2.INTER_LINEAR)
                np.maximum(shown, own, out=shown, where=inside(window, region, frame_shape))
            return shown
        classes = np.zeros(frame_shape, np.uint8)
        for window, entry in zip(seen, entries, strict=False):
            own = enlarged(likeliest(entry), window, frame_shape, cv2.INTER_NEAREST)
            np.copyto(classes, own, where=inside(window, region, frame_shape) & (own > 0))
        return classes

    def _deviations(
        self, window: Window, region: Window, entry: Mapping[str, NDArray[np.generic]]
    ) -> AnomalyInterpreter:
        """Give the interpreter of a window after it has read an entry."""
        distances = entry[anomaly.OUTPUT]
        if (window, region) not in self._interpreters:
            bundle = self.loaded.bundle
            settings = anomaly.read_settings(bundle.files[self._head.settings])
            known = anomaly_map.read_statistics(bundles.arrays(bundle, STATISTICS))
            cells = (distances.shape[0], distances.shape[1])
            if len(self._interpreters) >= MOST_WINDOWS:
                self._interpreters.clear()
            made = AnomalyInterpreter(self._head, settings, known, window, region, cells)
            self._interpreters[window, region] = made
        self._interpreters[window, region].interpret({anomaly.OUTPUT: distances[None]})
        return self._interpreters[window, region]


def windows(how: Preprocessing, frame_shape: tuple[int, int]) -> Iterator[Window]:
    """Yield what each input image shows of a frame of (rows, cols), in frame pixels, in the order of reading."""
    if how.tiling is not None:
        grid = tile_grid(how, frame_shape)
        yield from (Window(x, y, *grid.tile_px) for x, y in grid.origins)
        return
    region = looked_at(how, frame_shape)
    if not how.keep_aspect:
        yield region
        return
    # The region, scaled to whole pixels, stands in the middle of the input image (kernels/canvas.py).
    rows, cols = scaled((round(region.width_px), round(region.height_px)), how.shrink)
    across, down = region.width_px / cols, region.height_px / rows
    left, top = (how.columns - cols) // 2, (how.rows - rows) // 2
    yield Window(region.x_px - left * across, region.y_px - top * down, how.columns * across, how.rows * down)


def looked_at(how: Preprocessing, frame_shape: tuple[int, int]) -> Window:
    """Give the region of a frame of (rows, cols) that a bundle looks at; whole colour filter quads where there are."""
    even = ~1 if how.pixel_format is PixelFormat.BAYER_RG8 else ~0
    return Window(*(how.roi or (0, 0, frame_shape[1] & even, frame_shape[0] & even)))


def inside(window: Window, region: Window, frame_shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the pixels of a frame that a window shows and the bundle looks at: beside the region lies its mirror."""
    result = np.zeros(frame_shape, np.bool_)
    top = max(window.y_px, region.y_px)
    bottom = min(window.y_px + window.height_px, region.y_px + region.height_px)
    left = max(window.x_px, region.x_px)
    right = min(window.x_px + window.width_px, region.x_px + region.width_px)
    result[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = True
    return result


def enlarged(values: Map, window: Window, frame_shape: tuple[int, int], how: int) -> Map:
    """Give a map as (rows, cols) of the frame; beyond the window its border goes on. how: OpenCV's interpolation."""
    across, down = values.shape[1] / window.width_px, values.shape[0] / window.height_px
    # Centre of frame pixel (x, y), in cells.
    place = np.array(
        [[across, 0, (0.5 - window.x_px) * across - 0.5], [0, down, (0.5 - window.y_px) * down - 0.5]], np.float64
    )
    size = (frame_shape[1], frame_shape[0])
    shown: Map = cv2.warpAffine(values, place, size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    return shown


def likeliest(entry: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
    """Give each cell's likeliest class, (rows, cols) uint8, of one entry of a semantic network's outputs."""
    chosen: NDArray[np.generic] = entry[PROBABILITIES].argmax(axis=0) if PROBABILITIES in entry else entry[CLASSES]
    return chosen.astype(np.uint8)


def has_maps(manifest: Manifest) -> bool:
    """Say whether the deciding head draws maps."""
    return manifest.task in WITH_MAPS
