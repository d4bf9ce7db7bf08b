"""Recognise whose export a model is from its inputs, outputs and metadata, and say what only a person can know."""

import ast
from collections.abc import Callable, Mapping

from msgspec import Struct

from appliance.importing.mapping import (
    BOXES,
    LAYOUTS,
    PROTOTYPES,
    BoxFormat,
    Colour,
    Description,
    Layout,
    MappingNeeded,
    merge,
    render,
)
from appliance.importing.opening import TARGET_SIZES, Opened
from appliance.importing.source import Source, line
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PLAIN: dict[str, tuple[float, ...]] = {"mean": (0.0,), "std": (1.0,)}
ULTRALYTICS_TASKS = {
    "detect": TaskName.DETECTION,
    "segment": TaskName.INSTANCE,
    "classify": TaskName.CLASSIFICATION,
}
NO_DEFECT = {"good", "ok", "okay", "normal", "pass", "background", "__background__", "bg"}
"""Names of classes that are no defect in any trade; others must be said to be none."""


class Found(Struct, frozen=True):
    """State what a file tells of itself."""

    family: str
    facts: Description
    guesses: dict[str, object]
    """What is usual where the file says nothing; a person must confirm it."""
    notes: tuple[str, ...] = ()


class Recognised(Struct, frozen=True):
    """State all that is known before the model has seen an image."""

    family: str
    description: Description
    notes: tuple[str, ...]
    guesses: dict[str, object]


class Seen(Struct, frozen=True):
    """Hold what there is to recognise by."""

    source: Source
    opened: Opened
    shapes: dict[str, tuple[int, ...]]
    said: Description

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names that a person or the file gives."""
        return self.said.classes or _names(self.source)


def recognise(source: Source, opened: Opened, shapes: Shapes, said: Description) -> Recognised:
    """Give what the file and the mapping say together; MappingNeeded names what neither does.

    shapes: of every output, as the model really gives them.
    """
    seen = Seen(source, opened, dict(shapes), said)
    found = next((one for one in (find(seen) for find in FINDERS) if one), None) or _vector(seen)
    facts = merge(_input_facts(seen), merge(found.facts, said))
    if facts.layout is None and facts.task is not None and len(LAYOUTS.get(facts.task, ())) == 1:
        facts = merge(facts, Description(layout=LAYOUTS[facts.task][0]))
    missing = [key for key in _required(facts) if getattr(facts, key) is None]
    if missing:
        raise needed(source, facts, found, missing)
    return Recognised(found.family, facts, found.notes, found.guesses)


def needed(source: Source, facts: Description, found: Found | Recognised, missing: list[str]) -> MappingNeeded:
    """Make the error that asks a person for what is missing."""
    roles = facts.task in {TaskName.CLASSIFICATION, TaskName.SEMANTIC} and facts.not_defects is None
    title = f"mapping of {source.name}, which looks like {found.family}\nlines in comments are to be completed"
    return MappingNeeded(
        f"import {source.name}: looks like {found.family}; {', '.join(missing)} cannot be told from the file; "
        "complete the mapping on standard output and give it with --mapping",
        render(title, facts, [*missing, *(["not_defects"] if roles else [])], found.guesses),
    )


def _required(facts: Description) -> list[str]:
    keys = ["task", "classes", "size", "axes", "colour", "divisor", "mean", "std", "layout", "outputs"]
    if facts.layout in BOXES or facts.task in {TaskName.DETECTION, TaskName.INSTANCE}:
        keys += ["box_format", "threshold", "nms_iou"]
    if facts.layout is Layout.MAP:
        keys += ["threshold"]
    return keys


def _input_facts(seen: Seen) -> Description:
    """Give what the graph shows of its preprocessing."""
    opened, inner = seen.opened, seen.source.inner_mean
    facts = Description(
        input=opened.image,
        axes="NCHW" if opened.axes == "NCHW" else "NHWC",
        size=opened.size,
        colour="GREY" if opened.channels == 1 else None,
        constants={name: value.tolist() for name, value in opened.constants.items()} or None,
    )
    if opened.kind == "uint8":
        return merge(facts, Description(divisor=1.0, mean=(0.0,), std=(1.0,)))
    if inner:
        # A mean over 2 can only be one of grey levels.
        return merge(facts, Description(divisor=1.0 if inner > 2 else 255.0, mean=(0.0,), std=(1.0,)))
    return facts


def _anomalib(seen: Seen) -> Found | None:
    names = set(seen.shapes)
    name = next((one for one in ("anomaly_map", "output") if one in names and _is_map(seen.shapes[one])), None)
    if name is None or (name == "output" and seen.opened.image != "input"):
        return None
    # Labels and masks need a threshold, so where they are, maps are normalised to it.
    post = bool({"pred_label", "pred_mask"} & names)
    facts = Description(
        task=TaskName.ANOMALY, classes=("anomaly",), layout=Layout.MAP, outputs={"map": name}, colour=_rgb(seen)
    )
    notes = ["the score of a part is made from the anomaly map; the model's own pred_score and labels are not used"]
    if post:
        facts = merge(facts, Description(threshold=0.5))
        if not seen.source.inner_mean:
            facts = merge(facts, Description(divisor=255.0, mean=(0.0,), std=(1.0,)))
            notes.append("no normalisation is inside the graph and none is added: exports of this kind hold their own")
    family = f"an anomalib export, post-processing {'inside' if post else 'not inside'}"
    return Found(family, facts, {"divisor": 255.0, **IMAGENET, "threshold": 0.5}, tuple(notes))


def _ultralytics(seen: Seen) -> Found | None:
    data = seen.source.metadata
    if "stride" not in data or "names" not in data:
        return None
    task = ULTRALYTICS_TASKS.get(data.get("task", "detect"))
    if task is None:
        raise ConfigError(
            f"import {seen.source.name}: task {line(data['task'])} is none of {', '.join(ULTRALYTICS_TASKS)}; "
            "it cannot be imported"
        )
    facts = Description(task=task, classes=seen.classes, colour=_rgb(seen), divisor=255.0, mean=(0.0,), std=(1.0,))
    if task is TaskName.CLASSIFICATION:
        found = _vector(seen)
        notes = ("its training resizes the shorter side and crops the middle; here the region is squashed",)
        return Found("an Ultralytics-style export", merge(found.facts, facts), found.guesses, notes)
    sorted_out = data.get("end2end", "").lower() == "true" or "'nms': True" in data.get("args", "")
    boxes = _boxes(seen, (Layout.SORTED,) if sorted_out else (Layout.COLUMNS, Layout.ROWS))
    if boxes is None:
        return None
    if boxes.facts.layout is Layout.ROWS and boxes.facts.objectness is None:
        boxes = Found(boxes.family, merge(boxes.facts, Description(box_format="cxcywh", nms_iou=1.0)), boxes.guesses)
    notes = (f"trained on letterboxed images of {seen.opened.size[0]} x {seen.opened.size[1]} px",)
    return Found("an Ultralytics-style export", merge(boxes.facts, facts), boxes.guesses, notes)


def _labelled(seen: Seen) -> Found | None:
    if not {"labels", "boxes", "scores"} <= set(seen.shapes):
        return None
    facts = Description(
        task=TaskName.DETECTION,
        classes=seen.classes,
        layout=Layout.LABELLED,
        outputs={"labels": "labels", "boxes": "boxes", "scores": "scores"},
        box_format="xyxy",
        box_unit="px" if TARGET_SIZES in seen.opened.constants else None,
        scores="as-is",
        threshold=0.4,
        nms_iou=1.0,
    )
    return Found("an RT-DETR or D-FINE export", facts, {"colour": "RGB", "divisor": 255.0, **PLAIN})


def _queries(seen: Seen) -> Found | None:
    boxes = next((name for name in ("pred_boxes", "boxes") if name in seen.shapes), None)
    scores = next((name for name in ("logits", "pred_logits", "scores") if name in seen.shapes), None)
    if boxes is None or scores is None or len(seen.shapes[scores]) != 3:
        return None
    facts = Description(
        task=TaskName.DETECTION,
        classes=seen.classes,
        layout=Layout.QUERIES,
        outputs={"boxes": boxes, "scores": scores},
        box_format="cxcywh",
        threshold=0.4,
        nms_iou=1.0,
    )
    return Found("a DETR-style export", facts, {"colour": "RGB", "divisor": 255.0, **IMAGENET})


def _boxes(seen: Seen, allowed: tuple[Layout, ...] = BOXES[:3]) -> Found | None:
    """Recognise one tensor of boxes, with prototypes beside it for masks."""
    rows = [name for name, shape in seen.shapes.items() if len(shape) == 3 and shape[0] == 1 and min(shape[1:]) > 4]
    planes = [name for name, shape in seen.shapes.items() if len(shape) == 4 and shape[0] == 1]
    if len(rows) != 1 or len(planes) > 1:
        return None
    name = rows[0]
    coefficients = seen.shapes[planes[0]][1] if planes else 0
    outputs = {"rows": name} | ({PROTOTYPES: planes[0]} if planes else {})
    task = TaskName.INSTANCE if planes else TaskName.DETECTION
    facts = Description(task=task, classes=seen.classes, outputs=outputs, threshold=0.25)
    fits = _layouts(seen.shapes[name][1:], coefficients, len(seen.classes or ()), allowed)
    guesses: dict[str, object] = {"colour": "RGB", "divisor": 255.0, **PLAIN, "layout": "columns", "nms_iou": 0.5}
    if len(fits) == 1:
        layout, objectness = fits[0]
        form: BoxFormat = "xyxy" if layout is Layout.SORTED else "cxcywh"
        facts = merge(facts, Description(layout=layout, objectness=objectness or None, box_format=form))
        facts = merge(facts, Description(nms_iou=1.0 if layout is Layout.SORTED else 0.5))
    else:
        columns = seen.shapes[name][1] < seen.shapes[name][2]
        guesses |= {"layout": "columns" if columns else "rows", "box_format": "cxcywh"}
    return Found("one tensor of boxes", facts, guesses)


def _layouts(
    shape: tuple[int, ...], coefficients: int, classes: int, allowed: tuple[Layout, ...]
) -> list[tuple[Layout, bool]]:
    """Give the layouts, with and without objectness, that a tensor's shape fits."""
    if not classes:
        return [(Layout.SORTED, False)] if allowed == (Layout.SORTED,) and shape[1] == 6 + coefficients else []
    plain = 4 + classes + coefficients
    widths = [
        (Layout.COLUMNS, False, shape[0], plain),
        (Layout.COLUMNS, True, shape[0], plain + 1),
        (Layout.ROWS, False, shape[1], plain),
        (Layout.ROWS, True, shape[1], plain + 1),
        (Layout.SORTED, False, shape[1], 6 + coefficients),
    ]
    return [(layout, flag) for layout, flag, width, wanted in widths if layout in allowed and width == wanted]


def _planes(seen: Seen) -> Found | None:
    planes = [name for name, shape in seen.shapes.items() if len(shape) == 4 and shape[0] == 1 and min(shape[2:]) > 1]
    name = "out" if "out" in planes else planes[0] if len(planes) == 1 else None
    if name is None:
        return None
    guesses: dict[str, object] = {"colour": "RGB", "divisor": 255.0, **IMAGENET, "task": "semantic", "layout": "planes"}
    # One plane may be a mask or a map of distances.
    task = TaskName.SEMANTIC if seen.shapes[name][1] > 1 else None
    facts = Description(task=task, classes=seen.classes, outputs={"scores": name})
    if seen.said.task is TaskName.ANOMALY:
        facts = Description(outputs={"map": name})
    notes = ("output aux is left out: it helps training alone",) if "aux" in seen.shapes else ()
    return Found("a segmentation export", facts, guesses, notes)


def _vector(seen: Seen) -> Found:
    vectors = [name for name, shape in seen.shapes.items() if _length(shape)]
    guesses: dict[str, object] = {"colour": "RGB", "divisor": 255.0, **IMAGENET, "task": "classification"}
    if len(vectors) != 1:
        shapes = "; ".join(f"{line(name)} {shape}" for name, shape in list(seen.shapes.items())[:6])
        return Found(f"nothing known (outputs {shapes})", Description(classes=seen.classes), guesses)
    facts = Description(
        task=TaskName.CLASSIFICATION, classes=seen.classes, layout=Layout.VECTOR, outputs={"scores": vectors[0]}
    )
    return Found("a classifier", facts, guesses)


def _length(shape: tuple[int, ...]) -> int:
    """Give the classes of a vector; 0 when it is none."""
    many = [side for side in shape if side != 1]
    return (many[0] if many else 1) if len(many) < 2 and 0 not in shape and len(shape) in {1, 2, 4} else 0


def _is_map(shape: tuple[int, ...]) -> bool:
    return len(shape) in {3, 4} and shape[0] == 1 and shape[-3] == 1 and min(shape[-2:]) > 1


def _rgb(seen: Seen) -> Colour | None:
    return "RGB" if seen.opened.channels == 3 else None


def _names(source: Source) -> tuple[str, ...] | None:
    """Read what Ultralytics writes: `{0: 'scratch', 1: 'dent'}`, or a list."""
    try:
        said = ast.literal_eval(source.metadata.get("names", "")[:100_000])
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    if isinstance(said, dict):
        said = [said.get(number) for number in range(len(said))]
    if not isinstance(said, (list, tuple)) or not said:
        return None
    return tuple(said) if all(isinstance(name, str) and _is_name(name) for name in said) else None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 200 and text.isprintable()


FINDERS: tuple[Callable[[Seen], Found | None], ...] = (_anomalib, _ultralytics, _labelled, _queries, _boxes, _planes)
