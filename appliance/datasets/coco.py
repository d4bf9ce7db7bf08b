"""Read COCO JSON: boxes, polygons and run lengths, one file or one per split."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.datasets.found import Found, Headers, Notes, folders_in, split_of
from appliance.datasets.places import Places
from appliance.datasets.runs import box_of_runs, fills
from appliance.datasets.sample import Sample, Split, Thing
from appliance.schema.errors import ConfigError

LAYOUT = "COCO"
OTHER_TRUTH = ("person_keypoints", "panoptic", "stuff", "captions", "image_info")
"""How COCO itself names files that tell other things of the same pictures."""


class Runs(Struct, frozen=True):
    """Hold the run lengths of a mask."""

    size: tuple[int, int]
    counts: list[int] | str


class Annotation(Struct, frozen=True):
    """Hold what is read of one annotation."""

    image_id: int | str
    category_id: int
    bbox: list[float] | None = None
    segmentation: list[list[float]] | Runs | None = None
    iscrowd: int | bool = 0


class Picture(Struct, frozen=True):
    """Hold what is read of one image entry."""

    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None


class Category(Struct, frozen=True):
    """Hold one category."""

    id: int
    name: str


class Content(Struct, frozen=True):
    """Hold what is read of one COCO file."""

    images: list[Picture]
    categories: list[Category]
    annotations: list[Annotation] = []


def fits_coco(root: Path) -> bool:
    """Say whether there are COCO files."""
    return bool(_files(root))


def read_coco(root: Path, headers: Headers) -> Found:
    """Read all COCO files of the folder; ConfigError when one is no COCO file."""
    contents = [(path, _content(path)) for path in _files(root)]
    places, notes = Places(root), Notes()
    kinds = tuple(dict.fromkeys(category.name for _, content in contents for category in content.categories))
    samples: dict[str, Sample] = {}
    for path, content in contents:
        split = split_of(path.stem)
        if split is Split.ANY and path.parent != root:
            split = split_of(path.parent.name)
        for sample in _samples(content, split, places, headers, notes):
            known = samples.get(sample.name)
            if known is not None and known.split is not sample.split:
                text = "pictures are listed in the files of two splits; list each in one"
                notes.add("split leakage", sample.name, text, refused=True)
            samples[sample.name] = sample if known is None else _joined(known, sample)
    return Found(LAYOUT, kinds, tuple(samples.values()), notes.remarks())


def _files(root: Path) -> list[Path]:
    """Give the JSON files that list images and categories."""
    folders = [folder for folder in folders_in(root) if folder.name == "annotations" or split_of(folder.name)]
    files = sorted(path for folder in (root, *folders) for path in folder.glob("*.json") if _is_coco(path))
    if any(path.name.startswith("instances") for path in files):
        files = [path for path in files if not path.name.startswith(OTHER_TRUTH)]
    return files


def _is_coco(path: Path) -> bool:
    text = path.read_bytes()
    return b'"images"' in text and b'"categories"' in text


def _content(path: Path) -> Content:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Content)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise ConfigError(f"{path}: is no COCO file ({cause}); export it again") from cause


def _samples(content: Content, split: Split, places: Places, headers: Headers, notes: Notes) -> Iterator[Sample]:
    kind_of = {category.id: category.name for category in content.categories}
    annotations: dict[int | str, list[Annotation]] = defaultdict(list)
    for annotation in content.annotations:
        annotations[annotation.image_id].append(annotation)
    for picture in content.images:
        mine = annotations.pop(picture.id, [])
        name = places.one(picture.file_name, split, notes)
        if name is None:
            continue
        path = places.path(name)
        header = headers.of(path)
        if header is None:
            yield Sample(name, path, "", split)
            continue
        size = (header.rows, header.cols)
        if picture.height and picture.width and size != (picture.height, picture.width):
            text = "pictures are not of the size that their file states and are left out; export it again"
            notes.add("wrong size", name, text)
            continue
        sample = _sample(Sample(name, path, "", split), mine, kind_of, size, notes)
        if sample is not None:
            yield sample
    for image_id in annotations:
        notes.add(
            "unknown picture", str(image_id), "image ids of annotations are not listed, their annotations are lost"
        )


def _sample(
    empty: Sample, annotations: Iterable[Annotation], kind_of: Mapping[int, str], size: tuple[int, int], notes: Notes
) -> Sample | None:
    """Give the sample with its things; None when its truth cannot be read whole."""
    things: list[Thing] = []
    labels: dict[str, None] = {}
    for annotation in annotations:
        if annotation.category_id not in kind_of:
            text = "pictures have annotations of unlisted categories and are left out; list the category"
            notes.add("unknown category", empty.name, text)
            return None
        kind = kind_of[annotation.category_id]
        if annotation.iscrowd:  # Datumaro marks every mask so
            text = "pictures have regions marked as crowds, each is read as one object; outline objects one by one"
            notes.add("crowd", empty.name, text)
        if not annotation.bbox and not annotation.segmentation:
            labels[kind] = None
        elif (thing := _thing(kind, annotation, size)) is not None:
            things.append(thing)
        else:
            text = "pictures have outlines that cannot be read and are left out; give polygons of 3 points or more"
            notes.add("unreadable outline", empty.name, text)
            return None
    if len(labels) > 1:
        notes.add("several labels", empty.name, "pictures have several labels, of which the first is read; give one")
    return replace(empty, label=next(iter(labels), ""), things=tuple(things))


def _thing(kind: str, annotation: Annotation, size: tuple[int, int]) -> Thing | None:
    """Give the thing; None when its outline is none."""
    rings: tuple[tuple[float, ...], ...] = ()
    counts: tuple[int, ...] | str = ()
    outline = annotation.segmentation
    if isinstance(outline, Runs):
        if outline.size != size:
            return None
        counts = outline.counts if isinstance(outline.counts, str) else tuple(outline.counts)
        if not fills(counts, size):
            return None
    elif outline:
        rings = tuple(tuple(ring) for ring in outline)
        if any(len(ring) < 6 or len(ring) % 2 for ring in rings):
            return None
    try:
        return Thing(kind, _box(annotation.bbox, rings, counts, size), rings, counts)
    except ValueError:
        return None


def _box(
    bbox: list[float] | None, rings: tuple[tuple[float, ...], ...], counts: tuple[int, ...] | str, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    if bbox:
        x, y, width, height = bbox
        return x, y, x + width, y + height
    if counts:
        return box_of_runs(counts, size)
    xs, ys = [x for ring in rings for x in ring[0::2]], [y for ring in rings for y in ring[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _joined(one: Sample, other: Sample) -> Sample:
    """Join what two files tell of one picture; equal things count once."""
    things = tuple(dict.fromkeys((*one.things, *other.things)))
    return replace(one, label=one.label or other.label, things=things)
