"""Read YOLO text files: boxes or outlines in shares of the picture, one file per picture."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from appliance.datasets.found import Found, Headers, Notes, is_picture, pictures_under, text_of
from appliance.datasets.header import Header
from appliance.datasets.sample import Sample, Split, Thing
from appliance.schema.errors import ConfigError

LAYOUT = "YOLO"
DARKNET = "obj.data"
"""Description of the older form, which darknet and Datumaro write."""
CLASSES = "classes.txt"
KEYS = {"train": Split.TRAIN, "val": Split.VALIDATION, "test": Split.TEST}
LARGEST_YAML = 1 << 20
"""Bytes; a description of classes and folders is shorter."""


def fits_yolo(root: Path) -> bool:
    """Say whether there is a YOLO description, or the classes, images and labels that Label Studio writes."""
    return _description(root) is not None or ((root / CLASSES).is_file() and (root / "labels").is_dir())


def read_yolo(root: Path, headers: Headers) -> Found:
    """Read every picture of the folders and lists that the description names, each with its text file."""
    notes = Notes()
    path = _description(root)
    if path is None:
        kinds, folders = _lines(root / CLASSES), [(Split.ANY, root / "images")]
    else:
        content = _content(path)
        kinds, folders = _names(path, content), list(_folders(path, content, root))
    if {split for split, _ in folders} == {Split.TRAIN}:  # nothing is held out, so nothing is stated
        folders = [(Split.ANY, folder) for _, folder in folders]
    samples: dict[str, Sample] = {}
    for split, folder in folders:
        for picture in _pictures(folder, root, notes):
            name = picture.relative_to(root).as_posix()
            if name in samples and samples[name].split is not split:
                text = "pictures are listed for two splits; list each for one"
                notes.add("split leakage", name, text, refused=True)
                continue
            header = headers.of(picture)
            things = _things(picture, root, kinds, header, notes) if header else ()
            if things is not None:
                samples[name] = Sample(name, picture, "", split, things=things)
    return Found(LAYOUT, kinds, tuple(samples.values()), notes.remarks())


def _description(root: Path) -> Path | None:
    names = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", DARKNET)
    return next((root / name for name in names if (root / name).is_file()), None)


def _content(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_YAML:
        raise ConfigError(
            f"{path}: {path.stat().st_size} bytes, at most {LARGEST_YAML} are read; name classes and folders"
        )
    try:
        text = text_of(path)
        content = _darknet(text, path.parent) if path.name == DARKNET else yaml.safe_load(text)
    except yaml.YAMLError as cause:
        raise ConfigError(f"{path}: is no YAML ({' '.join(str(cause).split())}); mend it") from cause
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}, must hold keys such as names, train and val")
    return content


def _darknet(text: str, root: Path) -> dict[str, Any]:
    """Read `key = value` lines; names stand in a file of their own."""
    pairs = (line.partition("=") for line in text.splitlines())
    content: dict[str, Any] = {key.strip(): value.strip() for key, _, value in pairs}
    names = _below(root, str(content.get("names", "")))
    held_out = content.get("valid") or content.get("val")
    return {**content, "names": list(_lines(names)) if names else None, "val": held_out}


def _names(path: Path, content: dict[str, Any]) -> tuple[str, ...]:
    """Give the kinds in the order of their numbers."""
    names = content.get("names")
    if isinstance(names, dict):
        numbers = sorted(key for key in names if isinstance(key, int))
        if numbers != list(range(len(names))):
            raise ConfigError(f"{path}: names have the numbers {list(names)}, must count up from 0; number them again")
        names = [names[number] for number in numbers]
    if not isinstance(names, list) or not names:
        raise ConfigError(f"{path}: `names` is {names!r}, must list the classes; add them")
    return tuple(str(name) for name in names)


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in text_of(path).splitlines() if line.strip())


def _folders(path: Path, content: dict[str, Any], root: Path) -> Iterator[tuple[Split, Path]]:
    """Yield folders and lists of pictures; paths of the machine that wrote the file are sought below the root."""
    stated = [(split, value) for key, split in KEYS.items() for value in _listed(content.get(key))]
    if not stated:
        raise ConfigError(f"{path}: names no folder as train, val or test; add one")
    base = str(content.get("path") or "")
    for split, value in stated:
        place = _below(root, f"{base}/{value}") or _below(root, value)
        if place is None:
            raise ConfigError(f"{path}: {value} is no folder or list below {root}; put it there or correct the path")
        yield split, place


def _listed(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _below(root: Path, stated: str) -> Path | None:
    """Give the longest end of a path that exists below the root; None without any."""
    parts = [part for part in stated.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    return next((root.joinpath(*parts[i:]) for i in range(len(parts)) if root.joinpath(*parts[i:]).exists()), None)


def _pictures(place: Path, root: Path, notes: Notes) -> Iterator[Path]:
    if place.is_dir():
        yield from pictures_under(place)
        return
    for line in _lines(place):
        picture = _below(root, line)
        if picture is None or not is_picture(picture.name):
            notes.add("missing picture", line, "listed pictures are not in the folder and left out; copy them there")
        else:
            yield picture


def _things(
    picture: Path, root: Path, kinds: tuple[str, ...], header: Header, notes: Notes
) -> tuple[Thing, ...] | None:
    """Read the picture's text file; no file says that nothing is in it. None when a line cannot be read."""
    path = _label_file(picture, root)
    if not path.is_file():
        notes.add(
            "no label file", picture.relative_to(root).as_posix(), "pictures have no label file and count as empty"
        )
        return ()
    things = []
    for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), 1):
        if line.strip():
            thing = _thing(line.split(), kinds, header)
            if thing is None:
                where = f"{path.relative_to(root).as_posix()}:{number}"
                text = "label lines are no class and shares of the picture, their pictures are left out; mend them"
                notes.add("unreadable label", where, text)
                return None
            things.append(thing)
    return tuple(dict.fromkeys(things))


def _label_file(picture: Path, root: Path) -> Path:
    """Give the text file: `labels` stands for the last `images` of the path."""
    parts = list(picture.relative_to(root).parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return root.joinpath(*parts).with_suffix(".txt")


def _thing(words: list[str], kinds: tuple[str, ...], header: Header) -> Thing | None:
    try:
        number, values = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        return None
    if not 0 <= number < len(kinds) or not all(map(math.isfinite, values)):
        return None
    if len(values) == 4:
        x, y, width, height = (v * size for v, size in zip(values, (header.cols, header.rows) * 2, strict=True))
        return Thing(kinds[number], (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    if len(values) < 6 or len(values) % 2:
        return None
    ring = tuple(v * size for v, size in zip(values, (header.cols, header.rows) * (len(values) // 2), strict=True))
    return Thing(kinds[number], (min(ring[0::2]), min(ring[1::2]), max(ring[0::2]), max(ring[1::2])), (ring,))
