"""Hold EfficientNet-Lite as a torch network, to learn with; what runs on the line is written by `backbone.py`.

State dicts have the names of the published files, so a state goes into a network and back without loss.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from appliance.training.backbone import BATCH_NORM_EPSILON, PIXEL_MEAN, PIXEL_SCALE, TAPS, stages_of, variant_of
from appliance.training.weights import Variant

State = Mapping[str, NDArray[np.generic]]
EXPANSION = 6
STEM_CHANNELS = 32
# Of the running mean and variance; what the published networks were trained with.
MOMENTUM = 0.01


class Convolution(nn.Module):
    """Convolve with TensorFlow's SAME padding, then normalise."""

    def __init__(self, source: int, target: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(source, target, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(target, BATCH_NORM_EPSILON, MOMENTUM)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Give (batch, target, rows / stride, cols / stride) of (batch, source, rows, cols)."""
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        pads = [_padding(length, kernel, stride) for length in (maps.shape[3], maps.shape[2])]
        if any(map(any, pads)):
            maps = functional.pad(maps, [*pads[0], *pads[1]])
        result: torch.Tensor = self.norm(self.convolution(maps))
        return result


class Block(nn.Module):
    """Compute one inverted residual: expand, depthwise, project, and the shortcut where shapes allow."""

    def __init__(self, source: int, target: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = source * expansion
        self.expand = Convolution(source, wide, 1, 1) if expansion > 1 else None
        self.depthwise = Convolution(wide, wide, kernel, stride, wide)
        self.project = Convolution(wide, target, 1, 1)
        self._shortcut = stride == 1 and source == target

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Give (batch, target, rows / stride, cols / stride) of (batch, source, rows, cols)."""
        wide = maps if self.expand is None else functional.relu6(self.expand(maps))
        result: torch.Tensor = self.project(functional.relu6(self.depthwise(wide)))
        return result + maps if self._shortcut else result


class LiteNetwork(nn.Module):
    """Compute all taps of one variant; fresh weights until `load` is called."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        stages = stages_of(variant)
        self.stem = Convolution(3, STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList(_blocks(variant))
        self.head = Convolution(stages[-1].channels, TAPS["pooled"][1], 1, 1)
        counts = np.cumsum([stage.blocks for stage in stages])
        self._ends = {int(counts[place]) - 1: tap for tap, (place, _) in TAPS.items() if tap != "pooled"}

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give every tap of (batch, rows, cols, 3) images with values in [0, 255]."""
        maps = functional.relu6(self.stem((images.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_SCALE))
        taps: dict[str, torch.Tensor] = {}
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in self._ends:
                taps[self._ends[index]] = maps
        return taps | {"pooled": functional.relu6(self.head(maps)).mean(dim=(2, 3))}


def network_of(state: State) -> LiteNetwork:
    """Give the network of a state dict, ready to compute; ValueError when the state is of no variant."""
    network = LiteNetwork(variant_of(state))
    for prefix, norm, unit in _units(network):
        load(unit, state, prefix, norm)
    return network.eval()


def tail_of(state: State, first: int) -> nn.Sequential:
    """Give the blocks of a state from block `first` on, batch norms as they are: in training, too, they only scale."""
    variant = variant_of(state)
    tail = _blocks(variant)[first:]
    for index, block in enumerate(tail, first):
        for prefix, norm, unit in _block_units(index, block):
            load(unit, state, prefix, norm)
    return nn.Sequential(*tail).eval()


def state_of(network: LiteNetwork) -> dict[str, NDArray[np.generic]]:
    """Give the tensors of a network under the names of the published files, the ImageNet classes left out."""
    state: dict[str, NDArray[np.generic]] = {}
    for prefix, norm, unit in _units(network):
        state |= _stored(unit, prefix, norm)
    return state


def tail_state(tail: nn.Sequential, first: int) -> dict[str, NDArray[np.generic]]:
    """Give the tensors of the blocks from block `first` on, under the names of the published files."""
    state: dict[str, NDArray[np.generic]] = {}
    for index, block in enumerate(tail, first):
        if isinstance(block, Block):
            for prefix, norm, unit in _block_units(index, block):
                state |= _stored(unit, prefix, norm)
    return state


def load(unit: Convolution, state: State, prefix: str, norm: str) -> None:
    """Copy the tensors of one convolution and its batch norm from a state."""
    with torch.no_grad():
        unit.convolution.weight.copy_(_tensor(state[f"{prefix}.weight"]))
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(unit.norm, name).copy_(_tensor(state[f"{norm}.{name}"]))


def _stored(unit: Convolution, prefix: str, norm: str) -> dict[str, NDArray[np.generic]]:
    found = {f"{prefix}.weight": unit.convolution.weight}
    found |= {f"{norm}.{name}": getattr(unit.norm, name) for name in ("weight", "bias", "running_mean", "running_var")}
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in found.items()}


def _units(network: LiteNetwork) -> list[tuple[str, str, Convolution]]:
    """List the convolutions with the published names of each and of its batch norm."""
    found = [("_conv_stem", "_bn0", network.stem), ("_conv_head", "_bn1", network.head)]
    for index, block in enumerate(network.blocks):
        if isinstance(block, Block):
            found += _block_units(index, block)
    return found


def _block_units(index: int, block: Block) -> list[tuple[str, str, Convolution]]:
    name = f"_blocks.{index}."
    found = [
        (f"{name}_depthwise_conv", f"{name}_bn1", block.depthwise),
        (f"{name}_project_conv", f"{name}_bn2", block.project),
    ]
    return found if block.expand is None else [(f"{name}_expand_conv", f"{name}_bn0", block.expand), *found]


def _blocks(variant: Variant) -> list[Block]:
    blocks, source = [], STEM_CHANNELS
    for place, stage in enumerate(stages_of(variant)):
        for repeat in range(stage.blocks):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(Block(source, stage.channels, stage.kernel, stride, EXPANSION if place else 1))
            source = stage.channels
    return blocks


def _padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def _tensor(values: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))
