"""Write YOLO text files and their description."""

from pathlib import Path

import yaml

from appliance.datasets.outgoing import Outgoing, as_rings
from appliance.datasets.sample import Split, Thing

FOLDERS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test", Split.ANY: "train"}
"""A set without stated splits stands under `train` alone, which holds nothing out."""


def write_yolo(pictures: list[Outgoing], kinds: tuple[str, ...], folder: Path, *, outlined: bool) -> None:
    """Write one text file per picture, with one outline per thing or with boxes; YOLO mixes neither."""
    places = {kind: number for number, kind in enumerate(kinds)}
    for picture in pictures:
        lines = [_line(thing, places[thing.kind], picture, outlined=outlined) for thing in picture.things]
        path = (folder / "labels" / FOLDERS[picture.split] / picture.name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), "utf-8")
    used = [name for name in ("train", "val", "test") if any(FOLDERS[picture.split] == name for picture in pictures)]
    content = {"names": dict(enumerate(kinds)), **{name: f"images/{name}" for name in used}}
    (folder / "data.yaml").write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")


def _line(thing: Thing, place: int, picture: Outgoing, *, outlined: bool) -> str:
    size = (picture.cols, picture.rows)
    if outlined:
        thing = as_rings(thing, (picture.rows, picture.cols))
    x1, y1, x2, y2 = thing.box
    box = ((x1 + x2) / 2 / size[0], (y1 + y2) / 2 / size[1], (x2 - x1) / size[0], (y2 - y1) / size[1])
    corners = (x1, y1, x2, y1, x2, y2, x1, y2)
    ring = (thing.rings[0] if thing.rings else corners) if outlined else ()
    values = tuple(value / size[i % 2] for i, value in enumerate(ring)) or box
    return f"{place} {' '.join(f'{value:.12g}' for value in values)}\n"
