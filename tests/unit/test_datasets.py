"""Protect how labelled pictures are read from every layout."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from appliance.datasets.reading import guess_task, read_data
from appliance.datasets.sample import DataSet, Split
from appliance.datasets.splitting import selected
from appliance.datasets.truth import class_mask, load_frame, things_of
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from tests.unit.dataset_rig import SIZE, coco, mask_of, mvtec, store, texture, write

CRACK = {"image_id": 1, "category_id": 1, "bbox": [5, 6, 10, 6]}
DENT = {"image_id": 2, "category_id": 2, "bbox": [20, 10, 8, 9], "segmentation": [[20, 10, 28, 10, 28, 19, 20, 19]]}


def kinds_of_remarks(data: DataSet) -> dict[str, int]:
    return {remark.kind: len(remark.names) for remark in data.remarks}


def test_mvtec_folders(tmp_path: Path) -> None:
    """Labels and splits are those of the folders, `good` first, and masks find their pictures."""
    data = read_data(mvtec(tmp_path), TaskName.ANOMALY)

    assert data.layout == "MVTec folders"
    assert data.classes == ("good", "crack", "dent")
    assert Counter((s.split.value, s.label) for s in data.samples) == {
        ("train", "good"): 6, ("test", "good"): 3, ("test", "crack"): 3, ("test", "dent"): 3
    }  # fmt: skip
    assert [s.mask is not None for s in data.samples] == [s.label != "good" for s in data.samples]
    assert data.pixel_format is PixelFormat.MONO8
    assert load_frame(data.samples[0], data.pixel_format).shape == SIZE
    assert len(selected(data, Split.TRAIN)) == 6
    assert len(selected(data, Split.ANY)) == 15


@pytest.mark.parametrize(
    ("task", "classes", "place"),
    [
        (TaskName.SEMANTIC, ("background", "crack", "dent"), 2),
        (TaskName.ANOMALY, ("good", "crack", "dent"), 2),
        (TaskName.INSTANCE, ("crack", "dent"), 2),
    ],
)
def test_mvtec_masks_serve_every_task(tmp_path: Path, task: TaskName, classes: tuple[str, ...], place: int) -> None:
    """A mask is its folder's class to semantic, and each of its pieces is a thing to instance."""
    root = mvtec(tmp_path)
    store(root / "ground_truth/dent/dent0_mask.png", mask_of((5, 6, 15, 12)) | mask_of((40, 20, 44, 30)))
    data = read_data(root, task)
    dent = next(s for s in data.samples if s.name == "test/dent/dent0.png")
    expected = (mask_of((5, 6, 15, 12), value=1) | mask_of((40, 20, 44, 30), value=1)) * place

    assert data.classes == classes
    assert np.array_equal(class_mask(dent, data), expected)
    things = things_of(dent, data)
    assert things.kinds.tolist() == [classes.index("dent")] * 2
    assert things.boxes.tolist() == [[5, 6, 15, 12], [40, 20, 44, 30]]
    assert [int(mask.sum()) for mask in things.masks] == [60, 40]
    good = next(s for s in data.samples if s.label == "good")
    assert things_of(good, data).boxes.shape == (0, 4)
    assert not class_mask(good, data).any()


def test_good_only_training_folder_states_no_split_for_defects(tmp_path: Path) -> None:
    """Tasks that learn from defects draw their own splits where `train` has none, and the reader says so."""
    data = read_data(mvtec(tmp_path), TaskName.DETECTION)

    assert {s.split for s in data.samples} == {Split.ANY}
    assert kinds_of_remarks(data)["splits not used"] == 1


def test_empty_mask_is_a_warning(tmp_path: Path) -> None:
    """A defective picture with an empty mask is left out of tasks that learn from masks, and kept for the others."""
    root = mvtec(tmp_path)
    store(root / "ground_truth/crack/crack0_mask.png", np.zeros(SIZE, np.uint8))
    semantic, anomaly = read_data(root, TaskName.SEMANTIC), read_data(root, TaskName.ANOMALY)

    assert (len(semantic.samples), len(anomaly.samples)) == (14, 15)
    for data in (semantic, anomaly):
        remark = next(remark for remark in data.remarks if remark.kind == "empty mask")
        assert (remark.refused, remark.names) == (False, ("test/crack/crack0.png",))


def test_mask_of_another_size(tmp_path: Path) -> None:
    """A mask that does not fit its picture is named and never stretched."""
    root = mvtec(tmp_path)
    store(root / "ground_truth/crack/crack0_mask.png", mask_of((1, 1, 5, 5), (20, 20)))
    data = read_data(root, TaskName.SEMANTIC)

    assert kinds_of_remarks(data)["mask size"] == 1
    assert len(data.samples) == 14


def test_mask_without_picture_and_shared_name(tmp_path: Path) -> None:
    """A mask of two pictures is the test picture's; one of none is named."""
    root = mvtec(tmp_path)
    store(root / "train/crack/crack0.png", texture(90))
    store(root / "ground_truth/crack/nobody_mask.png", mask_of((1, 1, 9, 9)))
    data = read_data(root, TaskName.ANOMALY)
    owner = {s.name: s.mask is not None for s in data.samples if s.name.endswith("crack0.png")}

    assert owner == {"test/crack/crack0.png": True, "train/crack/crack0.png": False}
    assert {"shared mask", "mask without picture", "defective in train"} <= kinds_of_remarks(data).keys()


def test_one_folder_per_class(tmp_path: Path) -> None:
    """Folders are classes; one called OK is `good`."""
    for seed, name in enumerate(("OK/a", "OK/b", "scratch/a", "scratch/c")):
        store(tmp_path / f"{name}.jpg", texture(seed))
    data = read_data(tmp_path, TaskName.CLASSIFICATION)

    assert (data.layout, data.classes) == ("one folder per class", ("good", "scratch"))
    assert [s.label for s in data.samples] == ["good", "good", "scratch", "scratch"]


def test_coco_boxes(tmp_path: Path) -> None:
    """Boxes become corners, kinds stand in the order of the file, a picture without annotation has no things."""
    data = read_data(coco(tmp_path, 3, [CRACK, DENT]), TaskName.DETECTION)
    first = things_of(data.samples[0], data)

    assert (data.layout, data.classes) == ("COCO", ("crack", "dent"))
    assert [s.name for s in data.samples] == ["images/p1.png", "images/p2.png", "images/p3.png"]
    assert (first.kinds.tolist(), first.boxes.tolist(), first.masks) == ([0], [[5, 6, 15, 12]], ())
    assert things_of(data.samples[2], data).boxes.shape == (0, 4)


def test_coco_polygons_serve_semantic_and_instance(tmp_path: Path) -> None:
    """Outlines are filled; a picture with a bare box is left out where outlines are needed."""
    root = coco(tmp_path, 3, [CRACK, DENT])
    semantic, instance = read_data(root, TaskName.SEMANTIC), read_data(root, TaskName.INSTANCE)

    assert semantic.classes == ("background", "dent")
    assert np.array_equal(class_mask(semantic.samples[0], semantic), mask_of((20, 10, 28, 19), value=1))
    assert [len(things_of(s, instance).masks) for s in instance.samples] == [1, 0]
    assert kinds_of_remarks(instance)["no outline"] == 1


def test_coco_serves_labels(tmp_path: Path) -> None:
    """A picture is of the kind of its things, or good; annotations without a box are labels of the whole picture."""
    bare = {"image_id": 3, "category_id": 2}
    data = read_data(coco(tmp_path, 4, [CRACK, DENT, bare]), TaskName.CLASSIFICATION)

    assert data.classes == ("good", "crack", "dent")
    assert [s.label for s in data.samples] == ["crack", "dent", "dent", "good"]


def test_coco_split_files(tmp_path: Path) -> None:
    """One file per split states it; a picture in two of them is refused."""
    coco(tmp_path, 3, [CRACK, DENT], "annotations/instances_train.json")
    coco(tmp_path, 1, [CRACK], "annotations/instances_val.json")
    data = read_data(tmp_path, TaskName.DETECTION)

    assert [remark.names for remark in data.remarks if remark.refused] == [("images/p1.png",)]


def test_coco_faults_are_named(tmp_path: Path) -> None:
    """What a file says wrongly is named and left out, never guessed."""
    root = coco(tmp_path, 7, [
        {**CRACK, "category_id": 9},
        {**DENT, "bbox": [80, 10, 5, 5], "segmentation": []},
        {**CRACK, "image_id": 3, "bbox": [60, 6, 20, 6]},
        {**CRACK, "image_id": 99},
        {**DENT, "image_id": 4, "segmentation": [[1, 2, 3, 4]]},
        {**DENT, "image_id": 5, "segmentation": {"size": [9, 9], "counts": [1, 80]}},
        {**CRACK, "image_id": 7},
    ])  # fmt: skip
    store(root / "images/p6.png", texture(6, (10, 10)))
    (root / "images/p7.png").unlink()
    data = read_data(root, TaskName.DETECTION)

    assert [s.name for s in data.samples] == ["images/p3.png"]
    assert data.samples[0].things[0].box == (60, 6, 64, 12)
    assert kinds_of_remarks(data) == {
        "unknown category": 1, "unreadable outline": 2, "wrong size": 1, "missing picture": 1, "unknown picture": 1,
        "box outside": 1, "box over the edge": 1, "too few pictures": 0, "few parts": 1,
    }  # fmt: skip


def test_coco_paths_of_other_machines(tmp_path: Path) -> None:
    """Exports state paths of the machine they came from; the file with the longest equal end is meant."""
    root = coco(tmp_path, 2, [CRACK])
    text = (root / "annotations/all.json").read_text("utf-8")
    store(root / "images/b/p2.png", texture(50))
    text = text.replace('"p1.png"', r'"C:\\data\\images\\p1.png"').replace('"p2.png"', '"/srv/x/b/p2.png"')
    write(root / "annotations/all.json", text)

    assert [s.name for s in read_data(root, TaskName.DETECTION).samples] == ["images/b/p2.png", "images/p1.png"]


def test_yolo(tmp_path: Path) -> None:
    """Lines are boxes or outlines in shares of the picture; no text file means nothing is there."""
    for seed, name in enumerate(("train/a", "train/b", "val/c")):
        store(tmp_path / f"images/{name}.png", texture(seed))
    write(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5\n0 0.25 0.25 0.5 0.25 0.5 0.75\n")
    write(tmp_path / "labels/val/c.txt", "0 0.5 0.5 0.25 0.5\n")
    write(
        tmp_path / "data.yaml", "path: /some/where\ntrain: ../images/train\nval: [images/val]\nnames: [crack, dent]\n"
    )
    data = read_data(tmp_path, TaskName.DETECTION)

    assert (data.layout, data.classes) == ("YOLO", ("crack", "dent"))
    assert [(s.name, s.split.value) for s in data.samples] == [
        ("images/train/a.png", "train"), ("images/train/b.png", "train"), ("images/val/c.png", "val")
    ]  # fmt: skip
    assert [(t.kind, t.box) for t in data.samples[0].things] == [
        ("dent", (24, 12, 40, 36)),
        ("crack", (16, 12, 32, 36)),
    ]
    assert data.samples[0].things[1].rings == ((16, 12, 32, 12, 32, 36),)
    assert kinds_of_remarks(data)["no label file"] == 1


@pytest.mark.parametrize(
    "line", ["2 0.5 0.5 0.1 0.1", "x 0.5 0.5 0.1 0.1", "0 0.5 0.5", "0 nan 0.5 0.1 0.1", "0 1 2 3 4 5"]
)
def test_yolo_lines_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    """A line of another form leaves its picture out, named with its number."""
    for seed, name in enumerate("ab"):
        store(tmp_path / f"images/{name}.png", texture(seed))
    write(tmp_path / "labels/a.txt", f"0 0.5 0.5 0.1 0.1\n{line}\n")
    write(tmp_path / "labels/b.txt", "1 0.5 0.5 0.1 0.1\n")
    write(tmp_path / "data.yaml", "train: images\nnames: {0: crack, 1: dent}\n")
    data = read_data(tmp_path, TaskName.DETECTION)

    assert [s.name for s in data.samples] == ["images/b.png"]
    assert [r.names for r in data.remarks if r.kind == "unreadable label"] == [("labels/a.txt:2",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: images\n", "`names` is None"),
        ("names: {0: a, 2: b}\ntrain: images\n", "must count up from 0"),
        ("names: [a]\n", "names no folder as train"),
        ("names: [a]\ntrain: elsewhere\n", "elsewhere is no folder or list"),
        ("[", "is no YAML"),
        ("just text", "holds a str"),
    ],
)
def test_yolo_descriptions_that_cannot_be_read(tmp_path: Path, text: str, said: str) -> None:
    """A description that leaves something open ends with one line that says what."""
    store(tmp_path / "images/a.png", texture(1))
    write(tmp_path / "data.yaml", text)

    with pytest.raises(ConfigError, match=said) as caught:
        read_data(tmp_path, TaskName.DETECTION)
    assert "\n" not in str(caught.value)


def pairs(root: Path, classes: str = "background\ncrack\ndent\n") -> Path:
    for seed, value in enumerate((0, 1, 2)):
        store(root / f"images/a{seed}.jpg", texture(seed))
        store(root / f"masks/a{seed}.png", mask_of((5, 6, 15, 12), value=value))
    write(root / "classes.txt", classes)
    return root


def test_image_and_mask(tmp_path: Path) -> None:
    """Values of masks are lines of classes.txt, 255 is nothing, and the masks serve other tasks too."""
    root = pairs(tmp_path)
    store(root / "masks/a2.png", mask_of((5, 6, 15, 12), value=2) | mask_of((30, 30, 40, 40)))
    data = read_data(root, TaskName.SEMANTIC)
    boxes = read_data(root, TaskName.DETECTION)

    assert (data.layout, data.classes) == ("image + mask", ("background", "crack", "dent"))
    assert np.array_equal(class_mask(data.samples[2], data), mask_of((5, 6, 15, 12), value=2))
    assert [things_of(s, boxes).kinds.tolist() for s in boxes.samples] == [[], [0], [1]]
    assert [s.label for s in read_data(root, TaskName.ANOMALY).samples] == ["good", "crack", "dent"]


def test_image_and_mask_faults(tmp_path: Path) -> None:
    """Masks with unknown values, of another size, missing or unreadable leave their pictures out."""
    root = pairs(tmp_path)
    for number, content in enumerate((mask_of((1, 1, 9, 9), value=7), mask_of((1, 1, 9, 9), (9, 9), 1)), 3):
        store(root / f"images/a{number}.jpg", texture(number))
        store(root / f"masks/a{number}.png", content)
    store(root / "images/a5.jpg", texture(5))
    store(root / "images/a6.jpg", texture(6))
    write(root / "masks/a6.png", "text")
    store(root / "masks/a7.png", mask_of((1, 1, 9, 9), value=1))
    data = read_data(root, TaskName.SEMANTIC)

    assert len(data.samples) == 3
    assert kinds_of_remarks(data) | {"few parts": 0} == {
        "no mask": 1, "mask without picture": 1, "unknown class": 1, "mask size": 1, "damaged mask": 1, "few parts": 0
    }  # fmt: skip


def test_background_may_be_left_out(tmp_path: Path) -> None:
    """Without a line for the background the classes count from 1, and the reader says so."""
    data = read_data(pairs(tmp_path, "crack\ndent\n"), TaskName.SEMANTIC)

    assert data.classes == ("background", "crack", "dent")
    assert "classes from 1" in kinds_of_remarks(data)


def test_palette_masks(tmp_path: Path) -> None:
    """A palette mask's values are places in its palette, whatever their colours."""
    image = pytest.importorskip("PIL.Image")
    root = pairs(tmp_path)
    mask = image.fromarray(mask_of((5, 6, 15, 12), value=2)).convert("P")
    mask.putpalette([0, 0, 0, 200, 0, 0, 0, 99, 7])
    mask.save(root / "masks/a2.png")
    data = read_data(root, TaskName.SEMANTIC)

    assert np.array_equal(class_mask(data.samples[2], data), mask_of((5, 6, 15, 12), value=2))


def test_two_values_of_one_class(tmp_path: Path) -> None:
    """With one class, a mask of 0 and 255 means the class by 255."""
    root = pairs(tmp_path, "background\ncrack\n")
    for number in range(3):
        store(root / f"masks/a{number}.png", mask_of((5, 6, 15, 12)))
    data = read_data(root, TaskName.SEMANTIC)

    assert np.array_equal(class_mask(data.samples[0], data), mask_of((5, 6, 15, 12), value=1))


def test_ocr_list(tmp_path: Path) -> None:
    """Each line is a name, a tab and a text; what has no text or no picture is named."""
    for seed, name in enumerate("abc"):
        store(tmp_path / f"images/{name}.png", texture(seed))
    write(tmp_path / "labels.txt", "a.png\tLOT 42\nimages/b.png\tÄ-7\nz.png\tX\nb.png\tother\nc.png\t\n")
    data = read_data(tmp_path, TaskName.OCR)

    assert (data.layout, data.classes) == ("OCR list", ())
    assert [(s.name, s.text) for s in data.samples] == [("images/a.png", "LOT 42"), ("images/b.png", "Ä-7")]
    assert {"missing picture", "duplicate name", "no text"} <= kinds_of_remarks(data).keys()


def test_templates(tmp_path: Path) -> None:
    """A picture in templates/ with an equal stem is the defect-free view; a single one is that of every picture."""
    root = coco(tmp_path, 2, [CRACK])
    store(root / "templates/p1.bmp", texture(70))

    store(root / "templates/other.bmp", texture(71))

    assert [s.template for s in read_data(root, TaskName.DETECTION).samples] == [root / "templates/p1.bmp", None]
    (root / "templates/p1.bmp").unlink()
    only = root / "templates/other.bmp"
    assert [s.template for s in read_data(root, TaskName.DETECTION).samples] == [only, only]


@pytest.mark.parametrize(
    ("task", "make"),
    [
        (TaskName.ANOMALY, mvtec),
        (TaskName.DETECTION, lambda root: coco(root, 2, [CRACK])),
        (TaskName.INSTANCE, lambda root: coco(root, 2, [DENT])),
        (TaskName.SEMANTIC, pairs),
    ],
)
def test_task_of_a_folder(tmp_path: Path, task: TaskName, make) -> None:
    """The layout says what a folder is for."""

    assert guess_task(make(tmp_path)) is task


def test_layout_that_does_not_serve(tmp_path: Path) -> None:
    """A task that the layout tells nothing for is refused with what would."""
    mvtec(tmp_path)

    with pytest.raises(ConfigError, match="folders, says nothing for ocr; ocr reads list"):
        read_data(tmp_path, TaskName.OCR)
