"""Protect honest figures: what a bundle learned from, was calibrated on and is judged by never shares a part."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.datasets.sample import GOOD, DataSet, Sample, Split
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.trainer.partition import NO_TEST, OWN_TEST, Partition, partition
from appliance.trainer.study import planned_sizes, subset
from tests.unit.trainer_rig import sample


def data_of(samples: Sequence[Sample], task: TaskName = TaskName.CLASSIFICATION) -> DataSet:
    return DataSet(Path(), task, "", (GOOD, "spot"), tuple(samples), PixelFormat.MONO8, "groups.csv")


def groups(samples: Sequence[Sample]) -> set[str]:
    return {one.group for one in samples}


def mixed(parts: int, each: int) -> list[Sample]:
    return [
        sample(part * each + number, f"part{part}", "spot" if part % 3 == 0 else GOOD)
        for part in range(parts)
        for number in range(each)
    ]


@given(st.integers(4, 40), st.integers(1, 5), st.integers(0, 5))
def test_no_part_stands_on_two_sides(parts: int, each: int, seed: int) -> None:
    """Learning, confidence and test share no group, and no picture is lost."""
    chosen = partition(data_of(mixed(parts, each)), seed)

    assert len(chosen.fit) + len(chosen.calibration) + len(chosen.test) == parts * each
    assert not groups(chosen.fit) & groups(chosen.test)
    assert not groups(chosen.fit) & groups(chosen.calibration)
    assert not groups(chosen.calibration) & groups(chosen.test)
    assert chosen.test
    assert chosen.fit


def test_the_seed_decides() -> None:
    """The same seed gives the same parts, another one others."""
    data = data_of(mixed(30, 2))

    assert partition(data, 1) == partition(data, 1)
    assert partition(data, 1) != partition(data, 2)


def test_own_splits_are_kept() -> None:
    """What the data set sealed for its test is never learned from; its validation pictures fit confidences."""
    samples = [sample(i, f"p{i}", GOOD if i % 2 else "spot", list(Split)[i % 3]) for i in range(30)]
    chosen = partition(data_of(samples), 0)

    assert chosen.test_origin == OWN_TEST
    assert {one.split for one in chosen.test} == {Split.TEST}
    assert {one.split for one in chosen.calibration} == {Split.VALIDATION}
    assert {one.split for one in chosen.fit} == {Split.TRAIN}


def test_anomaly_learns_from_good_alone() -> None:
    """A labelled defect is no good part: half of them are shown as defects, half tell what scores mean."""
    samples = [sample(i, f"p{i}", "spot" if i % 5 == 0 else GOOD, Split.TRAIN) for i in range(40)]
    samples += [sample(100 + i, f"t{i}", "spot" if i % 2 else GOOD, Split.TEST) for i in range(6)]
    chosen = partition(data_of(samples, TaskName.ANOMALY), 0)

    assert {one.label for one in chosen.fit} == {GOOD}
    assert [one.label for one in chosen.defects] == ["spot"] * 4
    assert sorted(one.label for one in chosen.calibration) == [GOOD] * 6 + ["spot"] * 4
    assert not groups(chosen.defects) & groups(chosen.calibration)
    assert len(chosen.test) == 6


def test_few_parts_are_all_learned_from_and_nothing_is_claimed() -> None:
    """Under four parts nothing is held out, and the origin of the test says so."""
    chosen = partition(data_of(mixed(3, 4)), 0)

    assert chosen == Partition(tuple(mixed(3, 4)), (), (), NO_TEST)


def test_no_good_part_is_refused() -> None:
    """Anomaly without a good picture is one clear line."""
    samples = [sample(i, f"p{i}", "spot", Split.TRAIN) for i in range(20)]

    with pytest.raises(ConfigError, match="0 good pictures among 16 to learn from"):
        partition(data_of(samples, TaskName.ANOMALY), 0)


@given(st.integers(1, 200), st.integers(0, 3))
def test_a_subset_shows_every_class_in_turn(images: int, seed: int) -> None:
    """A point of the learning curve has about as many images as it says, of all classes from two parts on."""
    samples = mixed(40, 5)
    chosen = subset(samples, images, seed)

    assert len(chosen) == images
    assert len({one.name for one in chosen}) == images
    assert images <= 5 or {one.label for one in chosen} == {GOOD, "spot"}


def test_a_curve_ends_before_the_whole() -> None:
    """Points near the whole set say nothing that the bundle itself does not."""
    assert planned_sizes(350) == (10, 30, 100)
    assert planned_sizes(9) == ()
    assert planned_sizes(400) == (10, 30, 100, 300)
