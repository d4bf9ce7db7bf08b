"""Protect a killed anomaly fit: it goes on behind the last frame kept, and ends as one that was never killed."""

from pathlib import Path

import numpy as np
import pytest

from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.frame import PixelFormat
from appliance.training import anomaly_crossfit
from appliance.training.anomaly import AnomalyOptions, fit_anomaly_bundle
from appliance.training.anomaly_memory import Reservoir
from appliance.training.anomaly_resume import NAME, keep, resume
from appliance.training.fit_run import FitRun

OPTIONS = AnomalyOptions(size=(96, 128), patches=60, folds=3, painted=1, seed=4)


def part(seed: int) -> np.ndarray:
    """Give a raw frame of a plain part."""
    return np.random.default_rng(seed).normal(120, 6, (96, 128)).clip(0, 255).astype(np.uint8)


def reservoirs(random: np.random.Generator) -> dict[str, list[Reservoir]]:
    return {"good": [Reservoir(20, random), Reservoir(20, random)], "plain": [Reservoir(5, random)]}


def shown(held: dict[str, list[Reservoir]], first: int, last: int) -> None:
    for number in range(first, last):
        rows = np.full((3, 4), number, np.float32)
        held["good"][number % 2].add(rows, number)
        if number > 6:
            held["plain"][0].add(rows[:1], number)


@pytest.mark.parametrize("stopped_at", [1, 5, 9, 30])
def test_a_resumed_sample_is_the_one_that_was_never_interrupted(tmp_path: Path, stopped_at: int) -> None:
    """Rows, owners and chance go on as if nothing had happened."""
    random = np.random.default_rng(3)
    whole = reservoirs(random)
    shown(whole, 0, 40)

    random = np.random.default_rng(3)
    cut = reservoirs(random)
    shown(cut, 0, stopped_at)
    keep(tmp_path, stopped_at, cut, {"seen": np.arange(3.0)}, random)
    random = np.random.default_rng(99)
    again = reservoirs(random)
    done, more = resume(tmp_path, again, random)
    shown(again, done, 40)

    assert done == stopped_at
    assert more["seen"].tolist() == [0, 1, 2]
    for name in whole:
        for one, other in zip(whole[name], again[name], strict=True):
            assert np.array_equal(one.rows(), other.rows())
            assert np.array_equal(one.rows(frozenset({33})), other.rows(frozenset({33})))


@pytest.mark.parametrize("damage", ["nothing", "cut", "another form"])
def test_what_is_damaged_is_looked_at_again(tmp_path: Path, damage: str) -> None:
    """A half file, or one of another fit, is as good as none, and leaves the reservoirs empty."""
    random = np.random.default_rng(3)
    held = reservoirs(random)
    shown(held, 0, 9)
    if damage == "cut":
        keep(tmp_path, 9, held, {}, random)
        (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:200])
    if damage == "another form":
        keep(tmp_path, 9, {"good": held["good"]}, {}, random)
    fresh = reservoirs(random)

    assert resume(tmp_path, fresh, random) == (0, {})
    assert fresh["good"][0].passed == 0


def test_an_interrupted_fit_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of the look: the same fit goes on there and gives the same network, byte for byte."""
    monkeypatch.setattr(anomaly_crossfit, "KEPT_EVERY", 5)
    frames = [part(seed) for seed in range(24)]
    told: list[str] = []

    def stop(step: str, _share: float) -> None:
        told.append(step)
        if step == "frame 13":
            raise KeyboardInterrupt

    def fit(folder: Path | None, tell=lambda _step, _share: None) -> bytes:
        run = FitRun(OnnxRuntime(), "f32", "2026-01-01T00:00:00+00:00", folder=folder, tell=tell, seed=4)
        return fit_anomaly_bundle(frames, PixelFormat.BAYER_RG8, run, OPTIONS).files["model.onnx"]

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop)
    steps: list[str] = []
    resumed = fit(tmp_path, lambda step, _share: steps.append(step))

    assert resumed == fit(None)
    assert "frame 11" in steps
    assert "frame 10" not in steps
