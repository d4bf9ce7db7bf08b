"""Write COCO JSON, one file per split."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from appliance.datasets.outgoing import Outgoing
from appliance.datasets.runs import runs_of_mask
from appliance.datasets.sample import GOOD, Split, Thing
from appliance.datasets.truth import outline

ANY = "default"
"""Name of the only file where no splits are stated: Datumaro and CVAT look for `instances_<split>.json`."""


def write_coco(pictures: list[Outgoing], kinds: tuple[str, ...], folder: Path) -> None:
    """Write boxes, outlines and, where nothing is marked, labels of whole pictures as annotations without a box."""
    labels = {picture.label for picture in pictures if not picture.things} - {"", GOOD}
    names = (*kinds, *sorted(labels - set(kinds)))
    ids = {name: number for number, name in enumerate(names, 1)}
    by_split: dict[Split, list[Outgoing]] = defaultdict(list)
    for picture in pictures:
        by_split[picture.split].append(picture)
    (folder / "annotations").mkdir()
    for split, those in by_split.items():
        name = f"instances_{split.value or ANY}.json"
        text = json.dumps(_content(those, ids), ensure_ascii=False)
        (folder / "annotations" / name).write_text(text, "utf-8")


def _content(pictures: list[Outgoing], ids: dict[str, int]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        images.append({"id": number, "file_name": picture.name, "width": picture.cols, "height": picture.rows})
        for thing in picture.things:
            shape = _shape(thing, (picture.rows, picture.cols))
            place = {"id": len(annotations) + 1, "image_id": number, "category_id": ids[thing.kind], "iscrowd": 0}
            annotations.append(place | shape)
        if not picture.things and picture.label in ids:
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": ids[picture.label]})
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _shape(thing: Thing, size: tuple[int, int]) -> dict[str, Any]:
    x1, y1, x2, y2 = thing.box
    shape: dict[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "segmentation": []}
    if thing.rings or thing.counts:
        shape["area"] = sum(runs_of_mask(outline(thing, size))[1::2])
    if thing.rings:
        shape["segmentation"] = [list(ring) for ring in thing.rings]
    elif thing.counts:
        counts = thing.counts if isinstance(thing.counts, str) else list(thing.counts)
        shape["segmentation"] = {"size": list(size), "counts": counts}
    return shape
