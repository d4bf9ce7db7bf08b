"""Read pictures in folders: the MVTec layout with its ground truth, or one folder per class."""

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from appliance.datasets.found import SPLITS, Found, Headers, Notes, folders_in, is_picture, pictures_under
from appliance.datasets.sample import GOOD, Sample, Split

MVTEC = "MVTec folders"
PER_CLASS = "one folder per class"
GOOD_NAMES = frozenset({"good", "ok", "normal", "pass", "no_defect", "defect_free"})
"""Names in small letters of folders whose parts have no defect."""
NO_CLASS = frozenset({"images", "labels", "masks", "annotations", "templates", "ground_truth", *SPLITS})
TRUTH = "ground_truth"

Key = tuple[str, str]
"""Folder and stem of a picture that a mask belongs to."""


def fits_folders(root: Path) -> bool:
    """Say whether pictures lie in folders of classes."""
    return any(_class_folders(folder) for folder in (*_split_folders(root), root))


def read_folders(root: Path, headers: Headers) -> Found:  # noqa: ARG001  one form for all readers
    """Read every picture with its folder as label; ground truth masks belong to equal names of equal classes."""
    stated = [folder for folder in _split_folders(root) if _class_folders(folder)]
    samples: list[Sample] = []
    for folder in stated or [root]:
        split = SPLITS[folder.name.lower()] if stated else Split.ANY
        for class_folder in _class_folders(folder):
            samples += _samples(root, class_folder, split)
    notes = Notes()
    samples = _with_masks(root, samples, notes)
    kinds = tuple(sorted({sample.label for sample in samples} - {GOOD}))
    return Found(MVTEC if stated else PER_CLASS, kinds, tuple(samples), notes.remarks())


def _split_folders(root: Path) -> list[Path]:
    return [folder for folder in folders_in(root) if folder.name.lower() in SPLITS]


def _class_folders(folder: Path) -> list[Path]:
    return [inner for inner in folders_in(folder) if inner.name.lower() not in NO_CLASS and any(pictures_under(inner))]


def _samples(root: Path, folder: Path, split: Split) -> Iterator[Sample]:
    label = GOOD if folder.name.lower() in GOOD_NAMES else folder.name
    for path in pictures_under(folder):
        yield Sample(path.relative_to(root).as_posix(), path, "", split, label)


def _with_masks(root: Path, samples: list[Sample], notes: Notes) -> list[Sample]:
    """Give each defective sample its mask; where train and test share a name, it is the test picture's."""
    masks = _masks(root / TRUTH)
    owner: dict[Key, Sample] = {}
    for sample in sorted(samples, key=lambda sample: sample.split is not Split.TEST):
        key = (sample.picture.parent.name, sample.picture.stem)
        if key not in masks or sample.label == GOOD:
            continue
        if key in owner:
            notes.add("shared mask", sample.name, "pictures share the name of a test picture's mask; rename them")
        else:
            owner[key] = sample
    for key in masks.keys() - owner.keys():
        text = "masks belong to no picture; name each as its picture with _mask at the end"
        notes.add("mask without picture", masks[key].relative_to(root).as_posix(), text)
    mask_of = {sample.name: masks[key] for key, sample in owner.items()}
    return [replace(sample, mask=mask_of.get(sample.name)) for sample in samples]


def _masks(truth: Path) -> dict[Key, Path]:
    if not truth.is_dir():
        return {}
    return {
        (folder.name, path.stem.removesuffix("_mask")): path
        for folder in folders_in(truth)
        for path in sorted(folder.iterdir())
        if is_picture(path.name)
    }
