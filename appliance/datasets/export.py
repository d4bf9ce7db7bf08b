"""Answer `firstshift dataset export`: the same pictures and truths in another layout."""

import csv
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from appliance.datasets.coco_export import write_coco
from appliance.datasets.folder_export import folder_names, write_folder
from appliance.datasets.grouping import FILE
from appliance.datasets.label_studio import write_label_studio
from appliance.datasets.outgoing import Outgoing, outgoing
from appliance.datasets.reading import guess_task, read_data
from appliance.datasets.sample import DataSet
from appliance.datasets.truth import kinds_of
from appliance.datasets.voc import PICTURES, write_voc
from appliance.datasets.yolo_export import FOLDERS, write_yolo
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

FORMATS = ("coco", "yolo", "voc", "folder", "labelstudio")


class ExportOptions(Struct, frozen=True):
    """Take what the command line says."""

    data: Path
    format: str
    out: Path
    """A folder that does not exist yet."""
    task: str | None = None
    """None: the one that the layout is for."""


def run_export(options: ExportOptions) -> int:
    """Write the data set in another layout; the folder appears whole or not at all."""
    if options.format not in FORMATS:
        raise ConfigError(f"--format: {options.format!r} is not known; give one of {', '.join(FORMATS)}")
    if options.out.exists():
        raise ConfigError(f"--out: {options.out} exists already; name a new folder")
    data = read_data(options.data, TaskName(options.task) if options.task else guess_task(options.data))
    if options.format not in {"folder", "labelstudio"} and data.task is TaskName.OCR:
        raise ConfigError(f"format {options.format}: cannot tell texts; take folder or labelstudio")
    count = write_data(data, options.format, options.out)
    left_out = sum(len(remark.names) for remark in data.remarks if "left out" in remark.text)
    sys.stdout.write(f"{options.out}: {count} pictures as {options.format} for {data.task}, {left_out} left out\n")
    return 0


def write_data(data: DataSet, form: str, out: Path, beside: Callable[[Path, Sequence[str]], None] | None = None) -> int:
    """Write a data set in one of FORMATS; the folder appears whole or not at all. Gives the number of pictures.

    beside: writes what else the folder shall hold, given the folder and the path of each picture in it, in the order of
    the samples. ConfigError when the folder cannot be written, or the format cannot tell the task.
    """
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        names = _write(data, form, partial)
        if beside is not None:
            beside(partial, names)
        partial.rename(out)
    except OSError as cause:
        raise ConfigError(f"--out: {out} cannot be written ({cause.strerror}); free space or name another") from cause
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(names)


def _write(data: DataSet, form: str, folder: Path) -> list[str]:
    pictures = list(outgoing(data))
    names = _names(pictures, data, form)
    for picture, name in zip(pictures, names, strict=True):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture.sample.picture, place)
        if (template := picture.sample.template) is not None:
            (folder / "templates").mkdir(exist_ok=True)
            shutil.copyfile(template, folder / "templates" / f"{place.stem}{template.suffix}")
    match form:
        case "coco":
            write_coco(pictures, kinds_of(data), folder)
        case "yolo":
            write_yolo(pictures, kinds_of(data), folder, outlined=_outlined(pictures))
        case "voc":
            write_voc(pictures, folder)
        case "labelstudio":
            write_label_studio(pictures, kinds_of(data), folder)
        case "folder":
            write_folder(pictures, names, data, folder)
    if data.grouped_by:
        _write_groups(pictures, names, folder / FILE)
    return names


def _names(pictures: list[Outgoing], data: DataSet, form: str) -> list[str]:
    """Give the path of each picture in the export."""
    if form == "folder":
        return folder_names(pictures, data)
    first = {"voc": PICTURES}.get(form, "images")
    split = {picture.name: FOLDERS[picture.split] if form == "yolo" else "" for picture in pictures}
    return [str(PurePosixPath(first, split[picture.name], picture.name)) for picture in pictures]


def _outlined(pictures: Sequence[Outgoing]) -> bool:
    things = [thing for picture in pictures for thing in picture.things]
    return bool(things) and all(thing.rings or thing.counts for thing in things)


def _write_groups(pictures: Sequence[Outgoing], names: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "group"))
        writer.writerows((name, picture.sample.group) for picture, name in zip(pictures, names, strict=True))
