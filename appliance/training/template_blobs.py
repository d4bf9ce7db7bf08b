"""Fit a detector that judges the differences between frames and their templates one by one: seconds, in closed form.

The network reads measures of blobs (imaging/blobs.py) as bytes, so that every runtime runs it and golden tensors prove
it: a random layer, a linear one, softmax over nothing and the classes. A box is the blob with margins that are linear
in its size, class by class.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto

from appliance.decision.calibration import calibrate_if_enough
from appliance.imaging.blobs import GEOMETRY, MEASURES, Blob, contrast_of, find_blobs, measure
from appliance.schema.bundle import (
    ClassSpec,
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Preprocessing,
    TaskName,
)
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.backbone import Graph
from appliance.training.detection_cells import Instances
from appliance.training.fit_run import FitRun
from appliance.training.labelled import Frame
from appliance.training.linear import Floats, Linear, fit_ridge, fit_softmax, random_layer, rectify, softmax
from appliance.training.package import Contents, FittedBundle, Network, pack

BLOBS = "blobs.json"
MODEL = "model"
BATCH = 128
INPUT = (1, MEASURES // 3)
"""(rows, cols) of the network's input: three measures per pixel."""

# A blob is an object when its box, with the usual margins, overlaps the true one by the first and lies in it by the
# second; over the others either answer is right.
OVERLAP, INSIDE = 0.45, 0.6
UNDECIDED_OVERLAP, UNDECIDED_INSIDE = 0.3, 0.4
FEWEST_NOTHINGS = 2000
MARGIN_STRENGTH = 1e-2


class BlobOptions(Struct, frozen=True):
    """Choose how a detector of differences is fitted; the defaults are those measured in training/README.md."""

    tolerance_px: int = 1
    """That of the template, frame pixels."""
    width: int = 800
    """Results of the random layer."""
    strength: float = 3e-4
    """Of the squared weights against the mean log loss."""
    nms_iou: float = 0.4
    """Of two boxes of any class that overlap by more the weaker is dropped."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered."""


class BlobWeights(Struct, frozen=True):
    """Hold what is fitted and what is drawn."""

    hidden: Linear
    """(`MEASURES`, width), its negative results set to 0."""
    last: Linear
    """(`MEASURES` + width, 1 + classes)."""

    def __call__(self, measures: NDArray[np.uint8]) -> Floats:
        """Give the probability of nothing and of each class, (blobs, 1 + classes), of (blobs, `MEASURES`)."""
        return softmax(self.last(_joined(self.hidden, _scaled(measures))))


class BlobExamples(Struct, frozen=True):
    """Hold measured blobs and what is true of them."""

    measures: NDArray[np.uint8]
    kinds: NDArray[np.intp]
    """0 is nothing, -1 undecided, else 1 + the class."""
    margins: NDArray[np.float32]
    """(blobs, 4) by how much the true box is larger, px."""


def fit_blob_bundle(
    frames: Iterable[Frame],
    truths: Iterable[Instances],
    classes: Sequence[ClassSpec],
    run: FitRun,
    options: BlobOptions | None = None,
    good: Iterable[Frame] = (),
) -> FittedBundle:
    """Give a detection bundle fitted to composed pictures; `with_template` makes it one for raw frames.

    frames: of `template.composed`, read one by one. truths: one per frame; boxes in frame pixels, kinds in the order of
    `classes`. good: composed pictures of other parts without defect, which set the limits; none leaves the bundle
    uncalibrated. Blocks for 0.1 CPU s per frame. ConfigError when frames and truths do not fit together or show no
    object that differs from its template, RuntimeFault when the model cannot be built or run.
    """
    options = options or BlobOptions()
    run.tell("differences", 0.0)
    examples, first, data = _gather(frames, truths, len(classes), options)
    run.tell("head", 0.8)
    weights, margins = fit_blobs(examples, len(classes), options, run.seed)
    run.tell("golden tensors", 0.9)
    settings = {"tolerance_px": options.tolerance_px, "nms_iou": options.nms_iou, "margins": margins}
    shown = examples.measures[:: max(1, len(examples.measures) // 64)].reshape(-1, *INPUT, 3)
    contents = Contents(
        heads=(Head(TaskName.DETECTION, tuple(classes), BLOBS),),
        networks={MODEL: Network(blob_model(weights), shown)},
        settings={BLOBS: msgspec.json.format(msgspec.json.encode(settings))},
        preprocessing=Preprocessing(PixelFormat.RGB8, first.shape[0], first.shape[1]),
        frame=first,
        data=data,
        created=run.created,
        calibration=_limits(weights, good, classes, options),
    )
    return pack(contents, run.runtime, run.precision, run.threads)


def fit_blobs(
    examples: BlobExamples, classes: int, options: BlobOptions, seed: int
) -> tuple[BlobWeights, list[list[list[float]]]]:
    """Give the weights and, of each class and side, the factors of a blob's geometry and a constant."""
    random = np.random.default_rng(seed)
    things, nothings = np.flatnonzero(examples.kinds > 0), np.flatnonzero(examples.kinds == 0)
    most = max(len(things), FEWEST_NOTHINGS)
    if len(nothings) > most:
        nothings = np.sort(random.choice(nothings, most, replace=False))
    chosen = np.concatenate([things, nothings])
    measures = _scaled(examples.measures[chosen])
    hidden = random_layer(measures, options.width, random).rounded()
    joined = _joined(hidden, measures)
    last = fit_softmax(joined, examples.kinds[chosen], 1 + classes, options.strength)
    margins = []
    for kind in range(1, classes + 1):
        own = things[examples.kinds[things] == kind]
        own = own if len(own) > GEOMETRY else things
        geometry = examples.measures[own, :GEOMETRY].astype(np.float32)
        layer = fit_ridge(geometry, examples.margins[own], MARGIN_STRENGTH)
        margins.append(np.concatenate([layer.weight.T, layer.bias[:, None]], axis=1).tolist())
    return BlobWeights(hidden, last), margins


def blob_model(weights: BlobWeights) -> bytes:
    """Give the model whose output `probabilities` is (batch, 1 + classes) float32 of measures (batch, 1, 16, 3)."""
    graph = Graph()
    real = graph.add("Cast", ["image"], "real", to=TensorProto.FLOAT)
    flat = graph.add("Reshape", [real, graph.constant("flat", np.array([BATCH, MEASURES], np.int64))], "measures")
    part = graph.add("Mul", [flat, graph.constant("share", np.array(1 / 64, np.float32))], "measures_part")
    scaled = graph.add("Sub", [part, graph.constant("middle", np.array(2, np.float32))], "measures_scaled")
    layers = {
        name: [graph.constant(f"{name}.weight", layer.weight), graph.constant(f"{name}.bias", layer.bias)]
        for name, layer in (("hidden", weights.hidden), ("last", weights.last))
    }
    bent = graph.add("Relu", [graph.add("Gemm", [scaled, *layers["hidden"]], "hidden")], "hidden.relu")
    joined = graph.add("Concat", [scaled, bent], "joined", axis=1)
    graph.add("Softmax", [graph.add("Gemm", [joined, *layers["last"]], "logits")], "probabilities", axis=1)
    return graph.model(INPUT, {"probabilities": (BATCH, len(weights.last.bias))}, BATCH)


def _gather(
    frames: Iterable[Frame], truths: Iterable[Instances], classes: int, options: BlobOptions
) -> tuple[BlobExamples, Frame, DataSnapshot]:
    digest = hashlib.sha256()
    seen: list[tuple[list[Blob], NDArray[np.uint8], Instances]] = []
    first: Frame | None = None
    try:
        for frame, truth in zip(frames, truths, strict=True):
            _check(len(seen) + 1, frame, truth, classes)
            first = frame if first is None else first
            digest.update(np.ascontiguousarray(frame).data)
            digest.update(truth.kinds.tobytes() + truth.boxes.tobytes())
            blobs, measures = measured(frame, options.tolerance_px)
            seen.append((blobs, measures, truth))
    except ValueError as cause:
        raise ConfigError(f"template training: frames and truths: {cause}; give one truth per frame") from cause
    margin = _usual_margin(seen)
    labelled = [_labelled(blobs, truth, margin) for blobs, _, truth in seen]
    kinds = np.concatenate([kinds for kinds, _ in labelled]) if labelled else np.zeros(0, np.intp)
    if first is None or not (kinds > 0).any():
        raise ConfigError(
            f"template training: {len(seen)} frames show no object that differs from its template; give frames with "
            "defects and the templates that belong to them"
        )
    measures = np.concatenate([measures for _, measures, _ in seen])
    examples = BlobExamples(measures, kinds, np.concatenate([margins for _, margins in labelled]))
    return examples, first, DataSnapshot(len(seen), digest.hexdigest(), options.synthetic_share)


def measured(picture: Frame, tolerance_px: int) -> tuple[list[Blob], NDArray[np.uint8]]:
    """Give the blobs of a composed picture and their measures, (blobs, `MEASURES`)."""
    contrast = contrast_of(picture)
    blobs = find_blobs(picture, tolerance_px, contrast)
    measures = np.array([measure(picture, blob, contrast) for blob in blobs], np.uint8)
    return blobs, measures.reshape(-1, MEASURES)


def _check(number: int, frame: Frame, truth: Instances, classes: int) -> None:
    if frame.ndim != 3:
        raise ConfigError(f"template training: frame {number} is {frame.shape}; give composed pictures")
    if truth.boxes.shape != (len(truth.kinds), 4) or ((truth.kinds < 0) | (truth.kinds >= classes)).any():
        raise ConfigError(
            f"template training: truth {number}: {truth.boxes.shape} boxes of kinds {truth.kinds.tolist()}; give one "
            f"box of four numbers per object and kinds below {classes}"
        )


def _usual_margin(seen: Sequence[tuple[list[Blob], NDArray[np.uint8], Instances]]) -> float:
    """Give by how much people draw boxes larger than the difference that they saw, px."""
    margins: list[float] = []
    for blobs, _, truth in seen:
        boxes = _boxes(blobs)
        for x1, y1, x2, y2 in truth.boxes:
            inner = (boxes[:, 0] >= x1) & (boxes[:, 1] >= y1) & (boxes[:, 2] <= x2) & (boxes[:, 3] <= y2)
            if inner.any():
                least, most = boxes[inner, :2].min(axis=0), boxes[inner, 2:].max(axis=0)
                margins += [least[0] - x1, least[1] - y1, x2 - most[0], y2 - most[1]]
    return float(np.median(margins)) if margins else 0.0


def _labelled(blobs: list[Blob], truth: Instances, margin: float) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Give each blob's kind and margins, as `BlobExamples` holds them."""
    kinds, margins = np.zeros(len(blobs), np.intp), np.zeros((len(blobs), 4), np.float32)
    sides = np.array([-1, -1, 1, 1])
    boxes = _boxes(blobs)
    overlaps = _overlaps(boxes + margin * sides, truth.boxes)
    for place, object_ in np.argwhere(overlaps > UNDECIDED_OVERLAP):
        overlap, inside = overlaps[place, object_], _share_inside(blobs[place], truth.boxes[object_])
        if overlap >= OVERLAP and inside >= INSIDE:
            if overlap == overlaps[place].max() or kinds[place] <= 0:
                kinds[place] = 1 + truth.kinds[object_]
                margins[place] = (truth.boxes[object_] - boxes[place]) * sides
        elif kinds[place] == 0 and inside > UNDECIDED_INSIDE:
            kinds[place] = -1
    return kinds, margins


def _boxes(blobs: list[Blob]) -> NDArray[np.float64]:
    return np.array([blob.box for blob in blobs], np.float64).reshape(-1, 4)


def _overlaps(boxes: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give intersection over union, (boxes, true)."""
    one, other = boxes[:, None], true[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    common = np.maximum(sides, 0).prod(axis=2)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=2) for each in (one, other)]
    return np.asarray(common / np.maximum(areas[0] + areas[1] - common, 1e-9))


def _share_inside(blob: Blob, true: NDArray[np.float64]) -> float:
    left, top, right, bottom = (max(0, round(value)) for value in true - np.tile(blob.box[:2], 2))
    return float(blob.shape[top:bottom, left:right].sum() / blob.shape.sum())


def _limits(
    weights: BlobWeights, good: Iterable[Frame], classes: Sequence[ClassSpec], options: BlobOptions
) -> GoodOnlyCalibration | None:
    """Give the limits that scores of good parts set; the score is that of tasks/boxes.py."""
    defects = np.array([kind.defect for kind in classes], np.bool_)
    scores = [
        float(weights(measures)[:, 1:][:, defects].max(initial=0.0))
        for frame in good
        for _, measures in [measured(frame, options.tolerance_px)]
    ]
    return calibrate_if_enough(scores, options.hold_back)


def _scaled(measures: NDArray[np.uint8]) -> Floats:
    return measures.astype(np.float32) / np.float32(64) - np.float32(2)


def _joined(hidden: Linear, scaled: Floats) -> Floats:
    return np.concatenate([scaled, rectify(hidden, scaled)], axis=1)
