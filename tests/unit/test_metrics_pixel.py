"""Pixel metrics equal those counted pixel by pixel and region by region."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score, roc_curve

from appliance.learning.pixel import MOST_GROUPS, PixelTally


def random_maps(seed: int, marked: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Give maps of few distinct values that 11 bits of fraction tell apart, and masks of some blobs."""
    generator = np.random.default_rng(seed)
    noise = generator.random((4, 24, 30)).astype(np.float32)
    masks = np.stack([cv2.GaussianBlur(one, (0, 0), 2) > np.quantile(one, 0.56) for one in noise])
    masks[0] = False
    lifted = generator.normal(0, 2, masks.shape) + marked * masks
    return (np.round(lifted * 64) / 64).astype(np.float32), masks


def labelled(mask: np.ndarray) -> np.ndarray:
    return cv2.connectedComponents(mask.astype(np.uint8))[1]


def tally_of(maps: np.ndarray, masks: np.ndarray) -> PixelTally:
    tally = PixelTally()
    for place, (values, mask) in enumerate(zip(maps, masks, strict=True)):
        tally.add(values, labelled(mask), f"part{place // 2}")
    return tally


def overlap_by_threshold(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Mark all pixels from each value on, and take the mean overlap of regions against false positives as it grows."""
    labels = [labelled(mask) for mask in masks]
    regions = [v[known == one] for v, known in zip(maps, labels, strict=True) for one in range(1, known.max() + 1)]
    levels = np.unique(maps)[::-1]
    rates = [float((maps[~masks] >= level).mean()) for level in levels]
    found = [float(np.mean([(own >= level).mean() for own in regions])) for level in levels]
    points = [(0.0, 0.0), *zip(rates, found, strict=True)]
    area = 0.0
    for (x1, y1), (x2, y2) in pairwise(points):
        if x1 >= limit or x2 == x1:
            continue
        end = min(x2, limit)
        area += (end - x1) * (y1 + (y1 + (y2 - y1) * (end - x1) / (x2 - x1))) / 2
    return area / limit


def overlap_by_region(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Average each region's ROC curve, drawn against all pixels of no region, as anomalib documents its metric."""
    grid = np.linspace(0, limit, 3001)
    background, curves = maps[~masks], []
    for values, mask in zip(maps, masks, strict=True):
        regions = labelled(mask)
        for region in range(1, regions.max() + 1):
            own = values[regions == region]
            truth = np.arange(background.size + own.size) >= background.size
            rates, found, _ = roc_curve(truth, np.concatenate([background, own]), drop_intermediate=False)
            curves.append(np.interp(grid, rates, found))
    return float(auc(grid, np.mean(curves, axis=0)) / limit)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
def test_overlap_is_counted_by_region_up_to_the_limit(seed: int, limit: float) -> None:
    """The area equals that of the curve drawn threshold by threshold: every region alike, false positives overall."""
    maps, masks = random_maps(seed, marked=seed / 2)

    assert pytest.approx(overlap_by_threshold(maps, masks, limit), abs=1e-9) == tally_of(maps, masks).aupro(limit)


@pytest.mark.parametrize("seed", range(3))
def test_overlap_equals_the_mean_of_region_curves(seed: int) -> None:
    """Averaging the regions' own ROC curves gives the same area, up to the width of the grid."""
    maps, masks = random_maps(seed)

    assert pytest.approx(overlap_by_region(maps, masks, 0.3), abs=3e-3) == tally_of(maps, masks).aupro()


@pytest.mark.parametrize("seed", range(4))
def test_pixels_rank_as_scikit_learn_ranks_them(seed: int) -> None:
    """Pixel AUROC equals the exact one where steps tell values apart, and by less than 0.0002 where they do not."""
    maps, masks = random_maps(seed)
    rough = np.random.default_rng(seed).normal(5, 1, maps.shape).astype(np.float32) + masks

    assert pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12) == tally_of(maps, masks).auroc()
    assert pytest.approx(roc_auc_score(masks.ravel(), rough.ravel()), abs=2e-4) == tally_of(rough, masks).auroc()


def test_no_defect_or_nothing_else_has_no_area() -> None:
    """Without marked pixels, or without normal ones, there is nothing to rank."""
    maps, masks = random_maps(0)

    assert (None, None) == (tally_of(maps, masks & False).auroc(), tally_of(maps, masks & False).aupro())
    assert (None, None) == (tally_of(maps, masks | True).auroc(), tally_of(maps, masks | True).aupro())
    assert PixelTally().auroc() is None
    assert PixelTally().groups().aupro(np.zeros(0, np.intp)) is None


def test_parts_drawn_once_give_the_same_numbers() -> None:
    """The coarser counts by part, each part drawn once, stand for the whole within 0.005."""
    maps, masks = random_maps(2)
    tally = tally_of(maps, masks)
    groups = tally.groups()
    once = np.arange(len(groups.names))

    assert ("part0", "part1") == groups.names
    assert pytest.approx(tally.auroc(), abs=5e-3) == groups.auroc(once)
    assert pytest.approx(tally.aupro(), abs=5e-3) == groups.aupro(once)


def test_many_parts_keep_memory_bounded() -> None:
    """From the 513th part on several are drawn together; nothing of them is lost."""
    tally = PixelTally()
    for part in range(MOST_GROUPS + 20):
        tally.add(np.array([[part, 2.0]], np.float32), np.array([[1, 0]], np.int32), f"part{part}")
    groups = tally.groups()

    assert MOST_GROUPS == len(groups.names)
    assert MOST_GROUPS + 20 == groups.regions.sum() == groups.counts[1].sum()
    assert pytest.approx(tally.auroc(), abs=1e-3) == groups.auroc(np.arange(MOST_GROUPS))


def test_zero_has_one_sign() -> None:
    """0 and -0 are one value, infinities are the ends."""
    tally = PixelTally()
    tally.add(np.array([[-0.0, 0.0, -np.inf, np.inf]], np.float32), np.array([[1, 0, 0, 2]], np.int32), "a")

    assert pytest.approx((0.5 + 1 + 2) / 4) == tally.auroc()
