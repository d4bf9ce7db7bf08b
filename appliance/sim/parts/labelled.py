"""Show the pictures of any labelled data set as parts: what is not laid out as MVTec folders."""

from pathlib import Path
from typing import Final

from msgspec import Struct

from appliance.datasets.reading import read_data
from appliance.datasets.sample import GOOD, DataSet, Sample, Split
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

TASKS: Final = (TaskName.DETECTION, TaskName.SEMANTIC, TaskName.CLASSIFICATION, TaskName.OCR)
"""The first one that a folder serves says what its pictures show."""


class Labelled(Struct, frozen=True):
    """Name one picture and what it shows."""

    path: str
    defect: str | None
    """Kind of its first defect; None for a good part, and for one with a text to be read."""
    boxes: tuple[tuple[float, float, float, float], ...]
    """(x1, y1, x2, y2) of each defect that is marked by a box or an outline, px."""
    group: str
    training: bool


def labelled(root: Path) -> tuple[Labelled, ...]:
    """Give the pictures of a data set; ConfigError when there is none in any known layout."""
    faults = []
    for task in TASKS:
        try:
            data = read_data(root, task)
        except ConfigError as cause:
            faults.append(str(cause))
            continue
        return tuple(_labelled(sample, data) for sample in data.samples)
    raise ConfigError(faults[0])


def _labelled(sample: Sample, data: DataSet) -> Labelled:
    kinds = [thing.kind for thing in sample.things]
    marked = sample.mask is not None
    named = kinds[0] if kinds else sample.label if sample.label != GOOD else ""
    defect = named or ("defect" if marked else None)
    path = sample.picture.relative_to(data.root).as_posix()
    boxes = tuple(thing.box for thing in sample.things)
    return Labelled(path, defect or None, boxes, sample.group, sample.split is Split.TRAIN)
