"""Name one labelled picture and one set of them; pixels and masks stay on disk until they are asked for."""

from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from appliance.schema.bundle import TaskName
from appliance.schema.frame import PixelFormat

GOOD = "good"
BACKGROUND = "background"


class Split(StrEnum):
    """Say what a picture may be used for, as its folder or file says."""

    TRAIN = "train"
    VALIDATION = "val"
    TEST = "test"
    ANY = ""
    """The data set does not say; splits are drawn by group."""


class Thing(Struct, frozen=True):
    """Name one object of a picture."""

    kind: str
    box: tuple[float, float, float, float]
    """(x1, y1, x2, y2) in frame pixels, x2 and y2 exclusive."""
    rings: tuple[tuple[float, ...], ...] = ()
    """Outlines as x1, y1, x2, y2, ... in frame pixels; empty when only the box is known or `counts` tell."""
    counts: tuple[int, ...] | str = ()
    """Run lengths of the mask over columns, as in COCO: numbers, or its compressed text."""


class Sample(Struct, frozen=True):
    """Name one labelled picture."""

    name: str
    """Path under the data set's folder, forward slashes: unique."""
    picture: Path
    group: str
    """Pictures of one part, lot or day share it and never stand on both sides of a split."""
    split: Split = Split.ANY
    label: str = ""
    """Class of the whole picture; empty where the layout has none. `good`: no defect."""
    things: tuple[Thing, ...] = ()
    mask: Path | None = None
    """Picture whose values are classes (semantic) or 0 and 255 (ground truth of one defect); None: nothing marked."""
    text: str | None = None
    template: Path | None = None
    """Picture of the same view without a defect."""


class Remark(Struct, frozen=True):
    """State one thing that the reader noticed."""

    kind: str
    """For example `empty mask`, `near duplicate`, `class imbalance`, `damaged file`."""
    refused: bool
    """True: the data set must not be used before it is mended."""
    text: str
    """One line: thing, value, limit, remedy."""
    names: tuple[str, ...] = ()
    """Samples or files it is about."""


class DataSet(Struct, frozen=True):
    """Hold what was found in a folder, in the order of names."""

    root: Path
    task: TaskName
    layout: str
    """How it was read, for people: `MVTec folders`, `COCO`, `YOLO`, `image + mask`, `OCR list`."""
    classes: tuple[str, ...]
    """classification, anomaly: `good` first. semantic: `background` first. detection, instance: the kinds, in the
    order of the file. ocr: empty."""
    samples: tuple[Sample, ...]
    pixel_format: PixelFormat
    """Mono8 when every picture is grey, whatever its channels; else RGB8."""
    grouped_by: str
    """`groups.csv`, `file names`, `likeness` (copies are kept together), or `` when each picture stands alone."""
    remarks: tuple[Remark, ...] = ()
