"""Fit the last layers of the recognition network again, on lines of the site: what follows its convolutions.

These layers (two attention blocks and a linear one, SVTR: Du et al., 2022) are all that looks beyond a few letters.
They are rebuilt in torch under the names of the ONNX file and written back there; every other weight stays as it is,
bit by bit.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from appliance.training.fit_run import FitRun
from appliance.training.steps import Steps, take_steps

HEADS = 8
NORM_EPSILON, LAST_NORM_EPSILON, BATCH_EPSILON = 1e-5, 1e-6, 1e-5
LAST_NORM = 4
WIDTH = 120

PLAN = Steps(epochs=8, batch=32, rate=5e-4, decay=0.0)


class Line(Struct, frozen=True):
    """Hold what is learned from one line."""

    features: NDArray[np.float16]
    """(steps, channels), what the convolutions give."""
    classes: tuple[int, ...]
    """Its text: 1 + place in the kept characters."""


class Tail(nn.Module):
    """Give the logarithms of class probabilities, (lines, steps, classes), of features (lines, steps, channels)."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the ONNX file's weights as `tail_weights` of ocr_tail.py gives them."""
        super().__init__()
        self.names = [name for name in weights if name.startswith(("linear", "norm"))]
        for name, value in weights.items():
            tensor = torch.from_numpy(np.array(value, np.float32))
            if name in self.names:
                self.register_parameter(_own(name), nn.Parameter(tensor))
            else:
                self.register_buffer(_own(name), tensor)

    def forward(self, features: Tensor, used: Tensor) -> Tensor:
        """Give the logarithms; used: (lines, steps) bool, False where a shorter line is filled up."""
        planes = features.transpose(1, 2)[:, :, None]
        short = self._convolved(planes, 67, 57)
        # Beyond a line's end its neighbours see zeros, as at the end of a network's input.
        mixed = self._convolved(planes, 65, 55) * used[:, None, None]
        mixed = mixed + self._convolved(mixed, 66, 56, reach=3, groups=WIDTH)
        flow = mixed[:, :, 0].transpose(1, 2)
        for block in range(2):
            flow = flow + self._attended(self._normal(flow, 2 * block), 4 * block, used)
            inner = functional.silu(self._linear(self._normal(flow, 2 * block + 1), 4 * block + 2))
            flow = flow + self._linear(inner, 4 * block + 3)
        flow = self._normal(flow, LAST_NORM) + short[:, :, 0].transpose(1, 2)
        return functional.log_softmax(self._linear(flow, 8).float(), dim=2)

    def fitted(self) -> dict[str, NDArray[np.float32]]:
        """Give the weights that are learned, under the names that they were taken by."""
        return {name: getattr(self, _own(name)).detach().cpu().numpy().copy() for name in self.names}

    def _convolved(self, planes: Tensor, number: int, norm: int, reach: int = 0, groups: int = 1) -> Tensor:
        weights = getattr(self, f"conv2d_{number}_w_0")
        out = functional.conv2d(planes, weights, padding=(0, reach), groups=groups)
        names = [f"batch_norm2d_{norm}_{name}" for name in ("w_1", "w_2", "w_0", "b_0")]
        mean, variance, weight, bias = (getattr(self, name) for name in names)
        return functional.silu(functional.batch_norm(out, mean, variance, weight, bias, eps=BATCH_EPSILON))

    def _linear(self, flow: Tensor, number: int) -> Tensor:
        weight: Tensor = getattr(self, f"linear_{number}_w_0")
        bias: Tensor = getattr(self, f"linear_{number}_b_0")
        return flow @ weight + bias

    def _normal(self, flow: Tensor, number: int) -> Tensor:
        weight, bias = getattr(self, f"norm_{number}_weight"), getattr(self, f"norm_{number}_bias")
        epsilon = LAST_NORM_EPSILON if number == LAST_NORM else NORM_EPSILON
        return functional.layer_norm(flow, (WIDTH,), weight, bias, epsilon)

    def _attended(self, flow: Tensor, number: int, used: Tensor) -> Tensor:
        lines, steps = flow.shape[:2]
        query, key, value = (
            self._linear(flow, number).reshape(lines, steps, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        )
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=used[:, None, None])
        return self._linear(out.transpose(1, 2).reshape(lines, steps, WIDTH), number + 1)


class _Lines:
    """Give batches of lines, filled up to the longest."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def batch(self, chosen: NDArray[np.intp], random: np.random.Generator) -> dict[str, Tensor]:
        return _batch([self._lines[place] for place in chosen])


def refit(weights: Mapping[str, NDArray[np.float32]], lines: Sequence[Line], run: FitRun, name: str) -> Tail:
    """Give the tail fitted by CTC (Graves et al., 2006) on these lines; blocks for minutes. ValueError without any."""
    tail = Tail(weights)
    take_steps(tail, _Lines(lines), _loss, PLAN, run, name)
    return tail


def probabilities(tail: Tail, lines: Sequence[Line]) -> list[NDArray[np.float32]]:
    """Give (steps, classes) float32 class probabilities of each line."""
    result = []
    with torch.no_grad():
        for begin in range(0, len(lines), 64):
            some = lines[begin : begin + 64]
            batch = _batch(some)
            logs = tail(batch["features"], batch["used"])
            result += [np.exp(one[: len(line.features)].numpy()) for one, line in zip(logs, some, strict=True)]
    return result


def _batch(lines: Sequence[Line]) -> dict[str, Tensor]:
    longest = max(len(line.features) for line in lines)
    features = np.zeros((len(lines), longest, lines[0].features.shape[1]), np.float32)
    used = np.zeros((len(lines), longest), np.bool_)
    for place, line in enumerate(lines):
        features[place, : len(line.features)] = line.features
        used[place, : len(line.features)] = True
    return {
        "features": torch.from_numpy(features),
        "used": torch.from_numpy(used),
        "steps": torch.tensor([len(line.features) for line in lines]),
        "targets": torch.tensor([place for line in lines for place in line.classes]),
        "lengths": torch.tensor([len(line.classes) for line in lines]),
    }


def _loss(tail: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    logs = tail(batch["features"], batch["used"]).transpose(0, 1)
    return functional.ctc_loss(logs, batch["targets"], batch["steps"], batch["lengths"], zero_infinity=True)


def _own(name: str) -> str:
    return name.replace(".", "_")
