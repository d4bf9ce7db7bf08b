"""Protect `firstshift train`: a bundle with its data sheet, the same again by seed, and one clear line otherwise."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.evaluation.seen import SEEN
from appliance.storage import bundle as bundles
from appliance.trainer import data_sheet
from tests.unit.trainer_rig import folders


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders(tmp_path_factory.mktemp("plates") / "data", parts=60)


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    out = data.parent / "anomaly"

    assert main(["train", "anomaly", "--data", str(data), "--out", str(out), "--study", "--robustness"]) == 0
    return out


def test_a_bundle_comes_with_its_data_sheet(trained: Path, data: Path) -> None:
    """What was learned from is named, the sheet is inside the bundle, and the work folder is gone."""
    bundle = bundles.read(trained)
    sheet = json.loads(bundle.files[data_sheet.JSON])

    assert {data_sheet.HTML, data_sheet.JSON, SEEN} <= set(bundle.manifest.evidence)
    assert len(json.loads(bundle.files[SEEN])["sha256"]) == bundle.manifest.data.images
    assert sheet["groups"][0] + sheet["groups"][2] == 60
    assert sheet["decision"][0]["n"] == 40
    assert sheet["curve"]
    assert sheet["gap"] is not None
    assert len(sheet["robustness"]) > 10
    assert all(escapes["n"] + overkill["n"] == 60 for _, _, escapes, overkill in sheet["robustness"])
    assert bundle.manifest.calibration is not None
    assert [path.name for path in data.parent.iterdir() if path.name.startswith(".")] == []


def test_spots_are_found(trained: Path) -> None:
    """Dark spots on plates of other parts rank above good plates: the data sheet says so with its interval."""
    sheet = json.loads(bundles.read(trained).files[data_sheet.JSON])
    auroc = next(rate for rate in sheet["metrics"] if rate["name"] == "image_auroc")

    assert auroc["value"] > 0.95
    assert auroc["low"] <= auroc["value"] <= auroc["high"]


def test_evaluate_judges_what_train_made(trained: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command's JSON has the fixed keys; rates carry their counts."""
    assert main(["evaluate", str(trained), "--data", str(data), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert (found["task"], found["n"]) == ("anomaly", 60)
    assert {"image_auroc", "pixel_auroc", "aupro", "hit10", "escape_rate", "overkill_rate", "review_rate"} <= set(
        found["metrics"]
    )
    assert found["metrics"]["escape_rate"]["n"] == 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--minutes", "0"], "--minutes: 0, must be over 0"),
        (["--threads", "0"], "--threads: 0, at least 1"),
        (["--seed", "-1"], "--seed: -1, limit is 0"),
    ],
)
def test_wrong_options_are_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Exit 2, one line, nothing written."""
    assert main(["train", "anomaly", "--data", str(data), "--out", str(tmp_path / "b"), *arguments]) == 2
    told = capsys.readouterr()

    assert said in told.err
    assert told.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_never_overwritten(trained: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing folder is refused before anything is learned."""
    assert main(["train", "anomaly", "--data", str(data), "--out", str(trained)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_leaking_data_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same part in training and test is refused with the remedy, before anything is learned."""
    root = folders(tmp_path / "data", parts=24)
    text = (root / "groups.csv").read_text()
    (root / "groups.csv").write_text(text.replace(",part01", ",part02"))

    assert main(["train", "anomaly", "--data", str(root), "--out", str(tmp_path / "b")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "part02" in told or "group" in told
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_killed_training_goes_on(data: Path, tmp_path: Path) -> None:
    """After SIGKILL the same command finds what was done, ends with the same weights, and cleans up."""
    command = [sys.executable, "-m", "appliance.cli", "train", "anomaly", "--data", str(data), "--no-study"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)
    with subprocess.Popen([*command, "--out", str(cut)], stdout=subprocess.DEVNULL, start_new_session=True) as process:
        place = tmp_path / ".cut.work"
        while not list(place.glob("*/*")):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert not cut.exists()
    subprocess.run([*command, "--out", str(cut)], check=True, capture_output=True)

    assert bundles.read(whole).files["model.onnx"] == bundles.read(cut).files["model.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]
