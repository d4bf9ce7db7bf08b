"""Fit a small network that tells patches of painted or labelled defects from good ones."""

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.training.anomaly_graph import CELL_PX, Good, Marker
from appliance.training.anomaly_memory import Rows, answers, distances
from appliance.training.anomaly_paint import CLEAN, DEFECT
from appliance.training.detection_perceptron import Perceptron, sigmoid
from appliance.training.linear import Linear

HIDDEN = 48
PASSES = 3
# A cell that shows this share of a defect is one.
WHOLE_SHARE = 0.4
LEAST_SHARE = 0.1
# Rows of defects and of good surface that one fit learns from.
MOST_DEFECTIVE, MOST_GOOD = 25_000, 50_000
SMALLEST_SCALE = 1e-3


def targets(marks: NDArray[np.uint8], cells: tuple[int, int]) -> NDArray[np.float32]:
    """Give what the network should say of each cell, (rows, cols) float32 in [0, 1]; nan where nobody knows.

    marks: (rows, cols) uint8 of the input image, `CLEAN`, `DEFECT`, `UNCLEAR`.
    """
    blocks = marks[: cells[0] * CELL_PX, : cells[1] * CELL_PX].reshape(cells[0], CELL_PX, cells[1], CELL_PX)
    share = (blocks == DEFECT).mean(axis=(1, 3))
    clean = (blocks == CLEAN).all(axis=(1, 3))
    wanted = np.where(share >= LEAST_SHARE, np.minimum(share / WHOLE_SHARE, 1), np.nan)
    result: NDArray[np.float32] = np.where(clean, 0, wanted).astype(np.float32)
    return result


def fit_marker(defective: Rows, wanted: NDArray[np.float32], good: Rows, seed: int) -> Marker:
    """Give the network fitted on raw features of defective cells, with what is wanted of each, and of good ones.

    Its scales are 1 until `scaled` sets them.
    """
    random = np.random.default_rng(seed)
    samples = np.concatenate([defective, good])
    truth = np.concatenate([wanted, np.zeros(len(good), np.float32)])[:, None]
    mean = samples.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = (1 / np.maximum(samples.std(axis=0, dtype=np.float64), SMALLEST_SCALE)).astype(np.float32)
    samples = (samples - mean) * scale
    network = Perceptron(samples.shape[1], HIDDEN, 1, random)

    def slope(results: Rows, chosen: NDArray[np.intp]) -> Rows:
        wrong: Rows = (sigmoid(results) - truth[chosen]) / np.float32(len(chosen))
        return wrong

    network.fit(samples, slope, PASSES, cool=True)
    first, first_bias, second, second_bias = network.weights
    # The standardisation goes into the first layer, so that it reads raw features.
    weight = first * scale[:, None]
    return Marker(
        Linear(np.ascontiguousarray(weight), first_bias - mean @ weight),
        Linear(second, second_bias),
        centre=0.0,
        answer_scale=1.0,
        distance_scale=1.0,
    )


def scaled(marker: Marker, held_out: list[tuple[Rows, Good, Marker]], weight: float) -> Marker:
    """Give the marker with the scales that make distance and answer vary alike on good patches that neither knew.

    held_out: rows of good patches with what describes good ones and the marker, both fitted without them. weight: how
    much the answer counts against the distance.
    """
    far = np.concatenate([distances(rows, good) for rows, good, _ in held_out])
    said = np.concatenate([answers(rows, own) for rows, _, own in held_out])
    return replace(
        marker,
        centre=float(said.mean()),
        answer_scale=max(float(said.std()), SMALLEST_SCALE) / weight,
        distance_scale=max(float(far.std()), SMALLEST_SCALE),
    )
