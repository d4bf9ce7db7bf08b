"""Open the task that a bundle names: from its manifest, files and compiled networks to a reader of whole frames."""

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.imaging.tiling import tile_grid
from appliance.ports.runtime import Session
from appliance.ports.task import FrameReader, Interpreter, Window
from appliance.schema.bundle import Head, Manifest, ModelSpec, TaskName
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box
from appliance.tasks import anomaly, boxes, classification, ocr, semantic
from appliance.tasks.anomaly import AnomalyInterpreter
from appliance.tasks.classification import ClassificationInterpreter
from appliance.tasks.detection import DetectionInterpreter
from appliance.tasks.instance import InstanceInterpreter
from appliance.tasks.ocr import OcrReader
from appliance.tasks.reading import PrefixedInterpreter, TiledReader, WholeReader
from appliance.tasks.semantic import SemanticInterpreter
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer

STATISTICS = "statistics.npz"
Arrays = Callable[[str], dict[str, NDArray[np.generic]]]


class Parts(Struct, frozen=True):
    """Give what a bundle holds, read and proven."""

    manifest: Manifest
    files: Mapping[str, bytes]
    arrays: Arrays
    """Reads an npz file of the bundle by name."""
    sessions: Mapping[str, Session]
    """Compiled networks by name."""


def open_reader(parts: Parts, frame_shape: tuple[int, int], regions: tuple[Box, ...] = ()) -> FrameReader:
    """Make every stage for frames of (rows, cols); regions: where text is looked for, the whole view if none.

    RuntimeFault when the bundle lacks what its task needs, ValueError or ConfigError when frame and bundle do not fit.
    """
    manifest, how = parts.manifest, parts.manifest.preprocessing
    if manifest.task is TaskName.OCR:
        head = manifest.heads[0]
        settings = ocr.read_settings(parts.files[head.settings])
        threshold = max((item.threshold for item in head.classes), default=1.0)
        return OcrReader(parts.sessions, settings, threshold, frame_shape, how.pixel_format, regions, how.roi)
    network = manifest.models[0]
    session = parts.sessions[network.name]
    if how.tiling is not None:
        grid = tile_grid(how, frame_shape)
        places, size = np.array(grid.origins, np.int32), (how.rows, how.columns)
        gatherer = TileGatherer(frame_shape, how.pixel_format, places, grid.tile_px, size)
        windows = [Window(x, y, *grid.tile_px) for x, y in gatherer.places.tolist()]
        return TiledReader(gatherer, session, windows, [_heads(parts, network, window) for window in windows])
    preprocessor = Preprocessor(frame_shape, how.pixel_format, how.roi, (how.rows, how.columns))
    return WholeReader(preprocessor, session, _heads(parts, network, Window(*preprocessor.roi)))


def _heads(parts: Parts, network: ModelSpec, window: Window) -> list[Interpreter]:
    return [
        PrefixedInterpreter(head.prefix, own) if head.prefix else own
        for head in parts.manifest.heads
        for own in [_interpreter(parts, head, network, window)]
    ]


def _interpreter(parts: Parts, head: Head, network: ModelSpec, window: Window) -> Interpreter:
    settings = parts.files[head.settings]
    shapes = {item.name.removeprefix(head.prefix): item.shape for item in network.outputs}
    size = (network.input.shape[1], network.input.shape[2])
    match head.task:
        case TaskName.CLASSIFICATION:
            return ClassificationInterpreter(head, classification.read_settings(settings), window)
        case TaskName.SEMANTIC:
            maps = _shape(shapes, "classes" if "classes" in shapes else "probabilities", head)
            return SemanticInterpreter(head, semantic.read_settings(settings), window, (maps[-2], maps[-1]))
        case TaskName.ANOMALY:
            known = anomaly.read_statistics(parts.arrays(STATISTICS))
            return AnomalyInterpreter(head, anomaly.read_settings(settings), known, window)
        case TaskName.DETECTION:
            count = _shape(shapes, "boxes", head)[1]
            return DetectionInterpreter(head, boxes.read_settings(head.task, settings), window, size, count)
        case TaskName.INSTANCE:
            count, masks = _shape(shapes, "boxes", head)[1], _shape(shapes, "prototypes", head)
            planes = (masks[1], masks[2], masks[3])
            return InstanceInterpreter(head, boxes.read_settings(head.task, settings), window, size, count, planes)
        case TaskName.OCR:
            raise RuntimeFault("tasks: OCR has networks of its own and shares none; make it the bundle's only head")


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, head: Head) -> tuple[int, ...]:
    if name not in shapes:
        raise RuntimeFault(
            f"{head.task} task: the network gives {', '.join(sorted(shapes))} and no `{head.prefix}{name}`; build the "
            "bundle again"
        )
    return shapes[name]
