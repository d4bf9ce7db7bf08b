"""`firstshift bundle calibrate` gives a bundle limits and confidences from parts that it has not seen."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from appliance.cli import main
from appliance.datasets.reading import read_data
from appliance.evaluation.held_out import Chosen
from appliance.evaluation.judging import Judged
from appliance.evaluation.seen import SEEN, SeenPictures, seen_file
from appliance.infer.show import describe
from appliance.schema.bundle import ClassSpec, Head, Manifest, Novelty, TaskName
from appliance.schema.verdict import Disposition
from appliance.services._inspector import verify_bundle
from appliance.storage import bundle as bundles
from appliance.tasks.ocr import OcrSettings
from appliance.trainer.recalibration import _cap, _novelty
from tests.unit import evaluation_rig as rig

PLACES = tuple((32 * (n % 4), 32 * (n // 4 % 4)) for n in range(24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a bundle and 12 spotted and 40 good test parts, two pictures each."""
    root = tmp_path_factory.mktemp("calibrate")
    data = rig.write_folders(root / "data", good=80, spots=PLACES)
    learned = [one for one in read_data(data, TaskName.ANOMALY).samples if one.split == "train"]
    rig.write_bundle(root / "bundle", TaskName.ANOMALY, seen=seen_file(learned))
    return root


def calibrate(folder: Path, out: Path, *more: str) -> int:
    return main(
        ["bundle", "calibrate", str(folder / "bundle"), "--data", str(folder / "data"), "--out", str(out), *more]
    )


def test_the_new_bundle_is_a_child_with_limits_of_its_own(folder: Path, tmp_path: Path) -> None:
    """Limits come from the worst picture of each good part, curves say how they were fitted, golden tensors hold."""
    assert 0 == calibrate(folder, tmp_path / "new", "--precision", "f32", "--share", "1")
    old, new = bundles.read(folder / "bundle"), bundles.read(tmp_path / "new")
    curve = next(one for one in new.manifest.confidence if not one.kind)
    evidence = json.loads(new.files["evidence/calibration.json"])

    assert (old.id, "f32", 40) == (new.manifest.parent, new.manifest.precision, new.manifest.calibration.images)
    assert new.manifest.calibration != old.manifest.calibration
    assert rig.DARK < new.manifest.calibration.accept_below < rig.BRIGHT
    assert (104, 24, 52) == (curve.count, curve.right, curve.parts)
    assert {"isotonic", "temperature"} == set(curve.log_losses)
    assert curve.log_losses[curve.method] == min(curve.log_losses.values())
    assert (40, 12, 104, old.id) == (evidence["good"], evidence["defects"], evidence["pictures"], evidence["parent"])
    assert "golden tensors differ by at most" in verify_bundle(tmp_path / "new")
    assert "confidence image score: " in describe(tmp_path / "new")
    assert "confidence uncalibrated" in describe(folder / "bundle")


def test_what_calibrated_it_cannot_judge_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts used are seen from then on; the other half is left for a plan of risk."""
    assert 0 == calibrate(folder, tmp_path / "new")
    new = bundles.read(tmp_path / "new")
    seen = msgspec.json.decode(new.files[SEEN], type=SeenPictures)
    capsys.readouterr()
    rest = [
        "risk",
        "plan",
        str(tmp_path / "new"),
        "--data",
        str(folder / "data"),
        "--json",
        "-",
        "--escape-rate",
        "0.5",
    ]
    assert 0 == main(rest)
    found = json.loads(capsys.readouterr().out)

    assert (80 + 52, True) == (len(seen.sha256), seen.complete)
    assert (6, 20) == (found["defects"], found["good"])
    assert any("52 pictures are left out" in line for line in found["remarks"])
    assert 0 == calibrate(folder, tmp_path / "all", "--share", "1")
    assert 2 == main([*rest[:2], str(tmp_path / "all"), *rest[3:]])


def test_too_few_good_parts_leave_it_uncalibrated(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under 20 good parts there are no limits, and the command says so; everything then goes to a person."""
    assert 0 == calibrate(folder, tmp_path / "new", "--share", "0.2")

    assert bundles.read(tmp_path / "new").manifest.calibration is None
    assert "no limits: under 20 good parts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--share", "0"), "--share 0"),
        (("--overkill", "0.5"), "--overkill 0.5"),
        (("--split", "odd"), "--split 'odd'"),
        (("--threads", "0"), "--threads 0"),
        (("--precision", "f64"), "f64"),
    ],
)
def test_bad_input_makes_no_bundle(
    folder: Path, tmp_path: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line, no folder."""
    assert 2 == calibrate(folder, tmp_path / "new", *more)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_bundles_are_never_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An output that exists is refused before anything is scored."""
    assert 2 == calibrate(folder, folder / "bundle")
    assert "already exists" in capsys.readouterr().err


def test_a_detector_of_unknown_parts_gets_the_scores_of_known_ones(folder: Path) -> None:
    """One score to a part, its worst; parts of classes that it does not know, or without a score, tell it nothing."""
    data = read_data(folder / "data", TaskName.ANOMALY)
    chosen = Chosen(data, tuple(one for one in data.samples if one.split == "test"), ())
    detector = Novelty("novelty.npz", "features", (0.0,), ("good",))
    judged = [
        Judged(one, 0.0, Disposition.REVIEW, (), novelty=float(place)) for place, one in enumerate(chosen.samples)
    ]
    worst = {one.sample.group: one.novelty for one in judged if one.sample.label == "good"}
    blind = [replace(judged[0], novelty=None), *judged[1:]]
    found, less = (_novelty(detector, those, chosen) for those in (judged, blind))

    assert replace(detector, scores=tuple(sorted(worst.values()))) == found
    assert 39 == len(less.scores)
    assert _novelty(detector, judged[:30], chosen) is None
    assert _novelty(None, judged, chosen) is None


def test_a_part_that_counts_as_found_is_never_accepted() -> None:
    """Where the task names a score from which a part must not pass, no good part raises the limit over it."""
    head = Head(TaskName.CLASSIFICATION, (), "settings.json")
    blank = dict.fromkeys(Manifest.__struct_fields__)
    ocr = Head(TaskName.OCR, (ClassSpec("text", threshold=0.8),), "settings.json")
    settings = msgspec.json.encode(OcrSettings(("a",), ("d",), ("r",), "", bound_threshold=0.9))

    def bundle(one: Head) -> bundles.Bundle:
        return bundles.Bundle("", Path(), Manifest(**{**blank, "heads": (one,)}), {"settings.json": settings})

    assert 0.5 == _cap(bundle(head))
    assert pytest.approx(0.2) == _cap(bundle(ocr))
    assert _cap(bundle(Head(TaskName.ANOMALY, (), "settings.json"))) is None
