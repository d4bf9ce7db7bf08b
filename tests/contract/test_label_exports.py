"""What a station's people labelled leaves in every format as other programs read it, and nothing else leaves."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from appliance.cli import main
from appliance.datasets.reading import read_data
from appliance.datasets.runs import runs_of_mask
from appliance.datasets.truth import things_of
from appliance.schema.bundle import TaskName
from appliance.schema.clocks import UtcNs
from appliance.schema.command import FreezeSnapshot
from appliance.schema.finding import Box
from appliance.schema.frame import PixelFormat
from appliance.schema.label import Purpose, Region
from appliance.schema.review import Seeded
from appliance.schema.verdict import Disposition
from appliance.storage.record_store import RecordStore
from tests.unit.dataset_rig import SIZE
from tests.unit.labelling_rig import UTC, box, keep, label, part, picture, say, station

Export = Callable[..., tuple[int, str]]
ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT / "tests/foreign"
DATUMARO = ROOT / "build/foreign/datumaro/bin/python"
STUDIO = ROOT / "build/foreign/labelstudio/bin/python"
OLD_NUMPY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SNAPSHOT = "01890000-0000-7000-8000-000000000001"
POLYGON = Region("top", "dent", Box(10, 10, 20, 12), polygon=((10, 10), (30, 10), (30, 22), (10, 22)))
BLOT = np.zeros(SIZE, bool)
BLOT[5:15, 20:40] = True
BLOT[8:12, 25:30] = False
MASK = Region("top", "crack", Box(20, 5, 20, 10), runs=runs_of_mask(BLOT), size=SIZE)
GOOD, MARKED, OUTLINED, MASKED, DISPUTED, UNMARKED, TWO_VIEWS, SEEDED, MEASURED = range(1, 10)


def fill(store: RecordStore) -> None:
    """Let nine parts be labelled in nine ways."""
    keep(store, GOOD, disposition=Disposition.ACCEPT)
    keep(store, TWO_VIEWS, "top", "side")
    for number in (MARKED, OUTLINED, MASKED, DISPUTED, UNMARKED, SEEDED, MEASURED):
        keep(store, number)
    store.write([("seed", 0, -1, Seeded(part(SEEDED), "dent", "qe-1", UtcNs(UTC)))], UtcNs(UTC))
    say(
        store,
        label("good", "good", of=GOOD),
        label("marked", "scratch", of=MARKED, level=2, regions=(box(), box(place=(30, 20, 8, 4)))),
        label("outlined", "dent", of=OUTLINED, level=2, regions=(POLYGON,)),
        label("masked", "crack", of=MASKED, level=3, regions=(MASK,)),
        label("one", "dent", of=DISPUTED, regions=(box("dent"),)),
        label("other", "good", "op-2", of=DISPUTED, purpose=Purpose.AUDIT),
        label("unmarked", "scratch", of=UNMARKED),
        label("two", "scratch", of=TWO_VIEWS, level=2, regions=(box(),)),
        label("measured", "dent", of=MEASURED, purpose=Purpose.KNOWN_ANSWER),
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "station"
    folder.mkdir()
    return station(folder)


@pytest.fixture
def held(state: Path) -> Iterator[RecordStore]:
    with closing(RecordStore(state, 16)) as store:
        fill(store)
        yield store


@pytest.fixture
def export(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Export:
    def run(form: str, *more: str) -> tuple[int, str]:
        capsys.readouterr()
        out = tmp_path / f"out-{form}"
        code = main(["dataset", "export", "--state", str(state), "--format", form, "--out", str(out), *more])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def parts(rows: list[dict]) -> list[int]:
    return [int(row["part"].partition("-")[2]) for row in rows]


ALL_MARKED = [GOOD, MARKED, OUTLINED, MASKED, TWO_VIEWS]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("form", "expected", "task"),
    [
        ("coco", ALL_MARKED, "detection"),
        ("yolo", ALL_MARKED, "detection"),
        ("voc", ALL_MARKED, "detection"),
        ("folder", [GOOD, MARKED, OUTLINED, MASKED, UNMARKED, TWO_VIEWS], "anomaly"),
        ("labelstudio", [GOOD, MARKED, OUTLINED, MASKED, UNMARKED, TWO_VIEWS], "detection"),
    ],
)
def test_only_what_stands_leaves(export: Export, tmp_path: Path, form: str, expected: list[int], task: str) -> None:
    """No conflict, no seeded part, no known answer; no defect that would read as good; labels and digests beside."""
    code, told = export(form)
    about = manifest(tmp_path / f"out-{form}")
    named = {"good", "marked", "outlined", "masked", "unmarked", "two"}

    assert (0, expected, form, task) == (code, parts(about["pictures"]), about["format"], about["task"])
    assert named >= {row["label_id"] for row in about["pictures"]}
    assert f"{len(expected)} pictures as {form}" in told
    assert about["digest"] in told
    for row in about["pictures"]:
        assert row["file_sha256"] == hashlib.sha256((tmp_path / f"out-{form}" / row["file"]).read_bytes()).hexdigest()


@pytest.mark.usefixtures("held")
def test_what_stays_behind_says_why(export: Export, tmp_path: Path) -> None:
    """A view in which nothing is marked, and a defect without a mark."""
    export("coco")
    behind = {(row["part"], row["camera"]): row["why"] for row in manifest(tmp_path / "out-coco")["left_out"]}

    assert {(str(part(TWO_VIEWS)), "side"), (str(part(UNMARKED)), "top")} == set(behind)
    assert "several cameras see it" in behind[str(part(TWO_VIEWS)), "side"]
    assert "nothing is marked; mark it" in behind[str(part(UNMARKED)), "top"]


@pytest.mark.usefixtures("held")
def test_pixels_leave_as_they_were_kept(export: Export, tmp_path: Path) -> None:
    """Lossless TIFF becomes PNG with the very same pixels; a JPEG is copied byte by byte."""
    export("coco")
    rows = {row["part"]: row for row in manifest(tmp_path / "out-coco")["pictures"]}
    png = tmp_path / "out-coco" / rows[str(part(MARKED))]["file"]

    assert png.suffix == ".png"
    assert np.array_equal(picture(MARKED), cv2.imread(str(png), cv2.IMREAD_UNCHANGED))
    jpeg = rows[str(part(GOOD))]
    assert (jpeg["sha256"], ".jpg") == (jpeg["file_sha256"], Path(jpeg["file"]).suffix)


def test_a_mosaic_leaves_in_colour(state: Path, export: Export, tmp_path: Path) -> None:
    """As JPEGs of accepted parts do: no other program reads a mosaic."""
    with closing(RecordStore(state, 16)) as store:
        keep(store, 1, pixel_format=PixelFormat.BAYER_RG8)
        keep(store, 2, pixel_format=PixelFormat.RGB8)
        say(store, label("a", "good", of=1), label("b", "good", of=2))
    export("folder")
    rows = manifest(tmp_path / "out-folder")["pictures"]
    mosaic, colour = (cv2.imread(str(tmp_path / "out-folder" / row["file"]), cv2.IMREAD_UNCHANGED) for row in rows)

    assert (*SIZE, 3) == mosaic.shape
    assert np.array_equal(picture(2, PixelFormat.RGB8), colour[:, :, ::-1])


@OLD_NUMPY
@pytest.mark.usefixtures("held")
def test_coco_is_read_by_pycocotools(export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Boxes, outlines and masks, pixel by pixel, by COCO's own code."""
    module = pytest.importorskip("pycocotools.coco", reason="pycocotools reads the file; it comes with the test extra")
    export("coco")
    with capsys.disabled():
        read = module.COCO(str(tmp_path / "out-coco/annotations/instances_default.json"))
    names = {one["id"]: one["name"] for one in read.loadCats(read.getCatIds())}
    stems = {one["id"]: int(one["file_name"][9:19].split("_")[0]) for one in read.loadImgs(read.getImgIds())}
    found: dict[int, list] = {number: [] for number in stems.values()}
    for one in read.loadAnns(read.getAnnIds()):
        found[stems[one["image_id"]]].append((names[one["category_id"]], one["bbox"], one))

    assert sorted(ALL_MARKED) == sorted(found)
    assert [("scratch", [4, 6, 10, 8]), ("scratch", [30, 20, 8, 4])] == [row[:2] for row in found[MARKED]]
    assert [("scratch", [4, 6, 10, 8])] == [row[:2] for row in found[TWO_VIEWS]]
    assert [] == found[GOOD]
    assert np.array_equal(BLOT, read.annToMask(found[MASKED][0][2]).astype(bool))
    inside = read.annToMask(found[OUTLINED][0][2])
    assert (12 * 20, 1) == (int(inside.sum()), int(inside[15, 20]))


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelstudio"])
def test_boxes_come_back(export: Export, tmp_path: Path, form: str) -> None:
    """Our own reader finds the same boxes and classes in every format that tells them."""
    export(form)
    data = read_data(tmp_path / f"out-{form}", TaskName.DETECTION)
    found = {}
    for sample in data.samples:
        things = things_of(sample, data)
        number = int(Path(sample.name).stem.split("_")[0].partition("-")[2])
        pairs = zip(things.kinds, things.boxes, strict=True)
        found[number] = [(data.classes[kind], corners.round(3).tolist()) for kind, corners in pairs]

    assert [("scratch", [4, 6, 14, 14]), ("scratch", [30, 20, 38, 24])] == sorted(found[MARKED])
    assert [] == found[GOOD]
    assert [("dent", [10, 10, 30, 22])] == found[OUTLINED]
    assert len({sample.group for sample in data.samples}) == len(data.samples)


@pytest.mark.usefixtures("held")
def test_folders_hold_masks(export: Export, tmp_path: Path) -> None:
    """As MVTec lays them out: a folder per class, ground truth beside."""
    export("folder")
    root = tmp_path / "out-folder"
    mask = cv2.imread(str(next(root.glob("ground_truth/crack/*_mask.png"))), cv2.IMREAD_UNCHANGED)

    assert {"good", "scratch", "dent", "crack"} <= {path.name for path in root.iterdir() if path.is_dir()}
    assert np.array_equal(BLOT, mask > 0)


@pytest.mark.usefixtures("held")
def test_voc_is_what_its_challenge_describes(export: Export, tmp_path: Path) -> None:
    """One XML file per picture with size and corners."""
    export("voc")
    tree = ET.parse(next((tmp_path / "out-voc/Annotations").glob("*000002_top.xml")))  # noqa: S314  our own file
    corners = [[float(node.text or "") for node in box] for box in tree.iter("bndbox")]

    assert [[4, 6, 14, 14], [30, 20, 38, 24]] == corners


@pytest.mark.usefixtures("held")
def test_label_studio_tasks_have_what_its_documents_ask(export: Export, tmp_path: Path) -> None:
    """Each result names type, from_name, to_name and a value in hundredths; the interface declares those names."""
    export("labelstudio")
    tasks = json.loads((tmp_path / "out-labelstudio/tasks.json").read_text("utf-8"))
    interface = ET.fromstring((tmp_path / "out-labelstudio/interface.xml").read_text("utf-8"))  # noqa: S314
    declared = {node.get("name"): node for node in interface.iter() if node.get("name")}
    results = [result for task in tasks for each in task["annotations"] for result in each["result"]]

    assert results
    for result in results:
        assert {"type", "from_name", "to_name", "value"} <= set(result)
        assert {result["from_name"], result["to_name"]} <= set(declared)
        assert declared[result["from_name"]].get("toName") == result["to_name"]
        assert result["type"] in result["value"]
        if result["type"] == "rectanglelabels":
            assert {"original_width", "original_height", "image_rotation"} <= set(result)
            assert all(0 <= result["value"][key] <= 100 for key in ("x", "y", "width", "height"))
            kinds = {node.get("value") for node in declared[result["from_name"]]}
            assert set(result["value"]["rectanglelabels"]) <= kinds
    assert all(task["data"]["image"] for task in tasks)


def test_a_snapshot_leaves_without_what_came_into_conflict_since(
    held: RecordStore, export: Export, tmp_path: Path
) -> None:
    """A part agreed on when it was frozen and disputed now stays behind, and the digest is the snapshot's."""
    held.write([("freeze", 0, -1, FreezeSnapshot("qe-1", "first", SNAPSHOT))], UtcNs(UTC))
    say(held, label("late", "good", "op-3", of=MARKED, purpose=Purpose.AUDIT))
    _, told = export("folder", "--snapshot", SNAPSHOT)
    about = manifest(tmp_path / "out-folder")
    behind = {row["part"]: row["why"] for row in about["left_out"]}

    assert "the labels of the part are conflict now; settle them" == behind[str(part(MARKED))]
    assert MARKED not in parts(about["pictures"])
    assert DISPUTED not in parts(about["pictures"])
    assert (SNAPSHOT, True) == (about["snapshot"], about["digest"] in told)


def test_labels_after_the_snapshot_are_not_in_it(held: RecordStore, export: Export, tmp_path: Path) -> None:
    """What is exported is what was frozen."""
    held.write([("freeze", 0, -1, FreezeSnapshot("qe-1", "first", SNAPSHOT))], UtcNs(UTC))
    keep(held, 20)
    say(held, label("new", "good", of=20))
    export("folder", "--snapshot", SNAPSHOT)

    assert 20 not in parts(manifest(tmp_path / "out-folder")["pictures"])


@pytest.mark.usefixtures("held")
def test_a_damaged_or_missing_image_stays_behind(state: Path, export: Export, tmp_path: Path) -> None:
    """The label speaks of the image whose digest it has, and of no other."""
    files = sorted((state / "images").rglob("*.tiff")) or sorted((state / "images").rglob("*.tif"))
    by_digest = {path.stem: path for path in files}
    export("folder")
    rows = {row["part"]: row for row in manifest(tmp_path / "out-folder")["pictures"]}
    by_digest[rows[str(part(MARKED))]["sha256"]].write_bytes(b"II*\0damaged")
    by_digest[rows[str(part(OUTLINED))]["sha256"]].unlink()
    os.rename(tmp_path / "out-folder", tmp_path / "before")  # noqa: PTH104  a folder that was written before
    export("folder")
    behind = {row["part"]: row["why"] for row in manifest(tmp_path / "out-folder")["left_out"]}

    assert "is not the one labelled" in behind[str(part(MARKED))]
    assert "is missing on the disk" in behind[str(part(OUTLINED))]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--snapshot", "nonsense"), "--snapshot: nonsense is not known"),
        ((), "export: 0 of 0 pictures can be written as coco"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    state: Path, export: Export, tmp_path: Path, more: tuple[str, ...], why: str
) -> None:
    """Exit 2, and nothing is left of the folder."""
    RecordStore(state, 16).close()
    code, told = export("coco", *more)

    assert (2, 1, True) == (code, told.count("\n"), why in told)
    assert ["station"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_folder_or_a_station(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One of the two is exported, not both and not none; a snapshot is a station's."""
    common = ["--format", "coco", "--out", str(tmp_path / "x")]
    wrong = [[], [str(tmp_path), "--state", str(tmp_path)], [str(tmp_path), "--snapshot", "x"]]

    assert [2, 2, 2] == [main(["dataset", "export", *one, *common]) for one in wrong]
    assert 3 == capsys.readouterr().err.count("firstshift: ")


def read_by(python: Path, script: str, *arguments: str) -> list[list]:
    """Let another program read; gives [number of the part, boxes] of each picture."""
    command = [str(python), str(FOREIGN / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    return sorted([int(name.split("_")[0].partition("-")[2]), boxes] for name, boxes in told)


BOXES = [
    [GOOD, []],
    [MARKED, [["scratch", 4, 6, 10, 8], ["scratch", 30, 20, 8, 4]]],
    [OUTLINED, [["dent", 10, 10, 20, 12]]],
    [MASKED, [["crack", 20, 5, 20, 10]]],
    [TWO_VIEWS, [["scratch", 4, 6, 10, 8]]],
]


@pytest.mark.skipif(not DATUMARO.exists(), reason="no Datumaro; its own environment lies in build/foreign/datumaro")
@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_datumaro_finds_the_same(export: Export, tmp_path: Path, form: str) -> None:
    """Pictures, classes and boxes, by an independent program."""
    export(form)

    assert BOXES == read_by(DATUMARO, "datumaro_reader.py", form, str(tmp_path / f"out-{form}"))


@pytest.mark.skipif(not STUDIO.exists(), reason="no converter of Label Studio; see tests/foreign")
@pytest.mark.usefixtures("held")
def test_label_studios_converter_finds_the_same(export: Export, tmp_path: Path) -> None:
    """Where something is marked; of a mask it gets the outline through the middle of the border pixels."""
    export("labelstudio")
    found = read_by(STUDIO, "label_studio_reader.py", str(tmp_path / "out-labelstudio"))
    expected = [row for row in BOXES if row[0] in {MARKED, OUTLINED, TWO_VIEWS}]

    assert expected == [row for row in found if row[0] in {MARKED, OUTLINED, TWO_VIEWS}]
    assert [["crack"]] == [[box[0] for box in boxes] for number, boxes in found if number == MASKED]
