"""Write the folder layout of a task: folders of classes, pictures with masks, or pictures with a list of texts."""

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.datasets.mask_pairs import CLASSES
from appliance.datasets.outgoing import Outgoing
from appliance.datasets.sample import GOOD, DataSet, Split
from appliance.datasets.truth import class_mask
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError


def folder_names(pictures: list[Outgoing], data: DataSet) -> list[str]:
    """Give the path of each picture in the export."""
    if data.task in {TaskName.CLASSIFICATION, TaskName.ANOMALY}:
        return _class_names(pictures, data)
    return [str(PurePosixPath("images", picture.split.value, picture.name)) for picture in pictures]


def write_folder(pictures: list[Outgoing], names: list[str], data: DataSet, folder: Path) -> None:
    """Write what stands beside the pictures: masks, classes or texts. ConfigError for boxes, which no folder tells."""
    if data.task is TaskName.OCR:
        _write_texts(pictures, names, folder)
    elif data.task is TaskName.SEMANTIC:
        (folder / CLASSES).write_text("".join(f"{name}\n" for name in data.classes), "utf-8")
        for picture, name in zip(pictures, names, strict=True):
            path = (folder / "masks" / PurePosixPath(name).relative_to("images")).with_suffix(".png")
            _write_mask(path, class_mask(picture.sample, data))
    elif data.task is TaskName.ANOMALY:
        for picture, name in zip(pictures, names, strict=True):
            marked = picture.sample.mask is not None or picture.things
            if marked and picture.label != GOOD:
                told = PurePosixPath(name)
                place = folder / "ground_truth" / told.parent.name / f"{told.stem}_mask.png"
                _write_mask(place, np.where(class_mask(picture.sample, data) > 0, np.uint8(255), np.uint8(0)))
    elif data.task is not TaskName.CLASSIFICATION:
        raise ConfigError(f"format folder: {data.task} has boxes, which folders cannot tell; take coco, yolo or voc")


def _class_names(pictures: list[Outgoing], data: DataSet) -> list[str]:
    """Give `split/class/file`; where a file name is not unique in its class, the folders before it join it."""
    stated = any(picture.split for picture in pictures)
    short = [(picture.label, PurePosixPath(picture.name).stem) for picture in pictures]
    unique = len(set(short)) == len(short)
    names = []
    for picture in pictures:
        path = PurePosixPath(picture.name)
        file = path.name if unique else "__".join(part for part in path.parts if part != picture.label)
        split = (picture.split or Split.TRAIN).value if stated else ""
        names.append(str(PurePosixPath(split, picture.label, file)))
    if len(set(names)) < len(names):
        raise ConfigError(f"{data.root}: pictures share their file names; rename them, or take coco")
    return names


def _write_texts(pictures: list[Outgoing], names: list[str], folder: Path) -> None:
    for split in {picture.split for picture in pictures}:
        lines = [
            f"{name.removeprefix('images/')}\t{picture.text}\n"
            for picture, name in zip(pictures, names, strict=True)
            if picture.split is split
        ]
        name = f"labels_{split.value}.txt" if split else "labels.txt"
        (folder / name).write_text("".join(lines), "utf-8")


def _write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, content = cv2.imencode(".png", mask)
    path.write_bytes(content.tobytes())
