"""Protect `dataset inspect`: everything that was found is told, and a leak is a finding."""

import json
from pathlib import Path

import msgspec
import pytest

from appliance.datasets.inspect_command import InspectOptions, run_inspect
from appliance.storage.whole_file import write_whole
from tests.unit.dataset_rig import SIZE, mvtec, write


def test_inspect_tells_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has counts per class and split, sizes, and every remark with its names; `-` prints JSON alone."""
    root = mvtec(tmp_path)
    write(root / "train/good/bad.png", "text")

    assert run_inspect(InspectOptions(root, json="-"), write_whole) == 0
    summary = msgspec.json.decode(capsys.readouterr().out)
    assert (summary["task"], summary["layout"], summary["pictures"]) == ("anomaly", "MVTec folders", 15)
    assert summary["counts"]["good"] == {
        "train": {"pictures": 6, "parts": 6, "things": 0},
        "test": {"pictures": 3, "parts": 3, "things": 0},
    }
    assert summary["sizes"] == [{"width": SIZE[1], "height": SIZE[0], "pictures": 15}]
    assert ["train/good/bad.png"] in [remark["names"] for remark in summary["remarks"]]

    assert run_inspect(InspectOptions(root), write_whole) == 0
    said = capsys.readouterr().out
    assert "crack            test 3 pictures of 3 parts" in said
    assert said.endswith("usable\n")


def test_inspect_fails_on_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A remark that refuses is an exit code of 1 and the first thing said."""
    root = mvtec(tmp_path)
    (root / "test/good/copy.png").write_bytes((root / "train/good/t0.png").read_bytes())

    assert run_inspect(InspectOptions(root, json=str(tmp_path / "found.json")), write_whole) == 1
    said = capsys.readouterr().out
    assert "REFUSED    equal files: 2 pictures are equal files and stand in two splits" in said
    assert json.loads((tmp_path / "found.json").read_text("utf-8"))["refused"] is True
