"""The accuracy measurement keeps parts apart, keeps what it has fitted, and loses nothing when it is stopped."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet
from appliance.evaluation.appraisal import appraise
from appliance.schema.bundle import TaskName
from bench import accuracy, worth
from bench.kept_fits import Fits
from tests.unit import trainer_rig as rig


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Give a folder of data sets with generated plates for tiles."""
    rig.folders(tmp_path / "data" / accuracy.TILES, parts=16, spotted_every=2)
    return tmp_path / "data"


def read(root: Path, task: TaskName) -> DataSet:
    return read_data(root / accuracy.TILES, task)


def test_no_part_stands_on_both_sides_of_a_fold(tiles: Path) -> None:
    """Every picture is judged once, by a model that has seen none of its part; every fold judges every kind."""
    data = read(tiles, TaskName.CLASSIFICATION)
    folds = accuracy.grouped_folds(data, data.samples, 3, 0)

    assert sorted(sample.name for sample in data.samples) == sorted(one.name for _, held in folds for one in held)
    assert [set()] * 3 == [{one.group for one in rest} & {one.group for one in held} for rest, held in folds]
    assert [{"good", "spot"}] * 3 == [{one.label for one in held} for _, held in folds]


def test_few_pictures_are_of_many_parts() -> None:
    """A part gives its second picture only when every part has given one."""
    samples = [rig.sample(number, f"part{number // 3}") for number in range(12)]

    assert ["0.png", "3.png", "6.png", "9.png"] == [one.name for one in accuracy.by_turns(samples, 4)]
    assert ["0.png", "1.png", "3.png", "6.png", "9.png"] == [one.name for one in accuracy.by_turns(samples, 5)]


def test_a_stopped_measurement_goes_on_with_its_bundles(tmp_path: Path) -> None:
    """What was fitted is loaded, not fitted again, and judged alike; nothing but the bundle and its cost is kept."""
    rig.folders(tmp_path / accuracy.TILES, parts=32, spotted_every=4)
    data = read(tmp_path, TaskName.CLASSIFICATION)
    rest, held = accuracy.grouped_folds(data, data.samples, 2, 0)[0]
    made = [Fits(tmp_path / "kept", minutes=0.01).fit("fold", data, rest, 0) for _ in range(2)]
    first, second = (worth.told(appraise(loaded, data, held)) for loaded, _ in made)

    assert made[0][1] == made[1][1]
    assert made[0][0].bundle.id == made[1][0].bundle.id
    assert first == second
    assert (len(held), 16) == (first["n"], first["parts"])
    assert 16 == first["intervals"]["macro_f1"]["parts"]
    assert {"bundle", "cost.json"} == {path.name for path in (tmp_path / "kept").glob("*/*")}


def test_each_step_is_written_and_other_blocks_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies in a block leaves the block's finished part, marked as unfinished, beside the other blocks."""
    results = tmp_path / "results" / "accuracy.json"
    results.parent.mkdir()
    results.write_text('{"semantic": {"finished": true}}')
    (tmp_path / "data" / accuracy.TILES).mkdir(parents=True)
    rig.folders(tmp_path / "data" / accuracy.TILES, parts=4)

    def dies(*_: object) -> Iterator[dict]:
        yield {"tested": {"pictures": 1, "parts": 1}}
        raise KeyboardInterrupt

    monkeypatch.setitem(accuracy.BLOCKS, "anomaly", (accuracy.TILES, TaskName.ANOMALY, dies))
    command = [accuracy.__file__, "--only", "anomaly", "--data", str(tmp_path / "data"), "--results", str(results)]
    monkeypatch.setattr("sys.argv", [*command, "--kept", str(tmp_path / "kept")])
    with pytest.raises(KeyboardInterrupt):
        accuracy.main()
    found = json.loads(results.read_text())

    assert found["semantic"] == {"finished": True}
    assert (False, 1) == (found["anomaly"]["finished"], found["anomaly"]["tested"]["pictures"])


def test_what_is_absent_is_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data, no peers: the results say why."""
    monkeypatch.delenv(accuracy.PEERS_INTERPRETER, raising=False)
    rig.folders(tmp_path / accuracy.TILES, parts=8)
    fits = Fits(tmp_path / "kept")
    boards, peers = (list(accuracy.measure(name, tmp_path, fits, 1))[-1] for name in ("detection", "peers"))

    assert "no folder deeppcb" in boards["skipped"]
    assert accuracy.PEERS_INTERPRETER in peers["skipped"]


def test_answers_that_cost_nothing_are_measured(tiles: Path) -> None:
    """All background has the background's share alone, and no object found has no precision."""
    data = read(tiles, TaskName.SEMANTIC)
    found = worth.background(data)
    spots = float(np.mean([(rig.plate(number, part, True)[1] > 0).mean() for part in (0, 2) for number in (0, 1)]))

    assert found["miou"] == pytest.approx((1 - spots / 2) / 2, abs=2e-3)
    assert found["interval"]["low"] <= found["miou"] <= found["interval"]["high"]
    assert 0.0 == worth.nothing_found(read(tiles, TaskName.INSTANCE))


def test_a_gain_is_drawn_over_the_same_parts() -> None:
    """A score beside itself gains nothing in any draw, and a perfect one beats a useless one by half."""
    bad = np.arange(40) % 2 == 1
    groups = [f"part{number // 2}" for number in range(40)]
    perfect, useless = bad.astype(np.float64), np.zeros(40)

    assert {"low": 0.0, "high": 0.0, "parts": 20, "rounds": 1000} == worth.gain(perfect, perfect, bad, groups)[
        "interval"
    ]
    assert 0.5 == worth.gain(perfect, useless, bad, groups)["image_auroc"]
    assert 1.0 == worth.ranked(perfect, bad, groups)["detection_at_10"]


def test_random_folds_part_what_belongs_together(tiles: Path) -> None:
    """The gap is measured against folds that may put two pictures of a part on both sides."""
    data = read(tiles, TaskName.CLASSIFICATION)
    alone = [replace(sample, group=sample.name) for sample in data.samples]
    part_of = {sample.name: sample.group for sample in data.samples}
    folds = accuracy.grouped_folds(data, alone, 3, 0)

    assert any({part_of[one.name] for one in rest} & {part_of[one.name] for one in held} for rest, held in folds)
