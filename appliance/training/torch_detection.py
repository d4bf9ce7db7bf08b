"""Hold the detection head as a torch network: three levels on frozen taps, fused from coarse to fine, one shared tower.

Design after Tian et al., "FCOS" (2019): no anchors, distances to four sides. One tower for all levels with a batch norm
of its own per level after Lyu et al., "RTMDet" (2022). Beside the taps a stem of its own reads the image at stride 4:
ImageNet's features say little about marks of few pixels on drawings, prints and boards.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from appliance.training.backbone import BATCH_NORM_EPSILON, PIXEL_MEAN, PIXEL_SCALE, TAPS
from appliance.training.detection_graph import LARGEST_LOG_CELLS, SIDES
from appliance.training.detection_pyramid import (
    STEM_KERNEL,
    STEM_STRIDE,
    STRIDES,
    TAPS_USED,
    Layer,
    Layers,
    PyramidPlan,
    level_centres,
    padding,
)

# Each cell starts at this score (Lin et al., "Focal loss", 2017, section 3.3).
FIRST_SCORE = 0.01


class DetectionNetwork(nn.Module):
    """Give class logits and boxes of every cell of every level, `STRIDES` after another, row by row."""

    def __init__(self, classes: int, plan: PyramidPlan, deviations: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the number of classes and the deviation of each channel of each tap, by which the taps are divided."""
        super().__init__()
        self.classes, self.plan = classes, plan
        width, (fine, near, wide) = plan.width, (TAPS[tap][1] for tap in TAPS_USED)
        for tap in TAPS_USED:
            gain = torch.from_numpy(1 / deviations[tap].astype(np.float32))
            self.register_buffer(f"gain_{tap}", gain[:, None, None])
        self.fine_tap = _convolution(fine, plan.fine, 1)
        self.fine_stem = _convolution(3, plan.fine, STEM_KERNEL, STEM_STRIDE) if plan.stem else None
        self.fine_norm = _norm(plan.fine)
        self.fine_more = _convolution(plan.fine, plan.fine, 3)
        self.fine_more_norm = _norm(plan.fine)
        self.near_tap = _convolution(near, width, 3)
        self.near_wide = _convolution(wide, width, 1)
        self.near_fine = _convolution(plan.fine, width, 3, 2)
        self.middle_tap = _convolution(wide, width, 1)
        self.middle_near = _convolution(width, width, 3, 2)
        self.far_middle = _convolution(width, width, 3, 2)
        self.level_norms = nn.ModuleList(_norm(width) for _ in STRIDES)
        self.tower = nn.ModuleList(_convolution(width, width, 3) for _ in range(plan.tower))
        self.tower_norms = nn.ModuleList(nn.ModuleList(_norm(width) for _ in STRIDES) for _ in range(plan.tower))
        self.out = nn.Conv2d(width, classes + SIDES, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        first = torch.zeros(classes + SIDES)
        first[:classes] = float(np.log(FIRST_SCORE / (1 - FIRST_SCORE)))
        self.out.bias = nn.Parameter(first)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Give logits (images, cells, classes) and boxes (images, cells, 4), x1 y1 x2 y2 in input pixels, float32.

        batch: the taps (images, channels, rows / s, cols / s), any float, and `image` (images, 3, rows, cols), uint8.
        """
        fine, near, wide = (batch[tap].float() * getattr(self, f"gain_{tap}") for tap in TAPS_USED)
        start = self.fine_tap(fine)
        if self.fine_stem is not None:
            start = start + self.fine_stem((batch["image"].float() - PIXEL_MEAN) / PIXEL_SCALE)
        detail = functional.relu(self.fine_norm(start))
        detail = functional.relu(self.fine_more_norm(self.fine_more(detail)))
        enlarged = functional.interpolate(self.near_wide(wide), size=near.shape[2:], mode="bilinear")
        first = self._level(0, self.near_tap(near) + enlarged + self.near_fine(detail))
        second = self._level(1, self.middle_tap(wide) + self.middle_near(first))
        third = self._level(2, self.far_middle(second))
        results = [self._results(index, level) for index, level in enumerate((first, second, third))]
        flat = torch.cat([result.flatten(2) for result in results], dim=2).transpose(1, 2).float()
        return flat[..., : self.classes], _boxes(flat[..., self.classes :], [tuple(one.shape[2:]) for one in results])

    def layers(self) -> Layers:
        """Give the layers with gains and batch norms folded in (in float64), as the graph takes them."""
        found: Layers = {}
        fine, near, wide = (getattr(self, f"gain_{tap}") for tap in TAPS_USED)
        found["fine_tap"] = _folded(self.fine_tap, self.fine_norm, fine)
        if self.fine_stem is not None:
            found["fine_stem"] = _folded(self.fine_stem, self.fine_norm, biased=False)
        found["fine_more"] = _folded(self.fine_more, self.fine_more_norm)
        first, second, third = self.level_norms
        found["near_tap"] = _folded(self.near_tap, first, near)
        found["near_wide"] = _folded(self.near_wide, first, wide, biased=False)
        found["near_fine"] = _folded(self.near_fine, first, biased=False)
        found["middle_tap"] = _folded(self.middle_tap, second, wide)
        found["middle_near"] = _folded(self.middle_near, second, biased=False)
        found["far_middle"] = _folded(self.far_middle, third)
        for step, (convolution, norms) in enumerate(zip(self.tower, self.tower_norms, strict=True)):
            for stride, norm in zip(STRIDES, norms, strict=True):  # type: ignore[call-overload]
                found[f"tower{step}_{stride}"] = _folded(convolution, norm)
        found["out"] = Layer(_array(self.out.weight), _array(self.out.bias))
        return found

    def _level(self, index: int, total: Tensor) -> Tensor:
        return functional.relu(self.level_norms[index](total))

    def _results(self, index: int, level: Tensor) -> Tensor:
        for convolution, norms in zip(self.tower, self.tower_norms, strict=True):
            level = functional.relu(norms[index](convolution(level)))  # type: ignore[index]
        result: Tensor = self.out(level)
        return result


def _boxes(logs: Tensor, cells: list[tuple[int, ...]]) -> Tensor:
    places = [level_centres((rows, cols), stride) for (rows, cols), stride in zip(cells, STRIDES, strict=True)]
    strides = np.concatenate([np.full((len(one), 1), by, np.float32) for one, by in zip(places, STRIDES, strict=True)])
    centre = torch.from_numpy(np.concatenate(places)).to(logs.device)
    reach = logs.clamp(-LARGEST_LOG_CELLS, LARGEST_LOG_CELLS).exp() * torch.from_numpy(strides).to(logs.device)
    return torch.cat([centre - reach[..., :2], centre + reach[..., 2:]], dim=-1)


def _convolution(taken: int, given: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(taken, given, kernel, stride, padding(kernel, stride), bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=0.1)


def _folded(convolution: nn.Module, norm: nn.Module, gain: Tensor | None = None, *, biased: bool = True) -> Layer:
    """Fold the gain of the input and the batch norm behind into a layer; of layers that are summed one has the bias."""
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"{type(convolution).__name__} is no convolution; the head has another form")
    weight = _array(convolution.weight).astype(np.float64)
    if gain is not None:
        weight *= _array(gain)[None]
    own = _array(norm.weight) / np.sqrt(_array(norm.running_var).astype(np.float64) + BATCH_NORM_EPSILON)
    bias = _array(norm.bias) - _array(norm.running_mean).astype(np.float64) * own
    weight *= own[:, None, None, None]
    kept = (bias if biased else np.zeros_like(bias)).astype(np.float32)
    return Layer(weight.astype(np.float32), kept, convolution.stride[0])


def _array(tensor: object) -> NDArray[np.float32]:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{type(tensor).__name__} is no tensor; a layer of the head lacks a weight")
    result: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return result
