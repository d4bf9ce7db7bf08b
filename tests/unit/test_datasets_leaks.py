"""Protect splits against pictures of one part on both sides."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.datasets.grouping import groups_by_name
from appliance.datasets.inspection import refusals
from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet
from appliance.datasets.splitting import split_by_group, split_by_picture
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from tests.unit.dataset_rig import mvtec, store, texture, write

MT = Path(__file__).resolve().parents[3] / "shared" / "data" / "mt"


def refused(data: DataSet) -> list[tuple[str, tuple[str, ...]]]:
    return [(remark.kind, remark.names) for remark in refusals(data, training=False)]


def remarked(data: DataSet, kind: str) -> list[tuple[bool, tuple[str, ...]]]:
    return [(remark.refused, remark.names) for remark in data.remarks if remark.kind == kind]


def test_groups_file(tmp_path: Path) -> None:
    """`groups.csv` names groups by path, file name or stem; what it forgets or invents is named."""
    root = mvtec(tmp_path, train=3, good=0, kinds=())
    write(root / "groups.csv", "name;group\ntrain/good/t0.png;A\nt1.png;A\nnobody.png;B\n")
    data = read_data(root, TaskName.ANOMALY)

    assert data.grouped_by == "groups.csv"
    assert [s.group for s in data.samples] == ["A", "A", "train/good/t2.png"]
    assert remarked(data, "unknown name") == [(False, ("nobody.png",))]
    assert remarked(data, "no group") == [(False, ("train/good/t2.png",))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line is 'empty'"),
        ("picture,part\n", "must be `name,group`"),
        ("name,group\na.png\n", "line 2: 'a.png' must be a name and a group"),
        ("name,group\na.png,1\na.png,2\n", "line 3: a.png is in two groups, 1 and 2"),
    ],
)
def test_groups_file_that_cannot_be_read(tmp_path: Path, text: str, said: str) -> None:
    """A file of groups that leaves something open ends with one line."""
    write(mvtec(tmp_path) / "groups.csv", text)

    with pytest.raises(ConfigError, match=said):
        read_data(tmp_path, TaskName.ANOMALY)


def test_group_on_both_sides_is_refused(tmp_path: Path) -> None:
    """A part with pictures in train and test is a leak."""
    root = mvtec(tmp_path)
    write(root / "groups.csv", "name,group\nt0.png,A\ng0.png,A\nt1.png,B\ng1.png,C\n")

    assert refused(read_data(root, TaskName.ANOMALY)) == [("split leakage", ("A",))]


def test_equal_files_between_splits_are_refused(tmp_path: Path) -> None:
    """A copy of a training picture in test is a leak, whatever its name and its group say."""
    root = mvtec(tmp_path)
    copied = (root / "train/good/t3.png").read_bytes()
    (root / "test/good/new.png").write_bytes(copied)
    names = ("test/good/new.png", "train/good/t3.png")
    alone = read_data(root, TaskName.ANOMALY)
    write(root / "groups.csv", "name,group\nnew.png,X\nt3.png,Y\n")

    assert refused(alone)[0] == ("equal files", names)
    assert refused(read_data(root, TaskName.ANOMALY)) == [("equal files", names)]


@pytest.mark.parametrize("how", ["encoded", "halved", "noise"])
def test_near_duplicates_between_splits_are_refused(tmp_path: Path, how: str) -> None:
    """Another encoding, size or exposure of the same picture leaks; `groups.csv` may say that they are two parts."""
    root = mvtec(tmp_path, train=24)
    picture = texture(3)
    if how == "halved":
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    if how == "noise":
        noisy = picture + np.random.default_rng(0).normal(0, 4, picture.shape)
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
    store(root / "test/good/again.jpg", picture)
    names = ("test/good/again.jpg", "train/good/t3.png")
    alone = read_data(root, TaskName.ANOMALY)
    write(root / "groups.csv", "name,group\nagain.jpg,X\nt3.png,Y\n")
    stated = read_data(root, TaskName.ANOMALY)

    assert remarked(alone, "near duplicate") == [(True, names)]
    assert remarked(stated, "near duplicate") == [(False, names)]
    assert refused(stated) == []


def test_near_duplicates_without_splits_share_a_group(tmp_path: Path) -> None:
    """Where splits are drawn by group, copies of a picture join one group and cannot be parted."""
    for seed, name in enumerate(("good/a", "good/b", "bad/c", "bad/d", "bad/e", "bad/f")):
        store(tmp_path / f"{name}.png", texture(seed))
    store(tmp_path / "good/a2.jpg", texture(0))
    (tmp_path / "good/b2.png").write_bytes((tmp_path / "good/b.png").read_bytes())
    data = read_data(tmp_path, TaskName.CLASSIFICATION)

    assert sorted(Counter(s.group for s in data.samples).values()) == [1, 1, 1, 1, 2, 2]
    assert data.grouped_by == "likeness"
    assert refused(data) == []


def test_equal_files_with_two_labels(tmp_path: Path) -> None:
    """One picture cannot be good and defective."""
    root = mvtec(tmp_path)
    (root / "test/crack/crack1.png").write_bytes((root / "test/good/g1.png").read_bytes())
    data = read_data(root, TaskName.ANOMALY)

    assert remarked(data, "contradiction") == [(False, ("test/crack/crack1.png", "test/good/g1.png"))]


def test_fixtured_parts_are_no_duplicates(tmp_path: Path) -> None:
    """Parts that lie alike in a fixture differ in little; what all share does not make them the same."""
    part = texture(1, (96, 96)).astype(float)
    for number in range(30):
        own = texture(100 + number, (96, 96)).astype(float)
        split = "train" if number % 2 else "test"
        store(tmp_path / f"{split}/good/n{number}.png", (0.95 * part + 0.05 * own).astype(np.uint8))

    assert refused(read_data(tmp_path, TaskName.ANOMALY)) == []


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("p12_view1", "p12_view2", "p13_view1", "p13_view2"), ["p12", "p12", "p13", "p13"]),
        (("exp1_num_7", "exp2_num_9", "exp3_num_12", "exp1_num_20", "exp2_num_21", "exp3_num_30"), [
            "part 1", "part 1", "part 1", "part 2", "part 2", "part 2"]),
        (("a7", "a7 (1)", "a7_copy", "b8"), ["a7", "a7", "a7", "b8.png"]),
        (("x1_jpg.rf.0123456789abcdef0123456789abcdef", "x1_jpg.rf.aaaabbbbccccddddeeeeffff00001111"), ["x1_jpg"] * 2),
        (("img_001", "img_002", "img_003"), ["img_001.png", "img_002.png", "img_003.png"]),
        (("cam1", "cam2"), ["cam1.png", "cam2.png"]),
    ],
)  # fmt: skip
def test_exposures_of_one_part_by_name(tmp_path: Path, names: tuple[str, ...], groups: list[str]) -> None:
    """Names that number the exposures of a part join it; names that merely count join nothing."""
    for seed, name in enumerate(names):
        store(tmp_path / "good" / f"{name}.png", texture(seed))
    data = read_data(tmp_path, TaskName.ANOMALY)
    by_name = {Path(s.name).stem: s.group.removeprefix("good/") for s in data.samples}

    assert [by_name[name] for name in names] == groups


def test_names_counted_anew_in_each_folder(tmp_path: Path) -> None:
    """Equal names in two folders are two parts; their exposures are joined folder by folder."""
    for seed, name in enumerate(("train/good/001_view1", "train/good/001_view2", "test/good/001_view1")):
        store(tmp_path / f"{name}.png", texture(seed))
    data = read_data(tmp_path, TaskName.ANOMALY)

    assert len({s.group for s in data.samples}) == 2
    assert refused(data) == []


def test_exposures_of_one_part_on_both_sides_are_refused(tmp_path: Path) -> None:
    """Names are evidence enough to refuse a split that parts the exposures of a part."""
    for seed, name in enumerate(("train/good/p1_view1", "test/good/p1_view2", "train/good/p2_view1")):
        store(tmp_path / f"{name}.png", texture(seed))

    assert refused(read_data(tmp_path, TaskName.ANOMALY)) == [("split leakage", ("p1",))]


def test_random_split_over_groups_is_refused(tmp_path: Path) -> None:
    """What belongs together is never parted at random; pictures that stand alone may be."""
    root = mvtec(tmp_path, train=10, good=0, kinds=())
    alone = read_data(root, TaskName.ANOMALY).samples
    write(root / "groups.csv", "name,group\nt0.png,A\nt1.png,A\n")
    joined = read_data(root, TaskName.ANOMALY).samples

    assert [len(half) for half in split_by_picture(alone, 0.2, 1)] == [8, 2]
    with pytest.raises(ConfigError, match="2 pictures of A belong together"):
        split_by_picture(joined, 0.2, 1)
    with pytest.raises(ConfigError, match="share: 1, must lie between 0 and 1"):
        split_by_group(joined, 1.0, 1)
    with pytest.raises(ConfigError, match="fewer than 2 parts"):
        split_by_group(joined[:2], 0.5, 1)


@pytest.mark.skipif(not MT.is_dir(), reason="the real tiles are not on this machine")
def test_magnetic_tiles() -> None:
    """On the real tiles the groups by name never part a tile, and the set is fit for training."""
    by_file = read_data(MT, TaskName.ANOMALY)
    by_name = groups_by_name({s.name: s.picture for s in by_file.samples})
    names_of: dict[str, set[str]] = {}
    for sample in by_file.samples:
        names_of.setdefault(sample.group, set()).add(by_name[sample.name])

    assert refusals(by_file, training=True) == ()
    assert {len(names) for names in names_of.values()} == {1}
    assert remarked(by_file, "empty mask") == [(False, ("test/uneven/exp4_num_352527.jpg",))]
    assert len(remarked(by_file, "near duplicate")[0][1]) == 7
