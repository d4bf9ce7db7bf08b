"""Say what a detection network should give and how wrong it is: task-aligned assignment, focal and overlap losses."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from appliance.training.detection_pyramid import STRIDES, level_centres

# Task-aligned learning: Feng et al., "TOOD" (2021), equations 2 to 5: t = score ** 1 x overlap ** 6, the 13 best cells
# of each object learn it, the wanted score is t scaled to the object's best overlap.
SCORE_POWER, OVERLAP_POWER, CELLS_EACH = 1.0, 6.0, 13
FOCUS = 2.0
"""Cells without an object count by this power of their score (Lin et al., "Focal loss", 2017), those with one in full
for every class, after Zhang et al., "VarifocalNet" (2021): damped as well, classes are told apart late. On bare boards
with a template, 35 s of training: mAP50 0.93 against 0.68 (2026-11-21, one board)."""
OVERLAP_WEIGHT = 2.0
SMALLEST_REACH = 0.75
"""Cells of the finest level within which an object smaller than them is learnt all the same."""
TINY = 1e-9
FAINT = 1e-16
"""Far below the alignment of any cell that overlaps at all."""


def detection_loss(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Give the loss of one batch: per wanted score, classes plus overlap.

    batch: what the network reads; `kinds` (images, objects) int64, -1 behind the last object, and `boxes` (images,
    objects, 4) float32, x1 y1 x2 y2 in input pixels.
    """
    logits, boxes = network(batch)
    size = batch["image"].shape[2:]
    levels = [((-(-size[0] // by), -(-size[1] // by)), by) for by in STRIDES]
    centre = torch.cat([torch.from_numpy(level_centres(cells, by)) for cells, by in levels]).to(boxes.device)
    finest = levels[0][0][0] * levels[0][0][1]
    scores, objects = assign(logits.detach().sigmoid(), boxes.detach(), batch["kinds"], batch["boxes"], centre, finest)
    total = scores.sum().clamp(min=1.0)
    classes = functional.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    empty = (objects < 0)[:, :, None]
    classes = torch.where(empty, classes * logits.detach().sigmoid() ** FOCUS, classes)
    image, cell = (objects >= 0).nonzero(as_tuple=True)
    near = batch["boxes"][image, objects[image, cell]]
    apart = 1 - generalised_overlap(boxes[image, cell], near)
    placed = (apart * scores[image, cell].amax(dim=1)).sum()
    result: Tensor = (classes.sum() + OVERLAP_WEIGHT * placed) / total
    return result


def assign(
    scores: Tensor, boxes: Tensor, kinds: Tensor, truth: Tensor, centre: Tensor, finest: int
) -> tuple[Tensor, Tensor]:
    """Give wanted scores (images, cells, classes) and the object that each cell's box learns, -1 for none.

    scores: (images, cells, classes). boxes: (images, cells, 4). kinds: (images, objects), -1 where there is none.
    truth: (images, objects, 4). centre: (cells, 2). finest: how many cells the first level has.
    """
    known = kinds >= 0
    kind = kinds.clamp(min=0)
    middle, half = (truth[..., :2] + truth[..., 2:]) / 2, (truth[..., 2:] - truth[..., :2]) / 2
    off = (centre[None, None] - middle[:, :, None]).abs()
    inside = (off < half[:, :, None]).all(dim=3)
    least = half.clamp(min=SMALLEST_REACH * STRIDES[0])
    inside[:, :, :finest] |= (off[:, :, :finest] < least[:, :, None]).all(dim=3)
    inside &= known[:, :, None]
    overlap = overlaps(truth[:, :, None], boxes[:, None]) * inside
    of_kind = scores.transpose(1, 2).gather(1, kind[:, :, None].expand(-1, -1, scores.shape[1]))
    aligned = of_kind**SCORE_POWER * overlap**OVERLAP_POWER
    # Before the network knows anything all boxes may miss a small object: then its nearest cells learn it.
    ranked = aligned + inside * (FAINT / (1 + off.sum(dim=3)))
    best = ranked.topk(min(CELLS_EACH, ranked.shape[2]), dim=2)
    chosen = torch.zeros_like(inside).scatter_(2, best.indices, best.values > 0)
    aligned, overlap = aligned * chosen, overlap * chosen
    owner = torch.where(chosen, overlap, -1.0).argmax(dim=1)
    taken = chosen.any(dim=1)
    scale = overlap.amax(dim=2) / (aligned.amax(dim=2) + FAINT)
    strength = ((aligned * scale[:, :, None]).gather(1, owner[:, None])[:, 0] * taken).clamp(0, 1)
    wanted = torch.zeros_like(scores).scatter_(2, kind.gather(1, owner)[:, :, None], strength[:, :, None])
    return wanted, torch.where(taken, owner, -1)


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Give intersection over union of boxes (..., 4) that broadcast."""
    shared, union, _ = _areas(one, other)
    return shared / (union + TINY)


def generalised_overlap(one: Tensor, other: Tensor) -> Tensor:
    """Give the overlap less the empty share of the box around both (Rezatofighi et al., "GIoU", 2019)."""
    shared, union, around = _areas(one, other)
    return shared / (union + TINY) - (around - union) / (around + TINY)


def _areas(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    inner = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    outer = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    shared = inner.prod(dim=-1)
    sides = [(box[..., 2:] - box[..., :2]).prod(dim=-1) for box in (one, other)]
    return shared, sides[0] + sides[1] - shared, outer.prod(dim=-1)
