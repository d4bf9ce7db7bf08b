"""Open the task that a bundle names: from its manifest, files and compiled networks to a reader of whole frames."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.imaging.template import read_template
from appliance.imaging.tiling import tile_grid
from appliance.ports.runtime import Session
from appliance.ports.task import FrameReader, Interpreter, Window
from appliance.schema.bundle import Head, Manifest, ModelSpec, Preprocessing, TaskName, Template
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box
from appliance.schema.frame import PixelFormat
from appliance.tasks import anomaly, boxes, classification, ocr, semantic, template_blobs
from appliance.tasks.anomaly import AnomalyInterpreter
from appliance.tasks.classification import ClassificationInterpreter
from appliance.tasks.detection import DetectionInterpreter
from appliance.tasks.instance import InstanceInterpreter
from appliance.tasks.ocr import OcrReader
from appliance.tasks.reading import PrefixedInterpreter, TiledReader, WholeReader
from appliance.tasks.semantic import SemanticInterpreter
from appliance.tasks.template_blobs import BLOBS, BlobReader
from appliance.tasks.templates import TemplateReader, check_format
from kernels.canvas import CanvasPreprocessor
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


def open_reader(
    parts: Parts,
    frame_shape: tuple[int, int],
    regions: tuple[Box, ...] = (),
    patterns: Mapping[Box | None, Sequence[str]] | None = None,
) -> FrameReader:
    """Make every stage for frames of (rows, cols); regions: where text is looked for, the whole view if none.

    patterns: what rules ask of the text in each region, None standing for the whole view.
    RuntimeFault when the bundle lacks what its task needs, ValueError or ConfigError when frame and bundle do not fit.
    """
    manifest, how = parts.manifest, parts.manifest.preprocessing
    if manifest.task is TaskName.OCR:
        head = manifest.heads[0]
        settings = ocr.read_settings(parts.files[head.settings])
        threshold = max((item.threshold for item in head.classes), default=1.0)
        view = (frame_shape, how.pixel_format, regions, how.roi)
        return OcrReader(parts.sessions, settings, threshold, *view, patterns)
    if how.template is not None:
        return _beside_template(parts, how.template, frame_shape)
    network = manifest.models[0]
    session = parts.sessions[network.name]
    if how.tiling is not None:
        grid = tile_grid(how, frame_shape)
        places, size = np.array(grid.origins, np.int32), (how.rows, how.columns)
        gatherer = TileGatherer(frame_shape, how.pixel_format, places, grid.tile_px, size)
        windows = [Window(x, y, *grid.tile_px) for x, y in gatherer.places.tolist()]
        shown = Window(*(how.roi or (0, 0, frame_shape[1], frame_shape[0])))
        return TiledReader(gatherer, session, windows, [_heads(parts, network, window, shown) for window in windows])
    if how.keep_aspect:
        canvas = _canvas(how, frame_shape)
        heads = _heads(parts, network, Window(*canvas.window), Window(*canvas.roi))
        return WholeReader(canvas, session, heads)
    preprocessor = Preprocessor(frame_shape, how.pixel_format, how.roi, (how.rows, how.columns))
    window = Window(*preprocessor.roi)
    return WholeReader(preprocessor, session, _heads(parts, network, window, window))


def _beside_template(parts: Parts, how: Template, frame_shape: tuple[int, int]) -> TemplateReader:
    """Make the stages for composed pictures, and what composes them."""
    check_format(parts.manifest.preprocessing.pixel_format)
    head, template = parts.manifest.heads[0], read_template(parts.arrays(how.file), how.file)
    if head.settings == BLOBS:
        session = parts.sessions[parts.manifest.models[0].name]
        blobs = BlobReader(session, head, template_blobs.read_settings(parts.files[BLOBS]), frame_shape)
        return TemplateReader(blobs, template, how, frame_shape)
    plain = replace(parts.manifest.preprocessing, pixel_format=PixelFormat.RGB8, template=None)
    own = open_reader(replace(parts, manifest=replace(parts.manifest, preprocessing=plain)), frame_shape)
    return TemplateReader(own, template, how, frame_shape)


def _canvas(how: Preprocessing, frame_shape: tuple[int, int]) -> CanvasPreprocessor:
    """Make what places frames of (rows, cols) in the input image; RuntimeFault when they are too large for it."""
    try:
        return CanvasPreprocessor(frame_shape, how.pixel_format, how.roi, (how.rows, how.columns), how.shrink)
    except ValueError as cause:
        raise RuntimeFault(f"preprocessing: {cause}") from cause


def _heads(parts: Parts, network: ModelSpec, window: Window, shown: Window) -> list[Interpreter]:
    return [
        PrefixedInterpreter(head.prefix, own) if head.prefix else own
        for head in parts.manifest.heads
        for own in [_interpreter(parts, head, network, window, shown)]
    ]


def _interpreter(parts: Parts, head: Head, network: ModelSpec, window: Window, shown: Window) -> Interpreter:
    settings = parts.files[head.settings]
    shapes = {item.name.removeprefix(head.prefix): item.shape for item in network.outputs}
    size = (network.input.shape[1], network.input.shape[2])
    match head.task:
        case TaskName.CLASSIFICATION:
            return ClassificationInterpreter(head, classification.read_settings(settings), window)
        case TaskName.SEMANTIC:
            maps = _shape(shapes, "classes" if "classes" in shapes else "probabilities", head)
            return SemanticInterpreter(head, semantic.read_settings(settings), window, (maps[-2], maps[-1]), shown)
        case TaskName.ANOMALY:
            known = anomaly_map.read_statistics(parts.arrays(STATISTICS))
            cells = _shape(shapes, anomaly.OUTPUT, head)
            return AnomalyInterpreter(
                head, anomaly.read_settings(settings), known, window, shown, (cells[-2], cells[-1])
            )
        case TaskName.DETECTION:
            count = _shape(shapes, "boxes", head)[1]
            reading = boxes.read_settings(head.task, settings)
            return DetectionInterpreter(head, reading, window, size, count, shown=shown)
        case TaskName.INSTANCE if "probabilities" in shapes:
            maps = shapes["probabilities"]
            return SemanticInterpreter(head, semantic.read_settings(settings), window, (maps[-2], maps[-1]), shown)
        case TaskName.INSTANCE:
            count, masks = _shape(shapes, "boxes", head)[1], _shape(shapes, "prototypes", head)
            planes = (masks[1], masks[2], masks[3])
            reading = boxes.read_settings(head.task, settings)
            return InstanceInterpreter(head, reading, window, size, count, planes, shown=shown)
        case TaskName.OCR:
            raise RuntimeFault("tasks: OCR has networks of its own and shares none; make it the bundle's only head")


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, head: Head) -> tuple[int, ...]:
    if name not in shapes:
        raise RuntimeFault(
            f"{head.task} task: the network gives {', '.join(sorted(shapes))} and no `{head.prefix}{name}`; build the "
            "bundle again"
        )
    return shapes[name]
