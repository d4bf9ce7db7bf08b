"""Protect the anomaly network: exposure, memory, positions, Gaussian and marker, each as its formula says."""

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.training import weights
from appliance.training.anomaly_graph import PatchPlan, anomaly_model, positions
from appliance.training.anomaly_marker import fit_marker, scaled, targets
from appliance.training.anomaly_memory import answers, distances, fit_gaussian, fit_memory
from appliance.training.anomaly_paint import DEFECT
from kernels import build
from tests.unit.anomaly_rig import RICH, SIZE, output, part, patches_of, rgb


@pytest.fixture(scope="session", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


def marks(spot: tuple[int, int]) -> np.ndarray:
    result = np.zeros(SIZE, np.uint8)
    result[spot[1] - 4 : spot[1] + 4, spot[0] - 4 : spot[0] + 4] = DEFECT
    return result


def test_exposure_is_levelled_in_the_graph() -> None:
    """Half the light gives the same features with a fixed exposure, and others without; black stays dark."""
    bright = rgb((part(0) // 2) * 2)
    for plan, alike in ((replace(RICH, exposure=100.0), True), (RICH, False)):
        near = np.abs(patches_of(bright, plan) - patches_of(bright // 2, plan)).max()

        assert alike == (near < 1e-3)
    assert np.isfinite(patches_of(np.zeros_like(bright), replace(RICH, exposure=100.0))).all()


@pytest.mark.parametrize("plan", [PatchPlan(), RICH, replace(RICH, position_weight=0.5)])
def test_memory_in_the_graph_is_the_nearest_patch(plan: PatchPlan) -> None:
    """The map is the distance that numpy and the kernel give for the same patches."""
    known, image = patches_of(rgb(part(1)), plan), rgb(part(2, spot=(50, 30)))
    rows = patches_of(image, plan)
    if plan.position_weight:
        places = anomaly_input_positions(plan)
        known, rows = np.concatenate([known, places], axis=1), np.concatenate([rows, places], axis=1)
    memory = fit_memory(known, 40, np.random.default_rng(0), 2 if plan.position_weight else 0)
    found = output(anomaly_model(weights.efficientnet_lite0(), SIZE, memory, 1, plan), image)

    assert np.allclose(distances(rows, memory), found.ravel(), atol=2e-3)


def anomaly_input_positions(plan: PatchPlan) -> np.ndarray:
    return positions((SIZE[0] // 8, SIZE[1] // 8), plan.position_weight)


def test_positions_make_a_known_patch_odd_elsewhere() -> None:
    """A bar on the wrong side is far from good patches near that place, though good parts show it on the other."""
    plan = replace(RICH, position_weight=2.0)
    image = rgb(part(3)[:, ::-1])
    found = {}
    for own in (RICH, plan):
        known = patches_of(rgb(part(3)), own)
        if own.position_weight:
            known = np.concatenate([known, anomaly_input_positions(own)], axis=1)
        memory = fit_memory(known, len(known), np.random.default_rng(0), 2 if own.position_weight else 0)
        found[own.position_weight] = output(anomaly_model(weights.efficientnet_lite0(), SIZE, memory, 1, own), image)

    assert found[2.0][:, 8].mean() > 1.2 * found[0.0][:, 8].mean()


def test_gaussian_in_the_graph_is_mahalanobis() -> None:
    """The map is numpy's distance, for one mean and for a mean at each place."""
    rows, image = patches_of(rgb(part(1)), RICH), rgb(part(2))
    mean_map = np.ascontiguousarray(rows.T.reshape(-1, SIZE[0] // 8, SIZE[1] // 8))
    for good in (fit_gaussian(rows), fit_gaussian(rows, mean_map)):
        found = output(anomaly_model(weights.efficientnet_lite0(), SIZE, good, 1, RICH), image).ravel()
        mean = good.mean if good.mean.ndim == 1 else rows
        expected = np.sqrt((((patches_of(image, RICH) - mean) @ good.whitening) ** 2).sum(axis=1))

        assert np.allclose(expected, found, rtol=2e-3, atol=2e-3)


def test_whitened_good_patches_have_unit_variance() -> None:
    """Mahalanobis distances of the patches themselves are the root of the channels on average."""
    rows = np.random.default_rng(0).normal(3, (1.0, 5.0, 0.2), (4000, 3)).astype(np.float32)

    assert pytest.approx(3, rel=0.15) == (distances(rows, fit_gaussian(rows)) ** 2).mean()


def test_marker_finds_what_it_was_shown_and_joins_the_distance() -> None:
    """A network that was shown bright spots answers high there; graph and numpy agree on the sum."""
    plan = RICH
    good = np.concatenate([patches_of(rgb(part(seed)), plan) for seed in range(6)])
    places = ((44, 28), (60, 12), (36, 52))
    spots = np.concatenate([patches_of(rgb(part(20 + y, spot=(x, y))), plan) for x, y in places])
    wanted = np.concatenate([targets(marks(place), (8, 10)).ravel() for place in places])
    bad = np.isfinite(wanted) & (wanted > 0)
    marker = fit_marker(np.repeat(spots[bad], 2000, axis=0), np.repeat(wanted[bad], 2000), np.tile(good, (12, 1)), 0)
    memory = fit_memory(good, 60, np.random.default_rng(0))
    marker = scaled(marker, [(good, memory, marker)], 0.5)
    image = rgb(part(9, spot=(28, 44)))
    rows = patches_of(image, plan)
    found = output(anomaly_model(weights.efficientnet_lite0(), SIZE, memory, 1, plan, marker), image).ravel()
    said = (answers(rows, marker) - marker.centre) / marker.answer_scale

    assert np.allclose(distances(rows, memory) / marker.distance_scale + said, found, atol=5e-3)
    assert said[5 * 10 + 3] > said[2 * 10 + 7] + 1
