"""Read and write Label Studio's own JSON: boxes, outlines, choices and texts, in hundredths of the picture."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec
from msgspec import Struct

from appliance.datasets.found import Found, Headers, Notes, split_of
from appliance.datasets.header import Header
from appliance.datasets.outgoing import Outgoing, as_rings
from appliance.datasets.places import Places
from appliance.datasets.sample import GOOD, Sample, Thing
from appliance.schema.errors import ConfigError

LAYOUT = "Label Studio"
BOX, OUTLINE, CHOICE, TEXT = "rectanglelabels", "polygonlabels", "choices", "textarea"
PREFIX = "/data/local-files/?d="
"""How Label Studio addresses files of its local storage."""


class Region(Struct, frozen=True):
    """Hold what is read of one result."""

    type: str
    value: dict[str, Any] = {}


class Annotation(Struct, frozen=True):
    """Hold the results of one annotator."""

    result: list[Region] = []
    was_cancelled: bool = False


class Task(Struct, frozen=True):
    """Hold what is read of one picture's task."""

    data: dict[str, Any]
    annotations: list[Annotation] = []


def fits_label_studio(root: Path) -> bool:
    """Say whether there is a file of Label Studio's tasks."""
    return _file(root) is not None


def read_label_studio(root: Path, headers: Headers) -> Found:
    """Read the first finished annotation of every task; ConfigError when the file holds no tasks."""
    path = _file(root)
    if path is None:
        raise ConfigError(f"{root}: holds no JSON file of Label Studio tasks; export as JSON")
    try:
        tasks = msgspec.json.decode(path.read_bytes(), type=list[Task])
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise ConfigError(f"{path}: is no list of Label Studio tasks ({cause}); export as JSON") from cause
    places, notes = Places(root), Notes()
    samples: dict[str, Sample] = {}
    for task in tasks:
        sample = _sample(task, places, headers, notes)
        if sample is not None:
            samples[sample.name] = sample
    kinds = dict.fromkeys(sorted({thing.kind for sample in samples.values() for thing in sample.things}))
    kinds |= dict.fromkeys(sorted({sample.label for sample in samples.values()} - {"", GOOD}))
    return Found(LAYOUT, tuple(kinds), tuple(samples.values()), notes.remarks())


def write_label_studio(pictures: list[Outgoing], kinds: tuple[str, ...], folder: Path) -> None:
    """Write tasks to import, and the labelling interface that fits them."""
    tasks = [
        {
            "data": {"image": f"{PREFIX}images/{picture.name}", "split": picture.split.value},
            "annotations": [{"result": list(_regions(picture))}],
        }
        for picture in pictures
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False), "utf-8")
    (folder / "interface.xml").write_text(_interface(kinds), "utf-8")


def _file(root: Path) -> Path | None:
    for path in sorted(root.glob("*.json")):
        with path.open("rb") as file:
            start = file.read(1 << 16)
        if start.lstrip().startswith(b"[") and b'"data"' in start:
            return path
    return None


def _sample(task: Task, places: Places, headers: Headers, notes: Notes) -> Sample | None:
    stated = str(next((task.data[key] for key in ("image", "img", "ocr") if key in task.data), ""))
    split = split_of(str(task.data.get("split", "")))
    name = places.one(stated, split, notes)
    if name is None:
        return None
    done = [annotation for annotation in task.annotations if not annotation.was_cancelled]
    if not done:
        notes.add("not annotated", name, "pictures have no finished annotation and are left out; label them")
        return None
    header = headers.of(places.path(name))
    things: list[Thing] = []
    labels: list[str] = []
    texts: list[str] = []
    for region in done[0].result if header else ():
        value = region.value
        if region.type == CHOICE:
            labels += map(str, value.get("choices", []))
        elif region.type == TEXT:
            texts += map(str, value.get("text", []))
        elif region.type in {BOX, OUTLINE} and header and (thing := _thing(region, header)) is not None:
            things.append(thing)
        else:
            notes.add("unreadable outline", name, "pictures have regions of a kind that is not read; use polygons")
            return None
    label = labels[0] if labels else ""
    return Sample(name, places.path(name), "", split, label, tuple(things), text=" ".join(texts) or None)


def _thing(region: Region, header: Header) -> Thing | None:
    """Give the thing; None when it has no label, is turned, or is no outline."""
    value, wide, high = region.value, header.cols / 100, header.rows / 100
    try:
        kind = str(value[region.type][0])
        if region.type == OUTLINE:
            ring = tuple(float(v) * size for x, y in value["points"] for v, size in ((x, wide), (y, high)))
            box = (min(ring[0::2]), min(ring[1::2]), max(ring[0::2]), max(ring[1::2]))
            return Thing(kind, box, (ring,)) if len(ring) >= 6 else None
        if value.get("rotation"):
            return None
        x, y = float(value["x"]) * wide, float(value["y"]) * high
        box = (x, y, x + float(value["width"]) * wide, y + float(value["height"]) * high)
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return Thing(kind, box) if all(map(math.isfinite, box)) else None


def _regions(picture: Outgoing) -> Iterator[Mapping[str, Any]]:
    size = {"original_width": picture.cols, "original_height": picture.rows, "image_rotation": 0, "to_name": "image"}
    wide, high = 100 / picture.cols, 100 / picture.rows
    for outlined in picture.things:
        thing = as_rings(outlined, (picture.rows, picture.cols))
        for ring in thing.rings:
            points = [[x * wide, y * high] for x, y in zip(ring[0::2], ring[1::2], strict=True)]
            value: dict[str, Any] = {"points": points, OUTLINE: [thing.kind]}
            yield {**size, "type": OUTLINE, "from_name": "outline", "value": value}
        if not thing.rings:
            x1, y1, x2, y2 = thing.box
            value = {"x": x1 * wide, "y": y1 * high, "width": (x2 - x1) * wide, "height": (y2 - y1) * high}
            yield {**size, "type": BOX, "from_name": "box", "value": {**value, "rotation": 0, BOX: [thing.kind]}}
    if picture.label:
        yield {**size, "type": CHOICE, "from_name": "label", "value": {"choices": [picture.label]}}
    if picture.text is not None:
        yield {**size, "type": TEXT, "from_name": "text", "value": {"text": [picture.text]}}


def _interface(kinds: tuple[str, ...]) -> str:
    """Give the labelling interface, in Label Studio's own XML."""
    labels = "".join(f"<Label value={quoteattr(kind)}/>" for kind in kinds)
    choices = "".join(f"<Choice value={quoteattr(kind)}/>" for kind in (GOOD, *kinds))
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="box" toName="image">{labels}</RectangleLabels>'
        f'<PolygonLabels name="outline" toName="image">{labels}</PolygonLabels>'
        f'<Choices name="label" toName="image">{choices}</Choices>'
        '<TextArea name="text" toName="image"/></View>\n'
    )
