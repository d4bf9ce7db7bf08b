"""Protect `dataset inspect`: everything that was found is told, and a leak is a finding."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.datasets.inspect_command import InspectOptions, run_inspect
from appliance.datasets.sample import DataSet
from appliance.datasets.truth import things_of
from appliance.schema.bundle import TaskName
from tests.unit.dataset_rig import SIZE, coco, mask_of, mvtec, write

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


def test_inspect_tells_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has counts per class and split, sizes, and every remark with its names; `-` prints JSON alone."""
    root = mvtec(tmp_path)
    write(root / "train/good/bad.png", "text")

    assert run_inspect(InspectOptions(root, json="-")) == 0
    summary = msgspec.json.decode(capsys.readouterr().out)
    assert (summary["task"], summary["layout"], summary["pictures"]) == ("anomaly", "MVTec folders", 15)
    assert summary["counts"]["good"] == {
        "train": {"pictures": 6, "parts": 6, "things": 0},
        "test": {"pictures": 3, "parts": 3, "things": 0},
    }
    assert summary["sizes"] == [{"width": SIZE[1], "height": SIZE[0], "pictures": 15}]
    assert ["train/good/bad.png"] in [remark["names"] for remark in summary["remarks"]]

    assert run_inspect(InspectOptions(root)) == 0
    said = capsys.readouterr().out
    assert "crack            test 3 pictures of 3 parts" in said
    assert said.endswith("usable\n")


def test_inspect_fails_on_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A remark that refuses is an exit code of 1 and the first thing said."""
    root = mvtec(tmp_path)
    (root / "test/good/copy.png").write_bytes((root / "train/good/t0.png").read_bytes())

    assert run_inspect(InspectOptions(root, json=str(tmp_path / "found.json"))) == 1
    said = capsys.readouterr().out
    assert "REFUSED    equal files: 2 pictures are equal files and stand in two splits" in said
    assert json.loads((tmp_path / "found.json").read_text("utf-8"))["refused"] is True
