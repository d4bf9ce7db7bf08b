"""Train the semantic decoder with torch: a small feature pyramid that tells the class of every cell of stride 4.

Lateral layers and a top-down way as in Lin et al., "Feature Pyramid Networks for Object Detection" (2017). Batch norms
let it learn in a few hundred steps and are folded in where it leaves torch.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from appliance.training.backbone import BATCH_NORM_EPSILON
from appliance.training.semantic_decoder import COARSE, FINE, NEAR, TAPS_USED, WIDTHS, DecoderWeights, Layer

DROPPED = 0.1
"""Share of the channels between layers that a step does without (Tompson et al., 2015)."""


class Decoder(nn.Module):
    """Give logits (images, classes, rows / 4, cols / 4) for the three taps as the backbone gives them."""

    scale_s4: torch.Tensor
    scale_s8: torch.Tensor
    scale_s16: torch.Tensor

    def __init__(self, deviations: Mapping[str, NDArray[np.float32]], classes: int) -> None:
        """Take the deviation of each channel of each tap, by which the taps are divided."""
        super().__init__()
        for tap in TAPS_USED:
            self.register_buffer(f"scale_{tap}", torch.from_numpy(1 / deviations[tap].reshape(-1, 1, 1)))
        coarse, near, fine = WIDTHS
        channels = {tap: deviations[tap].size for tap in TAPS_USED}
        self.coarse_in = nn.Conv2d(channels[COARSE], coarse, 1, bias=False)
        self.coarse_in_norm = _norm(coarse)
        self.coarse_mix = nn.Conv2d(coarse, coarse, 3, padding=1, bias=False)
        self.coarse_mix_norm = _norm(coarse)
        self.near_in = nn.Conv2d(channels[NEAR], coarse, 1, bias=False)
        self.near_in_norm = _norm(coarse)
        self.near_mix = nn.Conv2d(coarse, near, 3, padding=1, bias=False)
        self.near_mix_norm = _norm(near)
        self.near_out = nn.Conv2d(near, fine, 1, bias=False)
        self.fine_in = nn.Conv2d(channels[FINE], fine, 1, bias=False)
        self.fine_in_norm = _norm(fine)
        self.fine_mix = nn.Conv2d(fine, fine, 3, padding=1, bias=False)
        self.fine_mix_norm = _norm(fine)
        self.out = nn.Conv2d(fine, classes, 1)
        self.drop = nn.Dropout2d(DROPPED)

    def start_from(self, counts: NDArray[np.float64]) -> None:
        """Let each cell start at the share of the classes, of which so many cells were seen."""
        with torch.no_grad():
            share = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
            self.out.bias = nn.Parameter(torch.from_numpy(np.log(share).astype(np.float32)))

    def forward(self, taps: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give the logits."""
        coarse = functional.relu(self.coarse_in_norm(self.coarse_in(taps[COARSE] * self.scale_s16)))
        coarse = functional.relu(self.coarse_mix_norm(self.coarse_mix(self.drop(coarse))))
        near = functional.relu(self.near_in_norm(self.near_in(taps[NEAR] * self.scale_s8)) + _wide(coarse))
        near = functional.relu(self.near_mix_norm(self.near_mix(self.drop(near))))
        fine = functional.relu(self.fine_in_norm(self.fine_in(taps[FINE] * self.scale_s4)) + _wide(self.near_out(near)))
        logits: torch.Tensor = self.out(functional.relu(self.fine_mix_norm(self.fine_mix(self.drop(fine)))))
        return logits


def _wide(values: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=0.05)


def decoder_weights(network: Decoder) -> DecoderWeights:
    """Give the layers that the graph takes, scales and batch norms folded in (in float64)."""
    return DecoderWeights(
        coarse_in=_folded(network.coarse_in, network.coarse_in_norm, network.scale_s16),
        coarse_mix=_folded(network.coarse_mix, network.coarse_mix_norm),
        near_in=_folded(network.near_in, network.near_in_norm, network.scale_s8),
        near_mix=_folded(network.near_mix, network.near_mix_norm),
        near_out=Layer(_array(network.near_out.weight), np.zeros(network.near_out.out_channels, np.float32)),
        fine_in=_folded(network.fine_in, network.fine_in_norm, network.scale_s4),
        fine_mix=_folded(network.fine_mix, network.fine_mix_norm),
        out=Layer(_array(network.out.weight), _array(network.out.bias)),
    )


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, scale: torch.Tensor | None = None) -> Layer:
    """Fold the scale of the input and the norm behind into a layer."""
    weight = _array(convolution.weight).astype(np.float64)
    if scale is not None:
        weight *= _array(scale)
    gain = _array(norm.weight) / np.sqrt(_array(norm.running_var).astype(np.float64) + BATCH_NORM_EPSILON)
    bias = _array(norm.bias) - _array(norm.running_mean).astype(np.float64) * gain
    weight *= gain[:, None, None, None]
    return Layer(weight.astype(np.float32), bias.astype(np.float32))


def _array(tensor: torch.Tensor | None) -> NDArray[np.float32]:
    if tensor is None:
        raise TypeError("a layer of the decoder lacks a weight")
    result: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return result
