"""Folds are judged each by its own bundle and counted once over all."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet, Sample, Split
from appliance.datasets.splitting import selected
from appliance.evaluation.appraisal import Fold, appraise, appraise_folds
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec, TaskName
from appliance.schema.errors import ConfigError
from appliance.services._inspector import LoadedBundle, load_bundle
from tests.unit import evaluation_rig as rig

DEAF = replace(rig.LIMITS, accept_below=250.0, reject_above=255.0)
"""Accepts whatever there is."""


def loaded(folder: Path, task: TaskName = TaskName.ANOMALY, **more: object) -> LoadedBundle:
    return load_bundle(rig.write_bundle(folder, task, **more), OnnxRuntime(), "f32", 1)


def halves(data: DataSet) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Part the test pictures: two spots and four good ones, then one spot and two good ones."""
    own = selected(data, Split.TEST)
    second = [sample for sample in own if sample.group in {"test-part2", "spotted1"}]
    return [sample for sample in own if sample not in second], second


def test_one_fold_is_judged_as_ever(tmp_path: Path) -> None:
    """`appraise` and one fold give the same rows and numbers."""
    data = read_data(rig.write_folders(tmp_path / "data"), TaskName.ANOMALY)
    bundle, samples = loaded(tmp_path / "bundle"), selected(data, Split.TEST)
    alone, folded = appraise(bundle, data, samples), appraise_folds(((bundle, samples),), data)

    assert alone.rows == folded.rows
    assert alone.outcome == folded.outcome


def test_folds_of_one_bundle_count_as_one(tmp_path: Path) -> None:
    """Where all folds are judged by the same bundle, dividing the pictures changes no number."""
    data = read_data(rig.write_folders(tmp_path / "data"), TaskName.ANOMALY)
    bundle, (first, second) = loaded(tmp_path / "bundle"), halves(data)
    whole, folded = appraise(bundle, data, [*first, *second]), appraise_folds(((bundle, first), (bundle, second)), data)

    assert whole.rows == folded.rows
    assert whole.outcome == folded.outcome


def test_each_fold_is_held_against_its_own_limits(tmp_path: Path) -> None:
    """A bundle that accepts everything lets the spots of its own fold pass, alone and by part, and no others."""
    data = read_data(rig.write_folders(tmp_path / "data"), TaskName.ANOMALY)
    strict, deaf = loaded(tmp_path / "strict"), loaded(tmp_path / "deaf", limits=DEAF)
    first, second = halves(data)
    found = appraise_folds(((deaf, first), (strict, second)), data).outcome
    by_part = found.more["by_part"]

    assert (2, 3) == (found.metrics["escape_rate"].k, found.metrics["escape_rate"].n)
    assert (0, 6) == (found.metrics["overkill_rate"].k, found.metrics["overkill_rate"].n)
    assert [(1, 2), (1, 2)] == [
        (by_part[way]["escape_rate"].k, by_part[way]["escape_rate"].n) for way in ("worst", "mean")
    ]


def test_folds_are_taken_when_their_turn_comes(tmp_path: Path) -> None:
    """A fold may be fitted only when the one before is judged."""
    data = read_data(rig.write_folders(tmp_path / "data"), TaskName.ANOMALY)
    bundle, (first, second) = loaded(tmp_path / "bundle"), halves(data)
    told: list[float | str] = []

    def folds() -> Iterator[Fold]:
        yield bundle, first
        told.append("next")
        yield bundle, second

    appraise_folds(folds(), data, told.append)

    assert [1 / 6, 1.0, "next", 1 / 3, 1.0] == [told[0], *told[5:8], told[-1]]


def test_folds_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    """A part in two folds, bundles of different classes, and no fold at all make no number."""
    data = read_data(rig.write_folders(tmp_path / "data"), TaskName.ANOMALY)
    bundle, (first, second) = loaded(tmp_path / "bundle"), halves(data)
    other = loaded(tmp_path / "other", classes=(ClassSpec("flaw", threshold=100.0),))

    with pytest.raises(ConfigError, match="part test-part0 stands in two folds"):
        appraise_folds(((bundle, first), (bundle, first)), data)
    with pytest.raises(ConfigError, match="a bundle knows flaw, the first anomaly"):
        appraise_folds(((bundle, first), (other, second)), data)
    with pytest.raises(ConfigError, match="0 folds"):
        appraise_folds((), data)
