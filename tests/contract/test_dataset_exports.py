"""Protect real exports of other tools, and that what is exported reads the same again."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import msgspec
import numpy as np
import pytest

from appliance.datasets.export import ExportOptions, run_export
from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet, Split
from appliance.datasets.truth import class_mask, things_of
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from tests.unit.dataset_rig import SIZE, coco, mask_of, mvtec, store, texture, write

OLD_NUMPY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""pycocotools 2.0.11 decodes by numpy 1's protocol."""
BOX = {"image_id": 1, "category_id": 1, "bbox": [5, 6, 10.5, 6.25]}
RING = {"image_id": 2, "category_id": 2, "bbox": [20, 10, 8, 9], "segmentation": [[20.5, 10, 28, 10, 28, 19, 20, 19]]}
SIZE_OF_EXPORTS = (40, 60)


def outlined(root: Path) -> Path:
    """Lay out polygons and both kinds of run lengths, made by COCO's own code."""
    oracle = pytest.importorskip("pycocotools.mask", reason="pycocotools makes the file; it comes with the test extra")
    mask = mask_of((30, 20, 50, 40), value=1)
    mask[25:30, 35:40] = 0
    packed = oracle.encode(np.asfortranarray(mask))
    x, y, width, height = oracle.toBbox(packed).tolist()
    flat = mask.T.ravel()
    lengths = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    rle = {"image_id": 3, "category_id": 1, "bbox": [x, y, width, height]}
    size = list(SIZE)
    return coco(root, 4, [
        RING,
        {**rle, "segmentation": {"size": size, "counts": packed["counts"].decode()}},
        {**rle, "image_id": 1, "segmentation": {"size": size, "counts": lengths}},
    ])  # fmt: skip


def told(data: DataSet) -> list[tuple]:
    """Give what a data set tells of each picture, without the folders that a layout puts it into."""
    rows = []
    for sample in data.samples:
        things = things_of(sample, data) if data.task is not TaskName.OCR else None
        rows.append((
            Path(sample.name).stem,
            sample.split,
            sample.text,
            sample.template is not None,
            [data.classes[kind] for kind in things.kinds] if things else [],
            things.boxes.round(6).tolist() if things else [],
            [mask.tolist() for mask in things.masks] if things else [],
        ))  # fmt: skip
    return sorted(rows, key=lambda row: row[0])


def groups(data: DataSet) -> set[frozenset[str]]:
    members: dict[str, set[str]] = {}
    for sample in data.samples:
        members.setdefault(sample.group, set()).add(Path(sample.name).stem)
    return {frozenset(names) for names in members.values()}


@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelstudio"])
def test_boxes_come_back(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Boxes, kinds, groups and templates are the same after an export to each format that can tell them."""
    root = coco(tmp_path / "in", 3, [BOX, {**BOX, "image_id": 2, "category_id": 2}])
    write(root / "groups.csv", "name,group\np1.png,A\np2.png,A\np3.png,B\n")
    store(root / "templates/p2.png", texture(40))
    out = tmp_path / "out"
    assert run_export(ExportOptions(root, form, out, "detection")) == 0
    before, after = read_data(root, TaskName.DETECTION), read_data(out, TaskName.DETECTION)

    assert told(after) == told(before)
    assert groups(after) == groups(before) == {frozenset({"p1", "p2"}), frozenset({"p3"})}
    assert set(after.classes) == set(before.classes)
    assert "3 pictures" in capsys.readouterr().out


def test_splits_come_back(tmp_path: Path) -> None:
    """Stated splits survive every format."""
    root = tmp_path / "in"
    for seed, split in enumerate(("train", "val", "test")):
        store(root / f"images/{split}/{split}.png", texture(seed))
        write(root / f"labels/{split}/{split}.txt", "0 0.5 0.5 0.25 0.5\n")
    write(root / "data.yaml", "train: images/train\nval: images/val\ntest: images/test\nnames: [crack]\n")
    expected = {("train", Split.TRAIN), ("val", Split.VALIDATION), ("test", Split.TEST)}
    found = {}
    for form in ("coco", "yolo", "voc", "labelstudio"):
        run_export(ExportOptions(root, form, tmp_path / form))
        data = read_data(tmp_path / form, TaskName.DETECTION)
        found[form] = {(Path(s.name).stem, s.split) for s in data.samples}

    assert found == dict.fromkeys(("coco", "yolo", "voc", "labelstudio"), expected)


def test_outlines_come_back_from_coco(tmp_path: Path) -> None:
    """Polygons stay polygons and run lengths stay as they are, pixel by pixel, holes too."""
    root, out = outlined(tmp_path / "in"), tmp_path / "out"
    run_export(ExportOptions(root, "coco", out))
    before, after = read_data(root, TaskName.INSTANCE), read_data(out, TaskName.INSTANCE)

    assert len(before.samples) == 4
    assert told(after) == told(before)
    hole = things_of(before.samples[2], before).masks[0]
    assert (hole[22, 32], hole[27, 37]) == (True, False)


@pytest.mark.parametrize("form", ["yolo", "labelstudio"])
def test_outlines_come_back_as_polygons(tmp_path: Path, form: str) -> None:
    """A polygon is the same again; run lengths become the outline of their largest piece."""
    root, out = outlined(tmp_path / "in"), tmp_path / "out"
    run_export(ExportOptions(root, form, out))
    before, after = read_data(root, TaskName.INSTANCE), read_data(out, TaskName.INSTANCE)
    ring = np.array(next(s for s in after.samples if s.name.endswith("p2.png")).things[0].rings[0])
    masks = [things_of(data.samples[2], data).masks[0] for data in (before, after)]
    masks[0][25:30, 35:40] = True

    assert np.allclose(ring, RING["segmentation"][0], atol=1e-6)
    assert (masks[0] ^ masks[1]).sum() < 0.15 * masks[0].sum()


@OLD_NUMPY
def test_coco_file_is_read_by_cocos_own_code(tmp_path: Path) -> None:
    """Pycocotools loads the export and finds the same masks."""
    api = pytest.importorskip("pycocotools.coco", reason="pycocotools is the oracle; it comes with the test extra")
    root, out = mvtec(tmp_path / "in"), tmp_path / "out"
    run_export(ExportOptions(root, "coco", out, "instance"))
    data = read_data(root, TaskName.INSTANCE)
    theirs = api.COCO(out / "annotations/instances_default.json")
    by_name = {image["file_name"]: image["id"] for image in theirs.dataset["images"]}
    for sample in data.samples:
        found = [theirs.annToMask(a).astype(bool) for a in theirs.imgToAnns[by_name[sample.name]]]

        assert [m.tolist() for m in found] == [m.tolist() for m in things_of(sample, data).masks]


@pytest.mark.parametrize("task", [TaskName.ANOMALY, TaskName.CLASSIFICATION, TaskName.SEMANTIC])
def test_folders_come_back(tmp_path: Path, task: TaskName) -> None:
    """Labels, splits and masks are the same after an export to folders."""
    root, out = mvtec(tmp_path / "in"), tmp_path / "out"
    write(root / "groups.csv", "name,group\ncrack0,A\ncrack1,A\n")
    run_export(ExportOptions(root, "folder", out, task))
    before, after = read_data(root, task), read_data(out, task)

    assert after.classes == before.classes
    assert groups(after) == groups(before)
    assert {(Path(s.name).stem, s.split) for s in after.samples} == {
        (Path(s.name).stem, s.split) for s in before.samples
    }
    if task is not TaskName.SEMANTIC:
        assert {(Path(s.name).stem, s.label) for s in after.samples} == {
            (Path(s.name).stem, s.label) for s in before.samples
        }
    if task is not TaskName.CLASSIFICATION:
        masks = [
            {Path(sample.name).stem: class_mask(sample, data).tolist() for sample in data.samples}
            for data in (before, after)
        ]
        assert masks[0] == masks[1]


@pytest.mark.parametrize("form", ["folder", "labelstudio"])
def test_texts_come_back(tmp_path: Path, form: str) -> None:
    """Texts of any script survive."""
    root, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate("ab"):
        store(root / f"images/{name}.png", texture(seed))
    write(root / "labels.txt", "a.png\tLOT 42 <&>\nb.png\t製造 №7\n")
    run_export(ExportOptions(root, form, out))

    assert told(read_data(out, TaskName.OCR)) == told(read_data(root, TaskName.OCR))


@pytest.mark.parametrize(
    ("form", "task", "said"),
    [
        ("tfrecord", None, "--format: 'tfrecord' is not known; give one of coco, yolo"),
        ("folder", "detection", "has boxes, which folders cannot tell"),
        ("coco", "ocr", "ocr"),
    ],
)
def test_exports_that_cannot_be(tmp_path: Path, form: str, task: str | None, said: str) -> None:
    """What a format cannot tell is refused, and nothing is left behind."""
    root = coco(tmp_path / "in", 2, [BOX])

    with pytest.raises(ConfigError, match=said):
        run_export(ExportOptions(root, form, tmp_path / "out", task))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle leaves no folder, and a folder that exists is never touched."""
    root = coco(tmp_path / "in", 3, [BOX])
    asked = []

    def interrupted(*paths: Path) -> None:
        asked.append(paths)
        if len(asked) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_export(ExportOptions(root, "coco", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]

    write(tmp_path / "out/mine.txt", "mine")
    with pytest.raises(ConfigError, match="out exists already; name a new folder"):
        run_export(ExportOptions(root, "coco", tmp_path / "out"))
    assert (tmp_path / "out/mine.txt").read_text("utf-8") == "mine"


DATUMARO = {
    "info": {"version": ""}, "licenses": [{"name": "", "id": 0, "url": ""}],
    "categories": [{"id": 1, "name": "scratch", "supercategory": ""}, {"id": 2, "name": "dent", "supercategory": ""}],
    "images": [{"id": 1, "width": 60, "height": 40, "file_name": "part 0.jpg", "license": 0, "flickr_url": "",
                "coco_url": "", "date_captured": 0}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "area": 120.0,
         "bbox": [3.0, 4.0, 10.0, 12.0], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[30.0, 5.0, 50.0, 5.0, 40.0, 30.0]],
         "area": 250.0, "bbox": [30.0, 5.0, 20.0, 25.0], "iscrowd": 0},
        {"id": 3, "image_id": 1, "category_id": 1, "segmentation": {"counts": [405, 10, 30, 10, 30, 3, 2, 5, 30, 3, 2,
         5, 30, 10, 30, 10, 30, 10, 30, 10, 30, 10, 30, 10, 30, 10, 30, 10, 1545], "size": [40, 60]}, "area": 116.0,
         "bbox": [10.0, 5.0, 12.0, 10.0], "iscrowd": 1},
    ],
}  # fmt: skip
"""What Datumaro 1.13.12 wrote (`coco`) of a box, a polygon and a mask; the mask is a crowd to it."""


def test_coco_of_datumaro(tmp_path: Path) -> None:
    """Datumaro puts pictures into folders of splits, writes other truths beside, and calls every mask a crowd."""
    for number, split in enumerate(("train", "val")):
        store(tmp_path / f"images/{split}/part {number}.jpg", texture(number, SIZE_OF_EXPORTS))
        store(tmp_path / f"annotations/panoptic_{split}/part {number}.png", texture(9, SIZE_OF_EXPORTS))
        text = json.dumps(DATUMARO).replace("part 0", f"part {number}")
        for kind in ("instances", "stuff", "image_info", "panoptic"):
            write(tmp_path / f"annotations/{kind}_{split}.json", text)
    data = read_data(tmp_path, TaskName.DETECTION)
    things = things_of(data.samples[0], msgspec.structs.replace(data, task=TaskName.INSTANCE))

    assert [(s.name, s.split) for s in data.samples] == [
        ("images/train/part 0.jpg", Split.TRAIN), ("images/val/part 1.jpg", Split.VALIDATION)
    ]  # fmt: skip
    assert things.boxes.tolist() == [[3, 4, 13, 16], [30, 5, 50, 30], [10, 5, 22, 15]]
    assert int(things.masks[2].sum()) == 116
    assert [r.kind for r in data.remarks] == ["crowd", "few parts"]


@pytest.mark.parametrize("form", ["ultralytics", "darknet"])
def test_yolo_of_datumaro(tmp_path: Path, form: str) -> None:
    """Datumaro lists pictures in text files, by paths of its own; the older form has no data.yaml."""
    folder = {"ultralytics": "images/{}", "darknet": "obj_{}_data"}[form]
    for number, split in enumerate(("train", "val")):
        place = folder.format(split)
        store(tmp_path / place / f"part {number}.jpg", texture(number, SIZE_OF_EXPORTS))
        labels = place.replace("images", "labels")
        write(tmp_path / labels / f"part {number}.txt", "0 0.133333 0.250000 0.166667 0.300000\n")
        first = "./" if form == "ultralytics" else "data/"
        write(tmp_path / f"{split}.txt", f"{first}{place}/part {number}.jpg\n")
    if form == "ultralytics":
        write(tmp_path / "data.yaml", "train: train.txt\nval: val.txt\nnames:\n  0: scratch\n  1: dent\n")
    else:
        write(tmp_path / "obj.names", "scratch\ndent\n")
        write(
            tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nval = data/val.txt\nnames = data/obj.names\n"
        )
    data = read_data(tmp_path, TaskName.DETECTION)

    assert [s.split for s in data.samples] == [Split.TRAIN, Split.VALIDATION]
    assert np.allclose(data.samples[0].things[0].box, (3, 4, 13, 16), atol=1e-3)


LABEL_STUDIO = r"""{
  "images": [
    {"width": 60, "height": 40, "id": 0, "file_name": "%s\/0a-part0.jpg"},
    {"width": 60, "height": 40, "id": 1, "file_name": "%s\/1a-part1.jpg"}
  ],
  "categories": [{"id": 0, "name": "dent"}, {"id": 1, "name": "scratch"}],
  "annotations": [
    {"id": 0, "image_id": 0, "category_id": 1, "segmentation": [], "bbox": [6.0, 8.0, 18.0, 10.0], "ignore": 0,
     "iscrowd": 0, "area": 180.0},
    {"id": 1, "image_id": 0, "category_id": 0, "segmentation": [[30.0, 4.0, 48.0, 4.0, 39.0, 28.0]],
     "bbox": [30.0, 4.0, 18.0, 24.0], "ignore": 0, "iscrowd": 0, "area": 216.0}
  ],
  "info": {"year": 2026, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""}
}"""
"""What label-studio-converter 0.0.59 wrote as COCO of a box and a polygon; kinds count from 0."""


@pytest.mark.parametrize("folder", ["images", r"\/srv\/label-studio\/media\/upload\/1", r"images\\1"])
def test_coco_of_label_studio(tmp_path: Path, folder: str) -> None:
    """The file lies beside images/, names other machines' paths, and counts kinds from 0."""
    for number in range(2):
        store(tmp_path / f"images/{number}a-part{number}.jpg", texture(number, SIZE_OF_EXPORTS))
    write(tmp_path / "result.json", LABEL_STUDIO % (folder, folder))
    data = read_data(tmp_path, TaskName.DETECTION)

    assert data.classes == ("dent", "scratch")
    assert [[(t.kind, t.box) for t in s.things] for s in data.samples] == [
        [("scratch", (6, 8, 24, 18)), ("dent", (30, 4, 48, 28))], []
    ]  # fmt: skip


def test_yolo_of_label_studio(tmp_path: Path) -> None:
    """There is no data.yaml, and boxes and outlines stand in one file."""
    for number in range(2):
        store(tmp_path / f"images/{number}a-part{number}.jpg", texture(number, SIZE_OF_EXPORTS))
    write(tmp_path / "labels/0a-part0.txt", "1 0.25 0.325 0.3 0.25\n0 0.5 0.1 0.8 0.1 0.65 0.7\n")
    write(tmp_path / "labels/1a-part1.txt", "")
    write(tmp_path / "classes.txt", "dent\nscratch\n")
    write(tmp_path / "notes.json", '{"categories": [{"id": 0, "name": "dent"}], "info": {"version": "1.0"}}')
    data = read_data(tmp_path, TaskName.DETECTION)

    assert data.layout == "YOLO"
    assert [[(t.kind, np.round(t.box, 6).tolist()) for t in s.things] for s in data.samples] == [
        [("scratch", [6, 8, 24, 18]), ("dent", [30, 4, 48, 28])], []
    ]  # fmt: skip


def test_voc_of_label_studio(tmp_path: Path) -> None:
    """Corners are read as written, and a file that declares entities is not opened."""
    box = "<bndbox><xmin>6</xmin><ymin>8</ymin><xmax>24</xmax><ymax>18</ymax></bndbox>"
    text = f"<annotation><filename>a.jpg</filename><object><name>scratch</name>{box}</object></annotation>"
    for number, start in enumerate(('<?xml version="1.0"?>\n', '<!DOCTYPE a [<!ENTITY b "bb">]>')):
        store(tmp_path / f"JPEGImages/a{number}.jpg", texture(number, SIZE_OF_EXPORTS))
        write(tmp_path / f"Annotations/a{number}.xml", start + text)
    data = read_data(tmp_path, TaskName.DETECTION)

    assert [(s.name, [t.box for t in s.things]) for s in data.samples] == [("JPEGImages/a0.jpg", [(6, 8, 24, 18)])]
    assert {"unreadable label"} <= {r.kind for r in data.remarks}


def test_tasks_of_label_studio(tmp_path: Path) -> None:
    """Tasks without a finished annotation are left out by name; turned boxes are not read as upright ones."""
    for number in range(4):
        store(tmp_path / f"images/{number}.jpg", texture(number, SIZE_OF_EXPORTS))
    value = {"x": 10, "y": 20, "width": 30, "height": 25, "rotation": 0, "rectanglelabels": ["scratch"]}
    region = {"type": "rectanglelabels", "value": value, "original_width": 60, "original_height": 40}
    turned = {**region, "value": {**value, "rotation": 15}}
    results = ([{"result": [region]}], [], [{"result": [turned]}], [{"result": [region], "was_cancelled": True}])
    tasks = [{"id": i, "data": {"image": f"/data/upload/1/{i}.jpg"}, "annotations": a} for i, a in enumerate(results)]
    write(tmp_path / "project.json", json.dumps(tasks))
    data = read_data(tmp_path, TaskName.DETECTION)

    assert [(s.name, s.things[0].box) for s in data.samples] == [("images/0.jpg", (6, 8, 24, 18))]
    assert [(r.kind, r.names) for r in data.remarks[:2]] == [
        ("not annotated", ("images/1.jpg", "images/3.jpg")),
        ("unreadable outline", ("images/2.jpg",)),
    ]


def test_interface_of_label_studio_is_xml(tmp_path: Path) -> None:
    """The labelling interface beside the tasks names every kind, whatever letters it has."""
    root = coco(tmp_path / "in", 2, [BOX, {**BOX, "image_id": 2, "category_id": 2}])
    text = (root / "annotations/all.json").read_text("utf-8").replace('"dent"', '"a < b & \\"c\\""')
    write(root / "annotations/all.json", text)
    run_export(ExportOptions(root, "labelstudio", tmp_path / "out"))
    written = (tmp_path / "out/interface.xml").read_text("utf-8")
    labels = ET.fromstring(written).findall("RectangleLabels/Label")  # noqa: S314  our own file

    assert [label.get("value") for label in labels] == ["crack", 'a < b & "c"']
    assert cv2.imread(str(tmp_path / "out/images/p1.png")) is not None
