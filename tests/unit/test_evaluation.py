"""`firstshift evaluate` counts what a bundle lets pass, by standard definitions, on pictures it has not seen."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.datasets.reading import read_data
from appliance.evaluation.appraisal import check_classes
from appliance.evaluation.command import EvaluateOptions, run_evaluate
from appliance.evaluation.seen import seen_file
from appliance.learning.rates import Rate
from appliance.schema.bundle import ClassSpec, ConfidenceCurve, Preprocessing, TaskName, Tiling
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle as bundles
from tests.unit import evaluation_rig as rig


def evaluate(bundle: Path, data: Path, folder: Path, **more: object) -> dict:
    """Run the command and read what it wrote."""
    place = folder / "report.json"
    assert 0 == run_evaluate(EvaluateOptions(bundle, data, json=str(place), **more))
    found: dict = json.loads(place.read_text())
    return found


def counts(value: dict) -> tuple[int, int]:
    rate = msgspec.convert(value, Rate)
    assert rate.value == (rate.k / rate.n if rate.n else None)
    assert rate.low <= (rate.value or 0.0) <= rate.high
    return rate.k, rate.n


def test_anomaly_report(tmp_path: Path) -> None:
    """Scores rank, maps point, limits decide: all as counted by hand, on the test pictures alone."""
    data = rig.write_folders(tmp_path / "data")
    found = evaluate(rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY), data, tmp_path)
    metrics = found["metrics"]

    assert ("anomaly", 9, "onnx", "f32") == (found["task"], found["n"], found["runtime"], found["precision"])
    assert (6, 3, 5) == (found["good"], found["defective"], found["groups"])
    assert (1.0, 1.0) == (metrics["image_auroc"], metrics["image_average_precision"])
    assert metrics["aupro"] > 0.99
    assert metrics["pixel_auroc"] > 0.999
    assert [(3, 3)] * 4 == [counts(metrics[name]) for name in ("hit", "hit10", "detection_at_5", "detection_at_10")]
    assert [(0, 3), (0, 6), (0, 9)] == [
        counts(metrics[name]) for name in ("escape_rate", "overkill_rate", "review_rate")
    ]
    assert (0, 3) == counts(found["per_class"]["spot"]["escape_rate"])
    assert {} == found["intervals"]
    assert any("5 parts, at least 10" in line for line in found["remarks"])
    assert 5 == found["by_part"]["worst"]["n"]


def test_numbers_that_are_no_counts_have_intervals_by_part(tmp_path: Path) -> None:
    """From ten parts on; pictures of one part are drawn together."""
    data = rig.write_folders(tmp_path / "data", good=18, spots=((0, 0), (32, 64), (96, 96)))
    found = evaluate(rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY), data, tmp_path)

    assert {
        *("image_auroc", "image_average_precision", "pixel_auroc", "aupro", "hit10", "detection_at_5"),
        *("detection_at_10", "escape_rate", "overkill_rate", "review_rate"),
    } == set(found["intervals"])
    assert {11} == {one["parts"] for one in found["intervals"].values()}
    assert all(one["low"] <= one["high"] for one in found["intervals"].values())


def test_dim_defects_escape_and_bright_good_parts_are_overkill(tmp_path: Path) -> None:
    """Escapes, overkill and review follow the bundle's own two limits."""
    data = rig.write_folders(tmp_path / "data")
    generator = np.random.default_rng(1)
    for name, level in (("test/spot/spot0.png", 80), ("test/good/test0.png", 150), ("test/good/test1.png", 230)):
        rig.cv2.imwrite(str(data / name), rig.noisy(rig.picture((0, 0), level), generator))
    found = evaluate(rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY), data, tmp_path)
    metrics, parts = found["metrics"], found["by_part"]

    assert (1, 3) == counts(metrics["escape_rate"])
    assert (2, 6) == counts(metrics["overkill_rate"])
    assert (1, 6) == counts(metrics["overkill_rejected_rate"])
    assert (1, 9) == counts(metrics["review_rate"])
    assert ["test/spot/spot0.png", "test/good/test1.png", "test/good/test0.png"] == [
        one["image"] for one in found["worst"]
    ]
    assert ((0, 2), (1, 3)) == (counts(parts["worst"]["escape_rate"]), counts(parts["worst"]["overkill_rate"]))
    assert pytest.approx((12 + 4) / 18) == metrics["image_auroc"]


def test_unmarked_defects_are_left_out_of_pixel_metrics(tmp_path: Path) -> None:
    """A defective picture without a mask has no normal pixels; it counts in image metrics alone."""
    data = rig.write_folders(tmp_path / "data")
    (data / "ground_truth" / "spot" / "spot0_mask.png").unlink()
    found = evaluate(rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY), data, tmp_path)

    assert (2, 2) == counts(found["metrics"]["hit"])
    assert (3, 3) == counts(found["metrics"]["detection_at_10"])
    assert found["metrics"]["pixel_auroc"] > 0.999
    assert any("1 defective pictures have no mask" in line for line in found["remarks"])


def test_classification_report(tmp_path: Path) -> None:
    """The answer is the finding's class; its confidence is the curve's."""
    data = rig.write_folders(tmp_path / "data")
    curves = (
        ConfidenceCurve("spot", (0.0, 1.0), (0.75, 0.75), 9, 3, 0.1),
        ConfidenceCurve("", (0.0, 1.0), (0.25, 0.25), 9, 3, 0.1),
    )
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.CLASSIFICATION, curves=curves)
    found = evaluate(bundle, data, tmp_path)
    metrics = found["metrics"]

    assert (1.0, 1.0) == (metrics["macro_f1"], metrics["auroc"])
    assert found["n"] == counts(metrics["accuracy"])[0]
    assert [3, 3] == list(counts(found["per_class"]["spot"]["recall"]))
    assert pytest.approx(0.25) == metrics["calibration_error_equal_mass"]
    assert [[12, 0], [0, 3]] == found["confusion"]["counts"]
    assert any("ALL 15 are taken" in line for line in found["remarks"])


def test_semantic_report(tmp_path: Path) -> None:
    """Intersection over union is counted in frame pixels, beside what marking nothing would give."""
    data = rig.write_folders(tmp_path / "data")
    found = evaluate(rig.write_bundle(tmp_path / "bundle", TaskName.SEMANTIC), data, tmp_path)
    nothing = 1 - 3 * 32 * 32 / (15 * rig.FRAME**2)

    assert 1.0 == found["metrics"]["miou"]
    assert pytest.approx(nothing / 2) == found["metrics"]["miou_all_background"]
    assert {"iou": 1.0, "pixels": 3 * 1024, "pictures": 3} == {
        name: found["per_class"]["spot"][name] for name in ("iou", "pixels", "pictures")
    }


@pytest.mark.parametrize(("task", "prefix"), [(TaskName.DETECTION, ""), (TaskName.INSTANCE, "mask_")])
def test_object_report(tmp_path: Path, task: TaskName, prefix: str) -> None:
    """Average precision looks at all scores, though the bundle lists the strongest alone; counts stand beside it."""
    data = rig.write_coco(tmp_path / "data", [(0, 0), (32, 64), None, (96, 96), None])
    bundle = rig.write_bundle(tmp_path / "bundle", task, (ClassSpec("spot", threshold=0.99),))
    found = evaluate(bundle, data, tmp_path)

    assert (1.0, 1.0) == (
        pytest.approx(found["metrics"][f"{prefix}map50"]),
        pytest.approx(found["metrics"][f"{prefix}map50_95"]),
    )
    assert (3, 2) == (found["defective"], found["good"])
    assert 3 == found["per_class"]["spot"]["objects"]
    assert (0, 3) == counts(found["metrics"]["escape_rate"])
    assert (0, 3) == counts(found["per_class"]["spot"]["escape_rate"])


def test_a_feature_of_the_part_is_no_defect(tmp_path: Path) -> None:
    """A picture that shows nothing but features is good, and accepting it no escape."""
    data = rig.write_coco(tmp_path / "data", [(0, 0), None])
    classes = (ClassSpec("spot", defect=False), ClassSpec("dent"))
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.DETECTION, classes[:1])
    found = evaluate(bundle, data, tmp_path)

    assert (2, 0) == (found["good"], found["defective"])


def test_what_the_bundle_has_seen_is_left_out_with_its_parts(tmp_path: Path) -> None:
    """Pictures that a bundle was made from, and others of the same parts, flatter it; they are left out, loudly."""
    root = rig.write_folders(tmp_path / "data")
    data = read_data(root, TaskName.SEMANTIC)
    learned = [sample for sample in data.samples if sample.name in {"train/good/train0.png", "test/good/test2.png"}]
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.SEMANTIC, seen=seen_file(learned))
    found = evaluate(bundle, root, tmp_path)

    assert 15 - 4 == found["n"]
    assert any("2 of these 15 pictures: they are left out, with 2 others" in line for line in found["remarks"])
    everything = rig.write_bundle(tmp_path / "all", TaskName.SEMANTIC, seen=seen_file(data.samples))
    with pytest.raises(ConfigError, match="give pictures of other parts"):
        evaluate(everything, root, tmp_path)


def test_a_bundle_without_limits_accepts_nothing(tmp_path: Path) -> None:
    """Uncalibrated, everything goes to review: no escapes, all overkill, and a remark that says so."""
    data = rig.write_folders(tmp_path / "data")
    found = evaluate(rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY, limits=None), data, tmp_path)

    assert ((0, 3), (6, 6), (9, 9)) == tuple(
        counts(found["metrics"][name]) for name in ("escape_rate", "overkill_rate", "review_rate")
    )
    assert any("no limits" in line for line in found["remarks"])


def test_a_frame_that_the_bundle_cannot_read_has_no_verdict(tmp_path: Path) -> None:
    """As on the line the part is held back: overkill for a good one, no escape; all unreadable is an error."""
    data = rig.write_folders(tmp_path / "data")
    large = rig.noisy(rig.picture(None, size=2 * rig.FRAME), np.random.default_rng(0))
    rig.cv2.imwrite(str(data / "test" / "good" / "test0.png"), large)
    aspect = Preprocessing(PixelFormat.MONO8, rig.SIDE, rig.SIDE, keep_aspect=True, shrink=2.0)
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY, preprocessing=aspect)
    found = evaluate(bundle, data, tmp_path)

    assert ((1, 6), (0, 3)) == tuple(counts(found["metrics"][name]) for name in ("overkill_rate", "escape_rate"))
    assert pytest.approx(15 / 18) == found["metrics"]["image_auroc"]
    assert any("1 of 9 pictures cannot be read" in line and "test0.png" in line for line in found["remarks"])
    tiny = Preprocessing(PixelFormat.MONO8, rig.SIDE, rig.SIDE, tiling=Tiling(16, shrink=9.0))
    frame = np.full((640, 640), rig.DARK, np.uint8)
    none = rig.write_bundle(tmp_path / "none", TaskName.ANOMALY, preprocessing=tiny, frame=frame)
    with pytest.raises(RuntimeFault, match="a tile's width is 576 px"):
        evaluate(none, data, tmp_path)


def test_strange_classes_and_wrong_usage_are_refused(tmp_path: Path) -> None:
    """Data with a class that the bundle does not know, or an unknown split, are one clear line."""
    data = rig.write_coco(tmp_path / "data", [(0, 0)])
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.DETECTION, (ClassSpec("dent"),))

    with pytest.raises(ConfigError, match="'spot' is unknown to the bundle, which knows dent"):
        run_evaluate(EvaluateOptions(bundle, data))
    with pytest.raises(ConfigError, match="--split 'tset': unknown"):
        run_evaluate(EvaluateOptions(bundle, data, split="tset"))
    with pytest.raises(ConfigError, match="--threads: 0"):
        run_evaluate(EvaluateOptions(bundle, data, threads=0))


@pytest.mark.parametrize("task", [TaskName.ANOMALY, TaskName.SEMANTIC, TaskName.CLASSIFICATION])
@pytest.mark.parametrize(("good", "spots"), [(2, ()), (0, ((0, 0),)), (1, ((0, 0),))])
def test_one_sided_and_tiny_sets_give_no_number_they_cannot(
    tmp_path: Path, task: TaskName, good: int, spots: tuple[tuple[int, int], ...]
) -> None:
    """Without good or without defective pictures nothing is ranked, and rates of nothing have no value."""
    data = rig.write_folders(tmp_path / "data", good, spots)
    found = evaluate(rig.write_bundle(tmp_path / "bundle", task), data, tmp_path)
    metrics = found["metrics"]
    ranked = metrics["auroc" if task is TaskName.CLASSIFICATION else "image_auroc"]

    assert (1.0 if good and spots else None) == ranked
    assert (0.0 if spots else None) == metrics["escape_rate"]["value"]
    assert (0.0 if good else None) == metrics["overkill_rate"]["value"]


def test_parts_on_both_sides_are_refused(tmp_path: Path) -> None:
    """A part whose pictures stand in train and test makes every number a lie: exit with one line."""
    data = rig.write_folders(tmp_path / "data")
    listed = (data / "groups.csv").read_text().replace("test0.png,test-part0", "test0.png,train-part0")
    (data / "groups.csv").write_text(listed)
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY)

    with pytest.raises(ConfigError, match="dataset inspect"):
        run_evaluate(EvaluateOptions(bundle, data))


def test_data_of_another_task_is_refused(tmp_path: Path) -> None:
    """Pictures read for one task say nothing of a bundle for another."""
    data = read_data(rig.write_folders(tmp_path / "data"), TaskName.ANOMALY)
    manifest = bundles.read(rig.write_bundle(tmp_path / "bundle", TaskName.SEMANTIC)).manifest

    with pytest.raises(ConfigError, match="data of task anomaly, the bundle is of task semantic"):
        check_classes(manifest, data)


def test_json_to_standard_output_is_all_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json -` prints one object and nothing else; without it, lines with counts and intervals."""
    data = rig.write_folders(tmp_path / "data")
    bundle = rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY)
    run_evaluate(EvaluateOptions(bundle, data, json="-"))
    alone = capsys.readouterr().out
    run_evaluate(EvaluateOptions(bundle, data))
    lines = capsys.readouterr().out

    assert 9 == json.loads(alone)["n"]
    assert "escape_rate                  0.000 (0 of 3, 0.000 to 0.708)" in lines
