"""Space attempts out: each pause twice the one before, less some by chance, so that stations spread."""

import random


class Backoff:
    """Give the pauses between attempts."""

    def __init__(self, first_s: float, longest_s: float, chance: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._step_s = 0.0

    def next(self) -> float:
        """Give the next pause, s: between half a step and a whole one."""
        self._step_s = min(self._longest_s, self._step_s * 2 or self._first_s)
        return self._step_s * (1.0 + self._chance.random()) / 2

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._step_s = 0.0
