"""Write the labelled pictures of a station as a data set: of a snapshot, or of what training may use now.

Only what people agree on leaves: a picture whose part has come into conflict since a snapshot was frozen stays behind,
and the manifest says so. A class is said of a part, a region of one view; so a view of a defective part in which
nothing is marked is left out wherever another view might be the one that shows the defect.
"""

import hashlib
import json
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
from msgspec import Struct

from appliance.datasets.export import write_data
from appliance.datasets.pictures import as_colour, read_picture
from appliance.datasets.sample import BACKGROUND, DataSet, Sample, Thing
from appliance.labelling.standing import TRAINABLE
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.schema.label import GOOD, Region
from appliance.storage import database, label_queries, queries, snapshots
from appliance.storage.record_store import DATABASE, IMAGES

if TYPE_CHECKING:
    from appliance.config import Loaded

MANIFEST = "manifest.json"
MARKS_ALONE = frozenset({"yolo", "voc"})
"""Formats that know marks and nothing else."""
NEEDS_MARKS = frozenset({TaskName.DETECTION, TaskName.INSTANCE, TaskName.SEMANTIC})
"""Tasks for which a defect without a mark would read as a good part."""
COPIED = frozenset({".jpg", ".png"})
"""Files that every reader knows; lossless TIFF becomes PNG."""


class StationExport(Struct, frozen=True):
    """Take what the command line says."""

    format: str
    out: Path
    """A folder that does not exist yet."""
    snapshot: str | None = None
    """Id; None: what training may use now."""
    task: str | None = None
    """None: what the format is for."""


class _Picture(Struct, frozen=True):
    item: snapshots.SnapshotItem
    path: Path
    pixel_format: PixelFormat
    things: tuple[Thing, ...]


class _Behind(Struct, frozen=True):
    part: str
    camera: str
    why: str


def run_station_export(loaded: "Loaded", options: StationExport) -> int:
    """Write the data set and its manifest; the folder appears whole or not at all."""
    if options.out.exists():
        raise ConfigError(f"--out: {options.out} exists already; name a new folder")
    path = loaded.state / DATABASE
    with closing(database.open_reader(path)) as connection:
        try:
            items, digest = _items(connection, options.snapshot)
            found, behind = _chosen(connection, loaded.state / IMAGES, items)
        except sqlite3.Error as error:
            raise database.store_error(path, "be asked", error) from error
    task = _task(options, found)
    if task in NEEDS_MARKS and options.format != "labelstudio":
        found = _marked(found, behind)
    if not found:
        why = f" ({behind[0].why})" if behind else ""
        raise ConfigError(f"export: 0 of {len(items)} pictures can be written as {options.format}{why}; label parts")
    staged = options.out.with_name(f".{options.out.name}.pictures")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        staged.mkdir(parents=True)
        data = _data_set(found, staged, task)
        about = {
            "station": loaded.config.station.name,
            "snapshot": options.snapshot,
            "digest": digest,
            "format": options.format,
            "task": data.task.value,
            "classes": list(data.classes),
        }
        count = write_data(
            data, options.format, options.out, lambda folder, names: _manifest(folder, names, about, found, behind)
        )
    except OSError as cause:
        raise ConfigError(
            f"--out: {staged} cannot be written ({cause.strerror}); free space or name another"
        ) from cause
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    sys.stdout.write(
        f"{options.out}: {count} pictures as {options.format} for {data.task}, {len(behind)} left out; "
        f"digest {digest}\n"
    )
    return 0


def _items(connection: sqlite3.Connection, snapshot: str | None) -> tuple[list[snapshots.SnapshotItem], str]:
    if snapshot is None:
        items = snapshots.trainable(connection)
        return items, snapshots.digest(items)
    frozen = snapshots.snapshot(connection, snapshot)
    if frozen is None:
        known = ", ".join(one.snapshot_id for one in snapshots.snapshots(connection)[-3:]) or "none"
        raise ConfigError(f"--snapshot: {snapshot} is not known, the newest are {known}; `label snapshot` makes one")
    items = snapshots.items(connection, snapshot)
    digest = snapshots.digest(items)
    if digest != frozen.digest:
        raise ConfigError(
            f"snapshot {snapshot}: its items have digest {digest[:12]}, it was frozen as {frozen.digest[:12]}; the "
            "database was changed by hand, take a backup"
        )
    return items, digest


def _chosen(
    connection: sqlite3.Connection, images: Path, items: Iterable[snapshots.SnapshotItem]
) -> tuple[list[_Picture], list[_Behind]]:
    """Give the pictures that can be written, and why others cannot."""
    found, behind = [], []
    for item in items:
        picture = _picture(connection, images, item)
        if isinstance(picture, str):
            behind.append(_Behind(str(item.part), item.camera, picture))
        else:
            found.append(picture)
    return found, behind


def _picture(connection: sqlite3.Connection, images: Path, item: snapshots.SnapshotItem) -> _Picture | str:
    """Give one picture, or why it stays behind."""
    if item.state not in TRAINABLE:
        return f"the labels of the part are {item.state.value} now; settle them"
    rows = queries.images(connection, item.part)
    row = next((one for one in rows if one["sha256"] == item.sha256 and one["camera"] == item.camera), None)
    if row is None or not row["path"]:
        return "the image is not kept any more"
    path = images / str(row["path"])
    if not path.is_file():
        return f"the image {row['path']} is missing on the disk; restore it from a backup"
    if hashlib.sha256(path.read_bytes()).hexdigest() != item.sha256:
        return f"the image {row['path']} is not the one labelled, its SHA-256 differs; restore it from a backup"
    label = label_queries.label(connection, item.label_id)
    regions = label.regions if label is not None else ()
    here = [region for region in regions if region.camera == item.camera]
    size = (int(str(row["pixel_rows"])), int(str(row["pixel_columns"])))
    if any(region.runs and region.size != size for region in here):
        return f"a mask of it is drawn for another size than {size[1]} x {size[0]} px; mark the part again"
    several = bool(regions) or len({one["camera"] for one in rows}) > 1
    if item.kind != GOOD and not here and several:
        return "the part is defective, several cameras see it, and nothing is marked in this view"
    pixel_format = PixelFormat(str(row["pixel_format"]))
    return _Picture(item, path, pixel_format, tuple(_thing(region) for region in here))


def _marked(found: Iterable[_Picture], behind: list[_Behind]) -> list[_Picture]:
    """Leave behind the defects without a mark."""
    kept = []
    for picture in found:
        if picture.item.kind == GOOD or picture.things:
            kept.append(picture)
        else:
            why = "the part is defective and nothing is marked; mark it, or take --task classification"
            behind.append(_Behind(str(picture.item.part), picture.item.camera, why))
    return kept


def _thing(region: Region) -> Thing:
    box = region.box
    corners = (box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px)
    ring = tuple(float(value) for point in region.polygon for value in point)
    return Thing(region.kind, corners, (ring,) if ring else (), region.runs if not ring else ())


def _task(options: StationExport, found: Sequence[_Picture]) -> TaskName:
    if options.task:
        return TaskName(options.task)
    marked = any(picture.things for picture in found)
    if options.format == "folder":
        return TaskName.ANOMALY if marked else TaskName.CLASSIFICATION
    return TaskName.DETECTION if marked or options.format in MARKS_ALONE else TaskName.CLASSIFICATION


def _data_set(found: Sequence[_Picture], staged: Path, task: TaskName) -> DataSet:
    kinds = {picture.item.kind for picture in found} | {thing.kind for one in found for thing in one.things}
    first = {TaskName.CLASSIFICATION: (GOOD,), TaskName.ANOMALY: (GOOD,), TaskName.SEMANTIC: (BACKGROUND,)}
    samples = tuple(_sample(picture, staged) for picture in found)
    is_grey = all(picture.pixel_format is PixelFormat.MONO8 for picture in found)
    classes = (*first.get(task, ()), *sorted(kinds - {GOOD}))
    pixel_format = PixelFormat.MONO8 if is_grey else PixelFormat.RGB8
    return DataSet(staged, task, "station", classes, samples, pixel_format, "groups.csv")


def _sample(picture: _Picture, staged: Path) -> Sample:
    """Name a picture for export; a lossless TIFF is written as PNG, a Bayer mosaic in colour, as JPEGs hold it."""
    item, path = picture.item, picture.path
    if path.suffix not in COPIED:
        pixels = read_picture(path)
        if picture.pixel_format is not PixelFormat.MONO8:
            pixels = cv2.cvtColor(as_colour(pixels, picture.pixel_format), cv2.COLOR_RGB2BGR)
        path = staged / f"{item.part}_{item.camera}.png"
        done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise ConfigError(f"{picture.path}: cannot be written as PNG; export it again")
        path.write_bytes(encoded.tobytes())
    name = f"{item.part}_{item.camera}{path.suffix}"
    return Sample(name, path, str(item.part), label=item.kind, things=picture.things)


def _manifest(
    folder: Path,
    names: Sequence[str],
    about: Mapping[str, object],
    found: Sequence[_Picture],
    behind: Sequence[_Behind],
) -> None:
    """Write which label and which image stand behind each picture."""
    pictures = [
        {
            "file": name,
            "file_sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "part": str(picture.item.part),
            "camera": picture.item.camera,
            "sha256": picture.item.sha256,
            "label_id": picture.item.label_id,
            "kind": picture.item.kind,
            "state": picture.item.state.value,
        }
        for name, picture in zip(names, found, strict=True)
    ]
    text = json.dumps({**about, "pictures": pictures, "left_out": msgspec.to_builtins(behind)}, indent=1)
    (folder / MANIFEST).write_text(text + "\n", "utf-8")
