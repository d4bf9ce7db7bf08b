"""Protect the reader against every file that a folder of pictures may hold."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from appliance.datasets.header import LARGEST_PIXELS, read_header
from appliance.datasets.inspection import refusals
from appliance.datasets.pictures import read_picture
from appliance.datasets.reading import read_data
from appliance.datasets.truth import load_frame
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from tests.unit.dataset_rig import SIZE, mvtec, store, texture, write


def colour(seed: int = 1) -> np.ndarray:
    return np.stack([texture(seed + channel) for channel in range(3)], axis=2)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("grey", [True, False])
def test_headers_say_what_decoding_gives(tmp_path: Path, suffix: str, grey: bool) -> None:
    """Size and channels are known without decoding, of every kind of file."""
    picture = texture(1) if grey else colour()
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, picture, compression="zstd")
    else:
        store(path, picture)
    header = read_header(path)

    assert (header.rows, header.cols, header.channels) == (*SIZE, 1 if grey else 3)
    assert read_picture(path).shape == (SIZE if grey else (*SIZE, 3))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_damaged(tmp_path: Path, suffix: str, share: float) -> None:
    """A file that was not copied whole is found without decoding it."""
    picture = np.random.default_rng(1).integers(0, 255, (200, 300), dtype=np.uint8)
    path = store(tmp_path / f"a{suffix}", picture)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(ConfigError, match=r"a\.\w+: ") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_text_named_png(tmp_path: Path) -> None:
    """A text file with the name of a picture is named and left out."""
    root = mvtec(tmp_path)
    write(root / "train/good/readme.png", "these are the good ones")
    write(root / "train/good/empty.jpg", "")
    data = read_data(root, TaskName.ANOMALY)

    assert len(data.samples) == 15
    assert sorted(n for r in data.remarks if r.kind == "damaged file" for n in r.names) == [
        "train/good/empty.jpg",
        "train/good/readme.png",
    ]


def test_sixteen_bits_are_left_out(tmp_path: Path) -> None:
    """Which of 16 bits a camera fills is not known, so such pictures are refused by name and not guessed."""
    root = mvtec(tmp_path)
    store(root / "train/good/deep.png", texture(60).astype(np.uint16) * 16)
    data = read_data(root, TaskName.ANOMALY)
    remark = next(r for r in data.remarks if r.kind == "damaged file")

    assert remark.names == ("train/good/deep.png",)
    assert "16 bits per channel, only 8 bits are read; convert it" in remark.text


def test_middle_of_a_file_damaged(tmp_path: Path) -> None:
    """Damage that only decoding shows is found when pictures are compared, and the picture is named."""
    root = mvtec(tmp_path)
    path = root / "train/good/t0.png"
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    data = read_data(root, TaskName.ANOMALY)

    assert [r.names for r in data.remarks if r.kind == "damaged file"] == [("train/good/t0.png",)]
    assert len(data.samples) == 14


def test_cmyk_jpeg(tmp_path: Path) -> None:
    """Printing colours become RGB, with a remark."""
    image = pytest.importorskip("PIL.Image")
    root = mvtec(tmp_path)
    image.new("CMYK", (SIZE[1], SIZE[0]), (255, 0, 255, 0)).save(root / "train/good/print.jpg", quality=95)
    data = read_data(root, TaskName.ANOMALY)
    frame = load_frame(next(s for s in data.samples if s.name.endswith("print.jpg")), PixelFormat.RGB8)

    assert data.pixel_format is PixelFormat.RGB8
    assert {"printing colours", "mixed channels"} <= {r.kind for r in data.remarks}
    red, green, blue = frame[20, 20].tolist()
    assert green > red + 100
    assert green > blue + 100


def test_alpha_is_dropped(tmp_path: Path) -> None:
    """An alpha channel is no colour; grey with alpha is grey."""
    image = pytest.importorskip("PIL.Image")
    root = mvtec(tmp_path)
    image.merge("LA", [image.fromarray(texture(61)), image.fromarray(texture(62))]).save(root / "train/good/la.png")
    store(root / "train/good/rgba.png", np.dstack([colour(), texture(9)]))
    data = read_data(root, TaskName.ANOMALY)

    assert np.array_equal(read_picture(root / "train/good/la.png"), texture(61))
    assert np.array_equal(read_picture(root / "train/good/rgba.png"), colour()[:, :, ::-1])
    assert [r.names for r in data.remarks if r.kind == "alpha"] == [("train/good/la.png", "train/good/rgba.png")]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    """A picture is read as viewers show it, since people labelled what they saw; Pillow is the oracle."""
    image = pytest.importorskip("PIL.Image")
    oriented = pytest.importorskip("PIL.ImageOps").exif_transpose
    exif = image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    image.fromarray(texture(5)).save(path, exif=exif, quality=95)
    header = read_header(path)
    expected = np.asarray(oriented(image.open(path)))

    assert (header.rows, header.cols) == expected.shape
    assert np.abs(read_picture(path).astype(int) - expected).max() <= 4


def test_hundred_megapixels(tmp_path: Path) -> None:
    """A picture of 100 megapixels is read; one over the limit is refused from its header alone."""
    path = tmp_path / "large.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((10_000, 10_000), np.uint8))[1].tobytes())
    content = bytearray(path.read_bytes())

    assert read_picture(path).shape == (10_000, 10_000)
    content[16:24] = struct.pack(">II", 20_000, 10_000)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="20000 x 10000 px, must have 1 px to 134 megapixels; cut it") as caught:
        read_picture(path)
    assert LARGEST_PIXELS > 100e6
    assert "\n" not in str(caught.value)


def test_names_of_any_script_and_length(tmp_path: Path) -> None:
    """Unicode names and paths of a thousand letters are read like others."""
    root = tmp_path
    for _ in range(4):
        root /= "ordner-" + "ß" * 110
    mvtec(root)
    store(root / "train/good/部品 №7 ✓.png", texture(63))
    write(root / "groups.csv", "name,group\n部品 №7 ✓.png,Ä\n")
    data = read_data(root, TaskName.ANOMALY)

    assert len(str(data.samples[0].picture).encode()) > 900
    assert [s.group for s in data.samples if "№" in s.name] == ["Ä"]


def test_no_picture(tmp_path: Path) -> None:
    """An empty folder, or none, ends with one line."""
    with pytest.raises(ConfigError, match="0 pictures, in none of the known layouts; arrange"):
        read_data(tmp_path, TaskName.ANOMALY)
    with pytest.raises(ConfigError, match="is no folder; give"):
        read_data(tmp_path / "nowhere", TaskName.ANOMALY)


def test_nothing_but_damage(tmp_path: Path) -> None:
    """Where no picture can be read, the line says how many and why."""
    write(tmp_path / "train/good/a.png", "text")

    with pytest.raises(ConfigError, match=r"0 pictures of use for anomaly.*1 pictures are left out") as caught:
        read_data(tmp_path, TaskName.ANOMALY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [TaskName.ANOMALY, TaskName.CLASSIFICATION, TaskName.DETECTION])
def test_one_picture(tmp_path: Path, task: TaskName) -> None:
    """One picture is read, and refused for training."""
    store(tmp_path / "train/good/a.png", texture(1))
    data = read_data(tmp_path, task)

    assert len(data.samples) == 1
    assert "too few pictures" in {r.kind for r in refusals(data, training=True)}
    assert refusals(data, training=False) == ()


def test_one_class_only(tmp_path: Path) -> None:
    """Good pictures alone are right for anomaly, and nothing to learn from for the others."""
    root = mvtec(tmp_path, kinds=())
    refused = {task: [r.kind for r in refusals(read_data(root, task), training=True)] for task in (
        TaskName.ANOMALY, TaskName.CLASSIFICATION, TaskName.DETECTION, TaskName.SEMANTIC)}  # fmt: skip

    assert refused == {
        TaskName.ANOMALY: [], TaskName.CLASSIFICATION: ["one class"], TaskName.DETECTION: ["nothing marked"],
        TaskName.SEMANTIC: ["nothing marked"],
    }  # fmt: skip


def test_defective_only(tmp_path: Path) -> None:
    """Anomaly learns from good pictures, so a set without any is refused."""
    store(tmp_path / "train/crack/a.png", texture(1))
    store(tmp_path / "train/crack/b.png", texture(2))
    data = read_data(tmp_path, TaskName.ANOMALY)

    assert [r.kind for r in refusals(data, training=True)] == ["no good picture"]


def test_black_pictures(tmp_path: Path) -> None:
    """Black pictures are named; they are no duplicates of each other. Nothing but black is refused."""
    root = mvtec(tmp_path)
    for name in ("train/good/t0", "train/good/t1", "test/good/g0"):
        store(root / f"{name}.png", np.zeros(SIZE, np.uint8))
    some = read_data(root, TaskName.ANOMALY)
    for path in root.glob("t*/*/*.png"):
        store(path, np.zeros(SIZE, np.uint8))

    assert [(r.kind, len(r.names)) for r in some.remarks if not r.kind.startswith("few")] == [("blank picture", 3)]
    assert [r.kind for r in refusals(read_data(root, TaskName.ANOMALY), training=False)] == ["blank picture"]


def test_duplicate_names(tmp_path: Path) -> None:
    """Names that differ in the suffix alone are named: masks, labels and templates belong to stems."""
    root = mvtec(tmp_path)
    store(root / "train/good/t0.jpg", texture(64))
    data = read_data(root, TaskName.ANOMALY)

    assert [r.names for r in data.remarks if r.kind == "duplicate name"] == [("train/good/t0.jpg", "train/good/t0.png")]


def test_class_imbalance(tmp_path: Path) -> None:
    """A rare class is named with its counts."""
    root = mvtec(tmp_path, train=41, kinds=("crack",), of_each=2)
    said = [r.text for r in read_data(root, TaskName.CLASSIFICATION).remarks if r.kind == "class imbalance"]

    assert said == ["44 pictures of good, 2 of crack: over 20 to 1; add pictures of the rare class"]


def test_folder_that_leads_back_to_itself(tmp_path: Path) -> None:
    """A link to the folder it lies in is not followed for ever."""
    root = mvtec(tmp_path)
    (root / "train/good/again").symlink_to(root / "train")

    assert len(read_data(root, TaskName.ANOMALY).samples) == 15


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    """Letters of an old code page are named, not guessed."""
    root = mvtec(tmp_path)
    (root / "groups.csv").write_bytes("name,group\nt0.png,Grün\n".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"groups.csv: is not UTF-8 from byte 20 on; save it as UTF-8"):
        read_data(root, TaskName.ANOMALY)
