"""Protect a training's own folder: kept when it is killed, gone when it is done, never shared, never mixed up."""

import contextlib
from pathlib import Path

import pytest

from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.trainer.workplace import workplace
from tests.unit.trainer_rig import folders


def stopped(out: Path, data: DataSet, left: str) -> None:
    """Work until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt), workplace(out, data, (0,)) as place:
        (place / "features").write_text(left)
        raise KeyboardInterrupt


def test_what_a_stopped_training_left_is_found_again(tmp_path: Path) -> None:
    """Ctrl-C keeps the folder, the same command finds it, and the end of the work removes it."""
    data = read_data(folders(tmp_path / "data", parts=6), TaskName.ANOMALY)
    out = tmp_path / "b"
    stopped(out, data, "costly")

    with workplace(out, data, (0,)) as again:
        assert (again / "features").read_text() == "costly"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("change", ["seed", "picture", "label"])
def test_other_work_starts_anew(tmp_path: Path, change: str) -> None:
    """Another seed, a changed picture or label never meets features of the old ones."""
    root = folders(tmp_path / "data", parts=6)
    data = read_data(root, TaskName.ANOMALY)
    stopped(tmp_path / "b", data, "old")
    if change == "picture":
        first = data.samples[0].picture
        first.write_bytes(first.read_bytes() + b"\0")
    if change == "label":
        (root / "groups.csv").write_text((root / "groups.csv").read_text().replace(",part01", ",part02"))

    with workplace(tmp_path / "b", read_data(root, TaskName.ANOMALY), (1 if change == "seed" else 0,)) as place:
        assert list(place.iterdir()) == []


def test_two_trainings_of_one_bundle_are_refused(tmp_path: Path) -> None:
    """The second start says that the first is at work."""
    data = read_data(folders(tmp_path / "data", parts=6), TaskName.ANOMALY)
    with workplace(tmp_path / "b", data, (0,)), pytest.raises(ConfigError, match="another training makes"):  # noqa: SIM117
        with workplace(tmp_path / "b", data, (0,)):
            pass
