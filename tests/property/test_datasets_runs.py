"""Protect masks, run lengths and outlines against COCO's own code, and splits against parting what belongs together."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.datasets.reading import read_data
from appliance.datasets.runs import (
    box_of_mask,
    mask_of_rings,
    mask_of_runs,
    read_counts,
    runs_of_mask,
    write_counts,
)
from appliance.datasets.sample import Sample
from appliance.datasets.splitting import split_by_group
from appliance.datasets.truth import things_of
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from tests.unit.dataset_rig import store, texture

oracle = pytest.importorskip("pycocotools.mask", reason="pycocotools is the oracle; it comes with the test extra")
masks = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda shape: arrays(np.bool_, shape))
coordinates = st.floats(-20, 60, allow_nan=False).map(lambda value: round(value, 2))
rings = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12)


@given(masks)
def test_run_lengths_are_cocos(mask: np.ndarray) -> None:
    """Compressed runs are letter by letter what COCO writes, and give the mask back."""
    expected = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    written = write_counts(runs_of_mask(mask))

    assert written == expected
    assert read_counts(written) == list(runs_of_mask(mask))
    assert np.array_equal(mask_of_runs(written, mask.shape), mask)
    assert np.array_equal(mask_of_runs(runs_of_mask(mask), mask.shape), mask)


# pycocotools 2.0.11 decodes by numpy 1's protocol.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(rings, st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_outlines_are_filled_as_coco_fills_them(ring: list[tuple[float, float]], size: tuple[int, int]) -> None:
    """Every pixel inside an outline is one to COCO, also of outlines that cross themselves or leave the picture."""
    flat = [value for point in ring for value in point]
    expected = oracle.decode(oracle.frPyObjects([flat], *size))[:, :, 0].astype(bool)

    assert np.array_equal(mask_of_rings([flat], size), expected)


@given(masks.filter(lambda mask: mask.any()))
def test_boxes_are_tight(mask: np.ndarray) -> None:
    """A box holds the mask and nothing less does."""
    x, y, width, height = oracle.toBbox(oracle.encode(np.asfortranarray(mask.astype(np.uint8))))

    assert box_of_mask(mask) == (x, y, x + width, y + height)


@given(st.text(max_size=30))
def test_any_text_is_runs_or_refused(text: str) -> None:
    """Text that is no run length is refused by ValueError and by nothing else."""
    try:
        mask_of_runs(text, (5, 5))
    except ValueError:
        return


samples = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["good", "crack", "dent"])), min_size=2, max_size=40)


@given(samples, st.floats(0.05, 0.9), st.integers(0, 5), st.randoms())
def test_groups_are_never_parted(kinds: list[tuple[int, str]], share: float, seed: int, random) -> None:
    """Every picture is on one side, no group on both; the order of the pictures changes nothing."""
    made = [Sample(f"{i}", Path("x"), f"g{group}", label=label) for i, (group, label) in enumerate(kinds)]
    if len({sample.group for sample in made}) < 2:
        return
    kept, held = split_by_group(made, share, seed)
    shuffled = random.sample(made, len(made))
    again = split_by_group(shuffled, share, seed)

    assert kept
    assert held
    assert Counter(s.name for s in (*kept, *held)) == Counter(s.name for s in made)
    assert {s.group for s in kept} & {s.group for s in held} == set()
    assert {s.name for s in again[1]} == {s.name for s in held}


MADE = (
    "data.yaml", "classes.txt", "labels.txt", "groups.csv", "annotations/all.json", "tasks.json", "labels/a.txt",
)  # fmt: skip
pieces = st.sampled_from([
    b"name,group\n", b"a.png,1\n", b"a.png\tX\n", b"0 0.5 0.5 0.1 0.1\n", b"names: [a]\n", b"train: images\n",
    b"\xff\xfe",
    b'{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "k"}], "annotations": []}',
    b'"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1e300, -5, 2, 3]}]', b'[{"data": {"image": "a.png"}}]',
    b'"segmentation": {"size": [48, 64], "counts": "zz"}', b"&x *x", b"\0", b"[[[[", b"k\n", b"-1 9e9 nan inf 1\n",
])  # fmt: skip


@given(st.dictionaries(st.sampled_from(MADE), st.lists(st.one_of(pieces, st.binary(max_size=20)), max_size=4)))
def test_any_files_are_read_or_refused(files: dict[str, list[bytes]]) -> None:
    """Whatever stands in the text files, the answer is a data set or one line, and every truth of it can be loaded."""
    with TemporaryDirectory() as folder:
        root, lines = Path(folder), list[str]()
        for seed, name in enumerate("ab"):
            store(root / f"images/{name}.png", texture(seed))
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(content))
        for task in (TaskName.INSTANCE, TaskName.CLASSIFICATION, TaskName.OCR):
            try:
                data = read_data(root, task)
            except ConfigError as refused:
                lines.append(str(refused))
                continue
            for sample in data.samples:
                if task is TaskName.INSTANCE:
                    assert len(things_of(sample, data).masks) == len(things_of(sample, data).kinds)
        assert [line for line in lines if "\n" in line] == []
