"""Read a folder of labelled pictures in whatever known layout it is, for one task."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from appliance.datasets.coco import fits_coco, read_coco
from appliance.datasets.folders import fits_folders, read_folders
from appliance.datasets.found import Found, Headers, Notes, pictures_under
from appliance.datasets.grouping import grouped
from appliance.datasets.inspection import note_set, read_grey
from appliance.datasets.label_studio import fits_label_studio, read_label_studio
from appliance.datasets.leakage import without_leaks
from appliance.datasets.mask_pairs import fits_pairs, read_pairs
from appliance.datasets.ocr_list import fits_list, read_list
from appliance.datasets.sample import GOOD, DataSet, Sample, Split
from appliance.datasets.views import viewed
from appliance.datasets.voc import fits_voc, read_voc
from appliance.datasets.yolo import fits_yolo, read_yolo
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

FOLDERS, COCO, YOLO, VOC, STUDIO = "folders", "COCO", "YOLO", "VOC", "Label Studio"
PAIRS, LIST = "image + mask", "list"
FITS: dict[str, Callable[[Path], bool]] = {
    LIST: fits_list, PAIRS: fits_pairs, COCO: fits_coco, YOLO: fits_yolo, STUDIO: fits_label_studio, VOC: fits_voc,
    FOLDERS: fits_folders,
}  # fmt: skip
PREFERRED: dict[TaskName, tuple[str, ...]] = {
    TaskName.CLASSIFICATION: (FOLDERS, COCO, YOLO, STUDIO, VOC, PAIRS),
    TaskName.ANOMALY: (FOLDERS, COCO, YOLO, STUDIO, VOC, PAIRS),
    TaskName.DETECTION: (COCO, YOLO, STUDIO, VOC, PAIRS, FOLDERS),
    TaskName.INSTANCE: (COCO, YOLO, STUDIO, PAIRS, FOLDERS),
    TaskName.SEMANTIC: (PAIRS, COCO, YOLO, STUDIO, FOLDERS),
    TaskName.OCR: (LIST, STUDIO),
}
"""Layouts that serve a task, the most telling first."""
READERS: dict[str, Callable[[Path, Headers], Found]] = {
    LIST: read_list, PAIRS: read_pairs, COCO: read_coco, YOLO: read_yolo, STUDIO: read_label_studio, VOC: read_voc,
    FOLDERS: read_folders,
}  # fmt: skip


def read_data(root: Path, task: TaskName) -> DataSet:
    """Give what the folder holds for the task, with remarks; ConfigError when nothing in it can be used.

    Pictures are decoded to compare them with each other (likeness.py), else only their headers and ends are read.
    """
    try:
        return _read(root, task)
    except OSError as cause:
        raise _out_of_reach(root, cause) from cause


def guess_task(root: Path) -> TaskName:
    """Give the task that the folder's layout is for; ConfigError when it is in no known layout."""
    if not root.is_dir():
        raise ConfigError(f"{root}: is no folder; give the folder of a data set")
    try:
        return _guessed(root)
    except OSError as cause:
        raise _out_of_reach(root, cause) from cause


def _guessed(root: Path) -> TaskName:
    layouts = [name for name, fits in FITS.items() if fits(root)]
    if not layouts:
        raise _unknown(root)
    match layouts[0]:
        case "list":
            return TaskName.OCR
        case "image + mask":
            return TaskName.SEMANTIC
        case "folders":
            training = {sample.label for sample in read_folders(root, Headers()).samples if sample.split is Split.TRAIN}
            return TaskName.ANOMALY if training == {GOOD} else TaskName.CLASSIFICATION
    samples = READERS[layouts[0]](root, Headers()).samples
    things = [thing for sample in samples for thing in sample.things]
    if not things:
        texts = any(sample.text is not None for sample in samples)
        return TaskName.OCR if texts else TaskName.CLASSIFICATION
    outlined = all(thing.rings or thing.counts for thing in things)
    return TaskName.INSTANCE if outlined else TaskName.DETECTION


def _out_of_reach(root: Path, cause: OSError) -> ConfigError:
    return ConfigError(f"{cause.filename or root}: cannot be read ({cause.strerror}); give access to it")


def _read(root: Path, task: TaskName) -> DataSet:
    headers = Headers()
    found = _found(root, task, headers)
    notes = Notes()
    sound = _sound(found.samples, root, headers, notes)
    classes, samples = viewed(replace(found, samples=sound), task, headers, notes)
    if not samples:
        said = "; ".join(remark.text for remark in (*found.remarks, *notes.remarks())[:3]) or "it holds no picture"
        raise ConfigError(f"{root}: 0 pictures of use for {task}, at least 1 is needed: {said}")
    samples = _with_templates(root, _splits_for(task, samples, notes))
    names = {sample.name: sample.picture for sample in found.samples}
    samples, grouped_by = grouped(root, samples, names, notes)
    samples, grouped_by = without_leaks(samples, grouped_by, headers, notes)
    if not samples:
        raise ConfigError(f"{root}: 0 pictures can be decoded: {notes.remarks()[0].text}")
    note_set(samples, classes, task, headers, notes)
    known = (headers.of(sample.picture) for sample in samples)
    grey = read_grey(header.channels for header in known if header)
    return DataSet(
        root,
        task,
        found.layout,
        classes,
        tuple(sorted(samples, key=lambda sample: sample.name)),
        PixelFormat.MONO8 if grey else PixelFormat.RGB8,
        grouped_by,
        (*found.remarks, *notes.remarks()),
    )


def _found(root: Path, task: TaskName, headers: Headers) -> Found:
    """Read the most telling layout; ConfigError when there is none that serves the task."""
    if not root.is_dir():
        raise ConfigError(f"{root}: is no folder; give the folder of a data set")
    layout = next((name for name in PREFERRED[task] if FITS[name](root)), None)
    if layout is None:
        other = [name for name, fits in FITS.items() if fits(root)]
        if not other:
            raise _unknown(root)
        raise ConfigError(f"{root}: its layout, {other[0]}, says nothing for {task}; {task} reads {_wanted(task)}")
    return READERS[layout](root, headers)


def _unknown(root: Path) -> ConfigError:
    count = sum(1 for _ in pictures_under(root))
    return ConfigError(f"{root}: {count} pictures, in none of the known layouts; arrange it as {', '.join(FITS)}")


def _wanted(task: TaskName) -> str:
    return ", ".join(PREFERRED[task])


def _sound(samples: Sequence[Sample], root: Path, headers: Headers, notes: Notes) -> tuple[Sample, ...]:
    """Leave out pictures that cannot be read."""
    kept = []
    for sample in samples:
        if headers.of(sample.picture) is None:
            reason = headers.damaged[sample.picture].removeprefix(f"{root}/")
            notes.add("damaged file", sample.name, f"pictures are left out, as {reason}")
        else:
            kept.append(sample)
    return tuple(kept)


def _with_templates(root: Path, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    folder = root / "templates"
    if not folder.is_dir():
        return tuple(samples)
    by_stem = {path.stem: path for path in pictures_under(folder)}
    # One picture of the product without a defect serves all of its parts.
    common = next(iter(by_stem.values())) if len(by_stem) == 1 else None
    return tuple(replace(sample, template=by_stem.get(sample.picture.stem, common)) for sample in samples)


def _splits_for(task: TaskName, samples: Sequence[Sample], notes: Notes) -> tuple[Sample, ...]:
    """Take the stated splits, unless training pictures show no defect and the task learns from defects."""
    training = [sample for sample in samples if sample.split is Split.TRAIN]
    defects = any(sample.things or sample.label not in {"", GOOD} for sample in training)
    if task in {TaskName.ANOMALY, TaskName.OCR} or not training or defects:
        return tuple(samples)
    notes.add("splits not used", "train", f"folder holds good pictures only, so splits for {task} are drawn by group")
    return tuple(replace(sample, split=Split.ANY) for sample in samples)
