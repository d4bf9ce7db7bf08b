"""Leave parts out in turn so that each turn sees every class, and share the time budget among the turns."""

import math
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.training.fit_run import FitRun


def stratified_folds(
    kinds: Sequence[tuple[int, ...]], groups: Sequence[str] | None, folds: int, seed: int
) -> NDArray[np.intp]:
    """Give each frame the number of its fold; frames of one part share it, and parts of a class are dealt out evenly.

    kinds: the defect classes that each frame shows. groups: one name per frame; None makes each frame a part.
    ConfigError when they do not fit together.
    """
    names = [str(place) for place in range(len(kinds))] if groups is None else list(groups)
    if len(names) != len(kinds):
        raise ConfigError(f"training: {len(names)} groups for {len(kinds)} frames; give one per frame")
    shown: dict[str, set[int]] = {}
    for name, own in zip(names, kinds, strict=True):
        shown.setdefault(name, set()).update(own)
    if min(len(shown), folds) < 2:
        raise ConfigError(f"training: {len(shown)} parts and {folds} folds; both must be at least 2")
    random = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    for own in sorted({tuple(sorted(one)) for one in shown.values()}):
        alike = sorted(name for name, one in shown.items() if tuple(sorted(one)) == own)
        for place in random.permutation(len(alike)):
            fold_of[alike[place]] = len(fold_of) % folds
    return np.array([fold_of[name] for name in names])


class Budget:
    """Give each of several trainings its share of the time that is left and of the progress."""

    def __init__(self, run: FitRun, passes: int, shares: tuple[float, float]) -> None:
        """Take the run, how many trainings there will be, and where they begin and end in the whole job's progress."""
        self._run, self._passes, self._shares, self._begun = run, passes, shares, 0

    def next(self) -> tuple[FitRun, tuple[float, float]]:
        """Give the run and the progress shares of the next training."""
        low, high = self._shares
        start, end = (low + (high - low) * (self._begun + more) / self._passes for more in (0, 1))
        remaining = self._passes - self._begun
        self._begun += 1
        left_s = self._run.left_s
        now = left_s()
        if math.isinf(now):
            return self._run, (start, end)
        until = now * (1 - 1 / remaining)
        return replace(self._run, left_s=lambda: left_s() - until), (start, end)
