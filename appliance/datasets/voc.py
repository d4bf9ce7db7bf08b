"""Read and write Pascal VOC: one XML file of boxes per picture, and lists of the pictures of each split."""

import math
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from appliance.datasets.found import Found, Headers, Notes, pictures_under, split_of, text_of
from appliance.datasets.outgoing import Outgoing
from appliance.datasets.sample import Sample, Split, Thing

LAYOUT = "Pascal VOC"
ANNOTATIONS, PICTURES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"
LABEL_MAP = "labelmap.txt"


def fits_voc(root: Path) -> bool:
    """Say whether there are VOC folders."""
    return (root / ANNOTATIONS).is_dir() and (root / PICTURES).is_dir()


def read_voc(root: Path, headers: Headers) -> Found:
    """Read every picture that has an XML file.

    Corners are read as Label Studio, Datumaro and LabelImg write them, from 0 with the end exclusive; the challenge's
    own files count from 1, so their boxes are up to a pixel off.
    """
    notes = Notes()
    splits = _splits(root / LISTS)
    samples = []
    for picture in pictures_under(root / PICTURES):
        name = picture.relative_to(root).as_posix()
        stem = picture.relative_to(root / PICTURES).with_suffix("").as_posix()
        path = (root / ANNOTATIONS / stem).with_name(picture.stem + ".xml")
        if not path.is_file():
            notes.add("no label file", name, "pictures have no XML file and are left out; write one, empty if good")
            continue
        things = _things(path, name, notes)
        if things is not None and headers.of(picture) is not None:
            samples.append(Sample(name, picture, "", splits.get(stem, Split.ANY), things=things))
    kinds = tuple(sorted({thing.kind for sample in samples for thing in sample.things}))
    return Found(LAYOUT, kinds, tuple(samples), notes.remarks())


def write_voc(pictures: list[Outgoing], folder: Path) -> None:
    """Write boxes as XML files, the lists of splits, and the classes as Datumaro and CVAT want them declared."""
    kinds = sorted({thing.kind for picture in pictures for thing in picture.things})
    declared = "".join(f"{kind}:::\n" for kind in ("background", *kinds))
    (folder / LABEL_MAP).write_text(f"# label:color_rgb:parts:actions\n{declared}", "utf-8")
    lists: dict[Split, list[str]] = {}
    for picture in pictures:
        stem = picture.name.rpartition(".")[0]
        path = folder / ANNOTATIONS / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_xml(picture), "utf-8")
        lists.setdefault(picture.split, []).append(stem)
    (folder / LISTS).mkdir(parents=True)
    for split, stems in lists.items():
        (folder / LISTS / f"{split.value or 'all'}.txt").write_text("".join(f"{stem}\n" for stem in stems), "utf-8")


def _splits(folder: Path) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for path in sorted(folder.glob("*.txt")):
        split = split_of(path.stem)
        if path.stem == "trainval" or "_" in path.stem or not split:  # CLASS_train.txt says which class is shown
            continue
        for line in text_of(path).splitlines():
            splits[line.strip()] = split
    return splits


def _things(path: Path, name: str, notes: Notes) -> tuple[Thing, ...] | None:
    text = path.read_bytes()
    try:
        if b"<!" in text.replace(b"<!--", b""):  # entities can grow without bound
            raise ET.ParseError("declares a document type")
        tree = ET.fromstring(text)  # noqa: S314  a document without declarations expands to nothing
        return tuple(_thing(node) for node in tree.iter("object"))
    except (ET.ParseError, ValueError, TypeError):
        notes.add("unreadable label", name, "pictures have an XML file that cannot be read and are left out; mend it")
        return None


def _thing(node: ET.Element) -> Thing:
    kind = (node.findtext("name") or "").strip()
    x1, y1, x2, y2 = (float(node.findtext(f"bndbox/{key}") or "nan") for key in ("xmin", "ymin", "xmax", "ymax"))
    if not kind or not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise ValueError("an object has no name or box")
    return Thing(kind, (x1, y1, x2, y2))


def _xml(picture: Outgoing) -> str:
    objects = "".join(_object(thing) for thing in picture.things)
    size = f"<size><width>{picture.cols}</width><height>{picture.rows}</height><depth>{picture.channels}</depth></size>"
    return f"<annotation>\n <filename>{escape(picture.name)}</filename>\n {size}\n{objects}</annotation>\n"


def _object(thing: Thing) -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{key}>{value:.12g}</{key}>" for key, value in zip(keys, thing.box, strict=True))
    return f" <object><name>{escape(thing.kind)}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>\n"
