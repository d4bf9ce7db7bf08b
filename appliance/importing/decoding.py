"""Settle how a model's outputs become canonical ones, and define that in numpy: what the graph is proven against.

Canonical outputs: appliance/ports/task.py.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.importing.mapping import (
    BOXES,
    LAYOUTS,
    PROTOTYPES,
    ROLES,
    Activation,
    BoxFormat,
    BoxUnit,
    Layout,
)
from appliance.importing.recognise import Recognised, needed
from appliance.importing.source import Source, line
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

Results = Mapping[str, NDArray[np.generic]]
Floats = NDArray[np.float32]
SUM_BOUND = 1e-2
"""How far probabilities of one thing may add up to other than 1, for models in half precision inside."""
LARGEST_SHARE = 2.0
"""Boxes as shares of the image stay under it; boxes in pixels do not."""
MOST_SEMANTIC_CLASSES = 256


class Decoding(Struct, frozen=True):
    """State how the outputs are read."""

    task: TaskName
    layout: Layout
    outputs: dict[str, str]
    """Role -> name of the model's output."""
    shapes: dict[str, tuple[int, ...]]
    """Role -> shape."""
    classes: int
    scores: Activation = "as-is"
    objectness: bool = False
    box_format: BoxFormat = "xyxy"
    box_unit: BoxUnit = "px"
    box_scale: tuple[float, float] = (1.0, 1.0)
    """(width, height) that boxes are multiplied by to be pixels of the input image."""

    @property
    def coefficients(self) -> int:
        """Mask coefficients of each box."""
        return self.shapes[PROTOTYPES][1] if PROTOTYPES in self.shapes else 0

    @property
    def unordered(self) -> bool:
        """Whether the rows come in no fixed order: chosen by score inside the model."""
        return self.layout in BOXES and self.layout is not Layout.COLUMNS


def settle(source: Source, known: Recognised, samples: Sequence[Results]) -> tuple[Decoding, tuple[str, ...]]:
    """Give the decoding, and in words what the results of the sample images settled.

    ConfigError when results and description do not fit, MappingNeeded when they leave a choice.
    """
    facts = known.description
    task, layout, outputs, classes = facts.task, facts.layout, facts.outputs or {}, facts.classes or ()
    fitting = LAYOUTS.get(task, ()) if task else ()
    if task is None or layout is None or layout not in fitting:
        raise ConfigError(
            f"import {source.name}: layout {layout} does not fit task {task}, it has {', '.join(fitting) or 'none'}; "
            "correct the mapping"
        )
    shapes = _shapes(source, layout, outputs, samples)
    if task is TaskName.INSTANCE and PROTOTYPES not in shapes:
        raise ConfigError(
            f"import {source.name}: task instance needs outputs.{PROTOTYPES}; name it, or set task to detection"
        )
    draft = Decoding(task, layout, {role: outputs[role] for role in shapes}, shapes, len(classes))
    draft = replace(draft, objectness=bool(facts.objectness), box_format=facts.box_format or "xyxy")
    _check_shapes(source, draft)
    _check_labels(source, draft, samples)
    scores = facts.scores
    notes: list[str] = []
    if scores is None:
        scores = _activation(source, known, draft, samples)
        if layout is not Layout.MAP:
            notes.append(f"scores on {len(samples)} sample images: {WORDS[scores]}")
    unit = facts.box_unit
    if layout in BOXES and unit is None:
        largest = max(float(np.abs(raw_boxes(draft, one)).max(initial=0)) for one in samples)
        unit = "share" if largest <= LARGEST_SHARE else "px"
        notes.append(f"boxes reach {largest:.3g} on {len(samples)} sample images: taken as {unit}")
    rows, columns = facts.size or (1, 1)
    scale = (float(columns), float(rows)) if unit == "share" else (1.0, 1.0)
    return replace(draft, scores=scores, box_unit=unit or "px", box_scale=scale), tuple(notes)


WORDS = {
    "as-is": "are probabilities, taken as they are",
    "softmax": "are no probabilities, a Softmax is added",
    "sigmoid": "are no probabilities, a Sigmoid is added",
}


def decode(how: Decoding, results: Results) -> dict[str, NDArray[np.generic]]:
    """Give the canonical outputs of one image."""
    if how.layout is Layout.MAP:
        return {"map": _role(how, results, "map").reshape(1, *how.shapes["map"][-2:])}
    if how.layout is Layout.VECTOR:
        values = _role(how, results, "scores").reshape(1, -1)
        return {"probabilities": _two(how, _active(how, values, axis=1), axis=1)}
    if how.layout is Layout.PLANES:
        planes = _two(how, _active(how, _role(how, results, "scores"), axis=1), axis=1)
        return {"classes": planes.argmax(axis=1).astype(np.uint8), "confidence": planes.max(axis=1)}
    return _decode_boxes(how, results)


def raw_boxes(how: Decoding, results: Results) -> Floats:
    """Give boxes as the model writes them: (1, N, 4)."""
    return _role(how, results, "boxes") if "boxes" in how.shapes else _rows(how, results)[:, :, :4]


def raw_scores(how: Decoding, results: Results) -> Floats:
    """Give scores as the model writes them, objectness and "no object" left out."""
    if how.layout is Layout.SORTED:
        return _rows(how, results)[:, :, 4:5]
    if how.layout in {Layout.COLUMNS, Layout.ROWS}:
        first = 5 if how.objectness else 4
        return _rows(how, results)[:, :, first : first + how.classes]
    return _role(how, results, "scores")


def _decode_boxes(how: Decoding, results: Results) -> dict[str, NDArray[np.generic]]:
    boxes, scores = raw_boxes(how, results), _active(how, raw_scores(how, results), axis=2)
    if how.box_format == "cxcywh":
        half = boxes[:, :, 2:] / 2
        boxes = np.concatenate([boxes[:, :, :2] - half, boxes[:, :, :2] + half], axis=2)
    boxes = boxes * np.array([*how.box_scale, *how.box_scale], np.float32)
    if how.layout in {Layout.SORTED, Layout.LABELLED}:
        labels = np.minimum(_labels(how, results), how.classes - 1).reshape(1, -1, 1)
        same = labels == np.arange(how.classes, dtype=np.float32)
        scores = scores.reshape(1, -1, 1) * same.astype(np.float32)
    if how.objectness:
        scores = scores * _active(how, _rows(how, results)[:, :, 4:5], axis=2)
    decoded: dict[str, NDArray[np.generic]] = {"boxes": boxes, "scores": scores[:, :, : how.classes]}
    if how.coefficients:
        decoded["coefficients"] = _rows(how, results)[:, :, -how.coefficients :]
        decoded[PROTOTYPES] = _role(how, results, PROTOTYPES)
    return decoded


def _rows(how: Decoding, results: Results) -> Floats:
    rows = _role(how, results, "rows")
    return rows.transpose(0, 2, 1) if how.layout is Layout.COLUMNS else rows


def _role(how: Decoding, results: Results, role: str) -> Floats:
    values = results[how.outputs[role]].astype(np.float32)
    if not np.isfinite(values).all():
        raise ConfigError(
            f"import of this model: output {how.outputs[role]!r:.60} is nan or infinite on a sample image; "
            "export the model again"
        )
    return values


def _active(how: Decoding, values: Floats, axis: int) -> Floats:
    if how.scores == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-values.clip(-80, 80))), np.float32)
    if how.scores == "softmax":
        raised = np.exp(values - values.max(axis=axis, keepdims=True))
        return np.asarray(raised / raised.sum(axis=axis, keepdims=True), np.float32)
    return values


def _two(how: Decoding, values: Floats, axis: int) -> Floats:
    """Give two classes where the model gives the second one's probability alone."""
    return values if values.shape[axis] == how.classes else np.concatenate([1 - values, values], axis=axis)


def _shapes(
    source: Source, layout: Layout, outputs: Mapping[str, str], samples: Sequence[Results]
) -> dict[str, tuple[int, ...]]:
    strange = sorted(set(outputs) - {*ROLES[layout], PROTOTYPES})
    absent = [role for role in ROLES[layout] if role not in outputs]
    if strange or absent:
        role = line((strange or absent)[0])
        raise ConfigError(
            f"import {source.name}: outputs.{role} {'is not one' if strange else 'is missing'}; "
            f"layout {layout} has {', '.join(ROLES[layout])}; correct the mapping"
        )
    shapes = {}
    for role, name in outputs.items():
        if name not in samples[0]:
            raise ConfigError(
                f"import {source.name}: outputs.{role} {line(name)!r} is no output of the model, there are "
                f"{', '.join(line(known) for known in list(samples[0])[:8])}; correct the mapping"
            )
        found = {one[name].shape for one in samples}
        if len(found) > 1:
            raise ConfigError(
                f"import {source.name}: output {line(name)} has shapes {sorted(found)[:2]} on two images, must have "
                "one; export the model without non-maximum suppression"
            )
        shapes[role] = found.pop()
    return shapes


def _check_shapes(source: Source, how: Decoding) -> None:
    for role, shape in how.shapes.items():
        if not _fits(how, role, shape):
            raise ConfigError(
                f"import {source.name}: output {line(how.outputs[role])} is {shape}, needs {_wanted(how, role)} as "
                f"`{role}` of layout {how.layout}; correct classes, layout or outputs of the mapping"
            )
    if how.layout is Layout.PLANES and how.classes > MOST_SEMANTIC_CLASSES:
        raise ConfigError(
            f"import {source.name}: {how.classes} classes, limit {MOST_SEMANTIC_CLASSES}; use a model of fewer classes"
        )


def _check_labels(source: Source, how: Decoding, samples: Sequence[Results]) -> None:
    if how.layout not in {Layout.SORTED, Layout.LABELLED}:
        return
    labels = [_labels(how, one) for one in samples]
    largest = max(float(one.max(initial=0)) for one in labels)
    if largest >= how.classes:
        raise ConfigError(
            f"import {source.name}: the model names class {largest:.0f} on a sample image, the mapping has "
            f"{how.classes} classes, from 0; complete `classes`"
        )


def _labels(how: Decoding, results: Results) -> Floats:
    return _rows(how, results)[:, :, 5:6] if how.layout is Layout.SORTED else _role(how, results, "labels")


def _fits(how: Decoding, role: str, shape: tuple[int, ...]) -> bool:
    if 0 in shape or not shape or shape[0] != 1:
        return False
    classes = {how.classes} | ({1} if how.classes == 2 else set())
    count = how.shapes["boxes"][1] if "boxes" in how.shapes and len(how.shapes["boxes"]) > 1 else 0
    if role == "map":
        return len(shape) in {3, 4} and shape[-3] == 1
    if role == PROTOTYPES:
        return len(shape) == 4
    if role == "rows":
        return len(shape) == 3 and _width(how) == shape[1 if how.layout is Layout.COLUMNS else 2]
    if role == "boxes":
        return len(shape) == 3 and shape[2] == 4
    if how.layout is Layout.LABELLED:
        return int(np.prod(shape)) == count
    if how.layout is Layout.QUERIES:
        return len(shape) == 3 and shape[1] == count and shape[2] in {how.classes, how.classes + 1}
    if how.layout is Layout.PLANES:
        return len(shape) == 4 and shape[1] in classes
    return int(np.prod(shape)) in classes


def _width(how: Decoding) -> int:
    coefficients = how.shapes[PROTOTYPES][1] if len(how.shapes.get(PROTOTYPES, ())) == 4 else 0
    return 6 + coefficients if how.layout is Layout.SORTED else 4 + how.objectness + how.classes + coefficients


def _wanted(how: Decoding, role: str) -> str:
    if role == "rows":
        width = _width(how)
        return f"(1, {width}, boxes)" if how.layout is Layout.COLUMNS else f"(1, boxes, {width})"
    named = {"map": "(1, 1, rows, cols)", PROTOTYPES: "(1, coefficients, rows, cols)", "boxes": "(1, boxes, 4)"}
    if role in named:
        return named[role]
    if how.layout is Layout.LABELLED:
        return "(1, boxes)"
    if how.layout is Layout.QUERIES:
        return f"(1, boxes, {how.classes} or {how.classes + 1})"
    return f"(1, {how.classes}, rows, cols)" if how.layout is Layout.PLANES else f"(1, {how.classes})"


def _activation(source: Source, known: Recognised, how: Decoding, samples: Sequence[Results]) -> Activation:
    """Tell from sample images what the scores are."""
    if how.layout is Layout.MAP:
        return "as-is"
    values = [raw_scores(how, one) if how.layout in BOXES else _role(how, one, "scores") for one in samples]
    axis = 2 if how.layout in BOXES else 1
    inside = all(float(one.min()) >= 0 and float(one.max()) <= 1 for one in values)
    if how.layout in BOXES:
        no_object = how.layout is Layout.QUERIES and values[0].shape[2] == how.classes + 1
        return "as-is" if inside else "softmax" if no_object else "sigmoid"
    single = int(np.prod(values[0].shape[1:2])) == 1 and values[0].size != how.classes
    if single:
        return "as-is" if inside else "sigmoid"
    sums = [one.reshape(1, -1) if how.layout is Layout.VECTOR else one for one in values]
    if inside and all(float(np.abs(one.sum(axis=axis) - 1).max()) <= SUM_BOUND for one in sums):
        return "as-is"
    if inside:
        # Either several classes at a time or logits that happen to be small.
        raise needed(source, known.description, known, ["scores"])
    return "softmax"
