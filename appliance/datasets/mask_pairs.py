"""Read pictures and masks of equal names in two folders, with the classes of the masks' values in a text file."""

from pathlib import Path

from appliance.datasets.found import Found, Headers, Notes, pictures_under, split_of, text_of
from appliance.datasets.sample import BACKGROUND, Sample, Split
from appliance.schema.errors import ConfigError

IMAGE_AND_MASK = "image + mask"
CLASSES = "classes.txt"
NOTHING = frozenset({"background", "_background_", "__background__", "bg", "good", "ok"})
"""Names in small letters of value 0 in a list of classes."""


def fits_pairs(root: Path) -> bool:
    """Say whether there are pictures and masks side by side."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def read_pairs(root: Path, headers: Headers) -> Found:  # noqa: ARG001  one form for all readers
    """Read every picture with the mask of the same path but for its suffix; ConfigError without `classes.txt`.

    Line n of `classes.txt` names value n of the masks, from 0, which is the background and may be left out.
    """
    notes = Notes()
    kinds = _kinds(root / CLASSES, notes)
    masks = {_stem(path, root / "masks"): path for path in pictures_under(root / "masks")}
    samples = []
    for path in pictures_under(root / "images"):
        name = path.relative_to(root).as_posix()
        mask = masks.pop(_stem(path, root / "images"), None)
        if mask is None:
            notes.add(
                "no mask", name, "pictures have no mask of the same name and are left out; add one, black if good"
            )
            continue
        folder = path.parent.relative_to(root / "images")
        split = split_of(folder.parts[0]) if folder.parts else Split.ANY
        samples.append(Sample(name, path, "", split, mask=mask))
    for mask in masks.values():
        text = "masks belong to no picture; name each as its picture"
        notes.add("mask without picture", mask.relative_to(root).as_posix(), text)
    return Found(IMAGE_AND_MASK, kinds, tuple(samples), notes.remarks())


def _stem(path: Path, root: Path) -> str:
    stem = path.relative_to(root).with_suffix("").as_posix()
    return stem.removesuffix("_mask")


def _kinds(path: Path, notes: Notes) -> tuple[str, ...]:
    if not path.is_file():
        raise ConfigError(f"{path}: does not exist; list the classes of the masks' values in it, one per line from 0")
    names = [line.strip() for line in text_of(path).splitlines() if line.strip()]
    if len(set(names)) != len(names) or not names:
        raise ConfigError(
            f"{path}: {len(names)} names, {len(set(names))} different; name each class once, one per line"
        )
    if names[0].lower() not in NOTHING:
        notes.add(
            "classes from 1", f"1 {names[0]}", f"is the first class, since {CLASSES} has no line for {BACKGROUND}"
        )
        return tuple(names)
    return tuple(names[1:])
