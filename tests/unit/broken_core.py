"""Copies of the firmware core with one line changed, for tests that must notice."""

from __future__ import annotations

import shutil
from pathlib import Path

from firmware_bridge.build import CORE


def break_core(folder: Path, name: str, old: str, new: str) -> Path:
    """Return a copy of the core under `folder` in which `old`, which file `name` has once, reads `new`."""
    broken = folder / "core"
    shutil.copytree(CORE, broken)
    source = (broken / name).read_text("utf-8")
    assert source.count(old) == 1, f"{name} has {source.count(old)} times {old!r}; the rule moved, follow it"
    (broken / name).write_text(source.replace(old, new), "utf-8")
    return broken
