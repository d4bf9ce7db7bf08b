"""Fit a network of one hidden layer in numpy: some passes over samples, seconds, the same result each time."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Slope = Callable[[Floats, NDArray[np.intp]], Floats]
"""Give the slope of the loss: (results of some samples, the samples' numbers) -> array like the results."""

BATCH = 512
PACE = 4e-3
DECAY = 1e-2
# Adam: Kingma and Ba (2015), with the decay kept apart from the step as Loshchilov and Hutter (2019) do.
MOMENTUM, ENERGY, TINY = 0.9, 0.99, 1e-8


class Perceptron:
    """Hold the weights and their moments; samples are standardised by the caller."""

    def __init__(self, inputs: int, hidden: int, outputs: int, random: np.random.Generator) -> None:
        """Start from He's initialisation; the second layer starts near 0."""
        self.weights: list[Floats] = [
            random.normal(0, np.sqrt(2 / inputs), (inputs, hidden)).astype(np.float32),
            np.zeros(hidden, np.float32),
            random.normal(0, 0.05, (hidden, outputs)).astype(np.float32),
            np.zeros(outputs, np.float32),
        ]
        self._first = [np.zeros_like(weight) for weight in self.weights]
        self._second = [np.zeros_like(weight) for weight in self.weights]
        self._random, self._steps = random, 0

    def __call__(self, samples: Floats) -> Floats:
        """Give the results of (samples, inputs)."""
        return self.hidden(samples) @ self.weights[2] + self.weights[3]

    def hidden(self, samples: Floats) -> Floats:
        """Give what the first layer makes of samples."""
        raised: Floats = np.maximum(samples @ self.weights[0] + self.weights[1], np.float32(0))
        return raised

    def fit(self, samples: Floats, slope: Slope, passes: int, *, cool: bool) -> None:
        """Go over all samples some times in random order; cool: let the pace fall to 0 as half a cosine."""
        done, total = 0, passes * -(-len(samples) // BATCH)
        for _ in range(passes):
            order = self._random.permutation(len(samples))
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                pace = PACE * (0.5 + 0.5 * np.cos(np.pi * done / total) if cool else 1.0)
                self._step(samples[chosen], chosen, slope, pace)
                done += 1

    def _step(self, samples: Floats, chosen: NDArray[np.intp], slope: Slope, pace: float) -> None:
        hidden = self.hidden(samples)
        wrong = slope(hidden @ self.weights[2] + self.weights[3], chosen)
        back = (wrong @ self.weights[2].T) * (hidden > 0)
        slopes = (samples.T @ back, back.sum(axis=0), hidden.T @ wrong, wrong.sum(axis=0))
        self._steps += 1
        raised = 1 / (1 - MOMENTUM**self._steps), 1 / (1 - ENERGY**self._steps)
        for place, rise in enumerate(slopes):
            weight, first, second = self.weights[place], self._first[place], self._second[place]
            first += np.float32(1 - MOMENTUM) * (rise - first)
            second += np.float32(1 - ENERGY) * (rise * rise - second)
            weight *= np.float32(1 - pace * DECAY if weight.ndim == 2 else 1)
            weight -= (
                np.float32(pace * raised[0]) * first / (np.sqrt(second * np.float32(raised[1])) + np.float32(TINY))
            )


def sigmoid(values: Floats) -> Floats:
    """Give 1 / (1 + exp(-values)); beyond 30 it is 0 or 1 in float32."""
    result: Floats = (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32, copy=False)
    return result
