"""What a person sees of a bundle at a desk: findings of pictures, its own words, and its 8-bit sibling."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from msgspec.structs import replace

from appliance.cli import main
from appliance.config import Camera, Config, Judge, Loaded, Mcu, Station
from appliance.datasets.pictures import as_frame, read_picture
from appliance.infer.show import describe
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.schema.recipe import Recipe
from appliance.storage import bundle
from tests.contract.task_rig import SIZE, fitted, frames


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    """Store a raw frame as `record` does, and a colour picture of another part."""
    raw, colour = frames()[0], cv2.cvtColor(frames()[1], cv2.COLOR_BayerRGGB2BGR)
    tifffile.imwrite(tmp_path / "raw.tif", raw, compression="zstd", predictor=True)
    cv2.imwrite(str(tmp_path / "colour.png"), colour)
    return [tmp_path / "raw.tif", tmp_path / "colour.png"]


def test_findings_as_json_and_drawn(pictures, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object on standard output and nothing else; an overlay for each picture, larger by its headline."""
    arguments = ["infer", str(fitted(TaskName.DETECTION)), *map(str, pictures), "--json", "-", "--mm-per-px", "0.1"]

    assert 0 == main([*arguments, "--overlay", str(tmp_path / "drawn")])
    told = json.loads(capsys.readouterr().out)
    assert ["openvino", "f32", True] == [told["runtime"], told["precision"], told["limits_hold"]]
    assert [str(path) for path in pictures] == [one["image"] for one in told["images"]]
    first = told["images"][0]
    assert {"accept", "review", "reject"} >= {first["disposition"]}
    box, extent = first["findings"][0]["box"], first["findings"][0]["extent"]
    assert pytest.approx(box["width_px"] / 10) == extent["width_mm"]
    for path in pictures:
        drawn = cv2.imread(str(tmp_path / "drawn" / f"{path.stem}.png"))
        assert (drawn.shape[1], drawn.shape[0] > SIZE[1]) == (SIZE[0], True)


def test_raw_and_colour_pictures_agree() -> None:
    """A colour picture is sampled as the camera would, so that both show the network the same."""
    raw = frames()[0]
    colour = cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB)

    assert np.array_equal(raw, as_frame(raw, PixelFormat.BAYER_RG8))
    sampled = as_frame(colour, PixelFormat.BAYER_RG8)
    assert np.array_equal(raw[2:-2, 2:-2], sampled[2:-2, 2:-2])


def test_other_precision_is_uncalibrated(pictures, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings in another precision are shown, without a confidence, and every picture is a person's."""
    if OpenVinoRuntime().choose() != "bf16":
        pytest.skip("this CPU has no bf16")
    arguments = ["infer", str(fitted(TaskName.DETECTION)), str(pictures[0]), "--precision", "bf16"]

    assert 0 == main(arguments)
    assert "uncalibrated: calibrated in f32, run in bf16; nothing is accepted" in capsys.readouterr().out
    assert 0 == main([*arguments, "--json", "-"])
    told = json.loads(capsys.readouterr().out)
    assert {None} >= {finding["confidence"] for finding in told["images"][0]["findings"]}
    assert ("review", "uncalibrated", False) == (
        told["images"][0]["disposition"],
        told["images"][0]["reason"],
        told["limits_hold"],
    )


@pytest.mark.parametrize("content", [b"", b"junk", b"II*\x00\x08\x00\x00\x00"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_what_is_no_picture_is_refused(content: bytes, suffix: str, tmp_path, capsys) -> None:
    """One line, status 2, and nothing is written, not even for the good picture before it."""
    good, bad = tmp_path / "good.png", tmp_path / f"bad{suffix}"
    cv2.imwrite(str(good), frames()[0])
    bad.write_bytes(content)
    arguments = ["infer", str(fitted(TaskName.DETECTION)), str(good), str(bad), "--overlay", str(tmp_path / "drawn")]

    assert 2 == main(arguments)
    said = capsys.readouterr()
    assert ("", 1) == (said.out, said.err.count("\n"))
    assert bad.name in said.err
    assert not (tmp_path / "drawn").exists()


def test_sixteen_bits_are_refused(tmp_path) -> None:
    """Values that would have to be scaled are refused, not scaled in silence."""
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((8, 8), np.uint16))
    with pytest.raises(ConfigError, match="16 bits per channel, only 8 bits"):
        read_picture(tmp_path / "deep.png")


def test_show_warns_of_what_cannot_be_seen(tmp_path) -> None:
    """A class whose smallest defect is under 3 px of the input is named; without a scale that is said too."""
    source = bundle.read(fitted(TaskName.DETECTION))
    head = source.manifest.heads[0]
    classes = tuple(
        ClassSpec(item.name, item.defect, item.threshold, 0.2 if item.name == "scratch" else None)
        for item in head.classes
    )
    heads, how = (replace(head, classes=classes),), source.manifest.preprocessing
    bundle.write(tmp_path / "blind", replace(source.manifest, heads=heads, calibration=None), source.files)
    scaled = replace(how, mm_per_px=0.12)
    bundle.write(tmp_path / "coarse", replace(source.manifest, heads=heads, preprocessing=scaled), source.files)
    blind, coarse = describe(tmp_path / "blind"), describe(tmp_path / "coarse")

    assert "warning: uncalibrated: no limits are set, so by limits no part is accepted" in blind
    assert "warning: no scale is known" in blind
    assert "warning: training data: class scratch: smallest defect 0.2 mm is 1.1 px of the input image" in coarse
    assert "warning: uncalibrated" not in coarse


def test_show_says_that_the_station_runs_another_precision(tmp_path) -> None:
    """What was calibrated in one precision is uncalibrated in the station's."""
    config = Config(
        Station("st1", str(tmp_path), str(tmp_path / "run")),
        Mcu(link="mcu", counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200),
        {"top": Camera(producer="x.cti", serial="1", width_px=SIZE[0], height_px=SIZE[1])},
    )
    recipe = Recipe("r", 1, ("top",), "b")
    said = {
        precision: describe(
            fitted(TaskName.DETECTION),
            Loaded(replace(config, judge=Judge(precision=precision)), recipe, tmp_path / "s.toml", "0" * 64),
        )
        for precision in ("f32", "bf16")
    }
    warning = "warning: uncalibrated: calibrated in f32, run in bf16; nothing is accepted"

    assert [False, True] == [warning in said[precision] for precision in ("f32", "bf16")]


def test_show_prints_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    """`bundle show --json` is the manifest with its id."""
    assert 0 == main(["bundle", "show", str(fitted(TaskName.DETECTION)), "--json"])
    told = json.loads(capsys.readouterr().out)

    assert bundle.read(fitted(TaskName.DETECTION)).id == told["id"]
    assert "detection" == told["manifest"]["heads"][0]["task"]


def test_eight_bits_have_to_pass_their_gate(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sibling exists only if the gate was met, and then it is not calibrated and names its parent."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(16):
        cv2.imwrite(str(folder / f"{number}.png"), np.roll(frames()[number % 7], 2 * number, axis=1))
    origin = fitted(TaskName.ANOMALY)
    status = main(["bundle", "quantize", str(origin), "--images", str(folder), "--out", str(tmp_path / "eight")])
    said = capsys.readouterr().out

    assert "limit 0.1" in said
    assert "8 images" in said
    assert (status == 0) == (tmp_path / "eight").exists() == ("gate not met" not in said)
    if status == 0:
        made = bundle.read(tmp_path / "eight").manifest
        assert (bundle.read(origin).id, None, "int8") == (made.parent, made.calibration, made.precision)


def test_text_is_never_quantized(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle that reads is refused: letters do not survive 8 bits."""
    arguments = [
        "bundle",
        "quantize",
        str(fitted(TaskName.OCR)),
        "--images",
        str(tmp_path),
        "--out",
        str(tmp_path / "x"),
    ]

    assert 2 == main(arguments)
    assert "cannot be int8" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--mm-per-px", "-1"), ("--mm-per-px", "nan"), ("--threads", "0")])
def test_numbers_that_cannot_be_are_refused(
    wrong: tuple[str, str], pictures, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scale of nothing, or no thread, is one line that names option and value, and status 2."""
    assert 2 == main(["infer", str(fitted(TaskName.DETECTION)), str(pictures[0]), *wrong])
    said = capsys.readouterr()
    assert ("", 1) == (said.out, said.err.count("\n"))
    assert wrong[0] in said.err
