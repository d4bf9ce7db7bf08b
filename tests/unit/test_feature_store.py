"""Protect features on disk: whole rows only, taken up again after a kill, never mixed with those of another key."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from appliance.schema.errors import ConfigError
from appliance.training.feature_store import FeatureStore

SHAPES = {"s8": (3, 4), "mean": (2,)}

FILLER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from appliance.training.feature_store import FeatureStore
store = FeatureStore(Path(sys.argv[1]), "key", 300, {"s8": (3, 4), "mean": (2,)})
for index in range(store.done, 300):
    store.append({"s8": np.full((3, 4), index), "mean": np.full(2, -index)})
    if index == 200:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def rows(index: int) -> dict[str, np.ndarray]:
    return {"s8": np.full((3, 4), index, np.float16), "mean": np.full(2, -index, np.float16)}


@pytest.mark.parametrize("kept", [True, False])
def test_every_image_is_found_at_its_place(tmp_path: Path, kept: bool) -> None:
    """What image i shows stands in row i, in memory as on disk."""
    store = FeatureStore(tmp_path if kept else None, "key", 5, SHAPES)
    for index in range(5):
        store.append(rows(index))

    assert store["s8"][:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert store["mean"][:, 1].tolist() == [0, -1, -2, -3, -4]
    with pytest.raises(ValueError, match="all 5 images"):
        store.append(rows(5))


def test_a_killed_run_goes_on_with_whole_rows(tmp_path: Path) -> None:
    """After SIGKILL the store counts only rows that are whole, and the rest is filled in."""
    done = subprocess.run([sys.executable, "-c", FILLER, str(tmp_path)], check=False, cwd=Path.cwd())

    assert done.returncode == -signal.SIGKILL
    store = FeatureStore(tmp_path, "key", 300, SHAPES)
    assert store.done == 192
    for index in range(store.done, 300):
        store.append(rows(index))
    again = FeatureStore(tmp_path, "key", 300, SHAPES)
    assert again.done == 300
    assert again["s8"][:, 2, 3].tolist() == list(range(300))


@pytest.mark.parametrize("damage", ["other shape", "cut short", "count is no number"])
def test_what_is_damaged_is_computed_again(tmp_path: Path, damage: str) -> None:
    """A store that does not fit, or is damaged, starts from nothing and gives no wrong row."""
    store = FeatureStore(tmp_path, "key", 64, SHAPES)
    for index in range(64):
        store.append(rows(index))
    file = tmp_path / "key" / "s8.npy"
    if damage == "cut short":
        os.truncate(file, 40)
    if damage == "count is no number":
        (tmp_path / "key" / "done").write_text("?")

    fresh = FeatureStore(tmp_path, "key", 64, {**SHAPES, "mean": (3,)} if damage == "other shape" else SHAPES)

    assert fresh.done == 0


def test_a_full_disk_is_named_before_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is one clear line, not a half-written store."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=1 << 20))

    with pytest.raises(ConfigError, match=r"features need 1\.0 GB and 1 GB stays free, the disk has 0\.0 GB"):
        FeatureStore(tmp_path, "key", 500_000, {"s8": (1000,)})
    assert list(tmp_path.iterdir()) == []
