"""What counts as known is stated: to whom, from how many parts, and what follows where nothing is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from appliance.datasets.sample import GOOD, DataSet
from appliance.infer.run import InferOptions, run_infer
from appliance.schema.bundle import Novelty, TaskName
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle
from appliance.trainer.known_parts import kind_of, known_samples
from appliance.trainer.partition import Partition
from appliance.trainer.sheet import unknown
from appliance.training.anomaly import fit_anomaly
from appliance.training.novelty import with_novelty
from tests.unit.anomaly_rig import OPTIONS, RUN, SIZE, part
from tests.unit.test_bundle import MANIFEST
from tests.unit.trainer_rig import sample

CHOSEN = Partition(
    fit=(sample(0, "a"), sample(1, "b", "spot")),
    calibration=(sample(2, "c"), sample(3, "d", "spot")),
    test=(sample(4, "e"), sample(5, "f", "spot")),
    test_origin="",
    defects=(sample(6, "g", "spot"),),
)


@pytest.mark.parametrize(
    ("task", "names"),
    [(TaskName.CLASSIFICATION, "0 1 2 3"), (TaskName.DETECTION, "0 1 2 3"), (TaskName.ANOMALY, "0 2")],
)
def test_what_counts_as_known(task: TaskName, names: str) -> None:
    """Test pictures are never known, and to an anomaly model no defective part is."""
    assert names == " ".join(one.name.removesuffix(".png") for one in known_samples(task, CHOSEN))


def test_class_of_a_part() -> None:
    """A part is good or of its first defect."""
    data = DataSet(Path(), TaskName.CLASSIFICATION, "", (GOOD, "spot"), CHOSEN.fit, PixelFormat.MONO8, "")

    assert [GOOD, "spot"] == [kind_of(one, data) for one in CHOSEN.fit]


def test_data_sheet_states_the_rate_that_can_be_kept() -> None:
    """With 49 known parts one in fifty is the least that can be promised, whatever rate is usual."""
    known = replace(MANIFEST, novelty=Novelty("novelty.npz", "map", tuple(map(float, range(49))), ("good", "spot")))

    assert "good, spot" in unknown(known, ())
    assert "2.0% of known parts" in unknown(known, ())
    assert "49 known parts" in unknown(known, ())


def test_data_sheet_says_what_a_bundle_without_detector_cannot() -> None:
    """Without a detector the sheet gives the reason, and that nothing is accepted."""
    said = unknown(MANIFEST, CHOSEN.fit)

    assert "gives no features" in said
    assert "accepts nothing" in said


def test_infer_tells_novelty(tmp_path) -> None:
    """`infer --json` says of each picture how unlike everything known it is; without a detector it says null."""
    frames = [part(seed) for seed in range(24)]
    plain = fit_anomaly(frames, PixelFormat.MONO8, RUN.runtime, RUN.precision, RUN.created, OPTIONS)
    fitted = with_novelty(plain, frames, [GOOD] * len(frames), RUN)
    for name, one in (("plain", plain), ("fitted", fitted)):
        bundle.write(tmp_path / name, one.manifest, one.files)
    pictures = {"known": part(1000), "strange": np.zeros(SIZE, np.uint8)}
    for name, frame in pictures.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), frame)
    told = {}
    for name in ("plain", "fitted"):
        paths = tuple(tmp_path / f"{one}.png" for one in pictures)
        run_infer(InferOptions(tmp_path / name, paths, json=str(tmp_path / "told.json")))
        told[name] = [
            (one["novelty"], one["novelty_p"]) for one in json.loads((tmp_path / "told.json").read_text())["images"]
        ]

    assert [(None, None)] * 2 == told["plain"]
    (known, known_p), (strange, strange_p) = told["fitted"]
    assert known < strange
    assert (1 / 25) == strange_p < known_p
