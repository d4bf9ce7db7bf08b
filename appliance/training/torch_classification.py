"""Let the last blocks of the backbone and the classification head learn on, from what closed form has found.

What lies before those blocks is read from the cache, so a pass costs a fraction of a pass through the whole network.
Batch norms stay as they are. Each fold learns without its parts and answers for them after every pass, so that
whoever asks can see whether, and for how long, learning on pays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from appliance.training.classification_features import Features
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from appliance.training.linear import SMALLEST_DEVIATION, Floats, Linear, round_to_bf16
from appliance.training.steps import Steps, take_steps
from appliance.training.torch_backbone import tail_of, tail_state

State = Mapping[str, NDArray[np.generic]]
BATCH = 32
WATCHED_AT_ONCE = 64


class Tuned(Struct, frozen=True):
    """Hold what each pass gave."""

    logits: tuple[Floats, ...]
    """After each pass, (images, classes) of the models that did not see the part."""
    snapshots: tuple[tuple[tuple[dict[str, NDArray[np.generic]], Linear], ...], ...]
    """By model, those of the folds and then the final one, and pass: state and last layer."""

    def models(self, number: int) -> list[tuple[dict[str, NDArray[np.generic]], Linear]]:
        """Give state and last layer of every model after a pass, counted from 0."""
        return [passes[number] for passes in self.snapshots]


class TailNetwork(nn.Module):
    """Compute logits from what the first changed block reads and the pooled features before it."""

    def __init__(self, state: State, first: int, head: Linear, pooled: Floats, *, maxima: bool) -> None:
        """Take the backbone, the first block to change, the fitted layer and the features that it was fitted on."""
        super().__init__()
        self.first, self._maxima = first, maxima
        self.blocks = tail_of(state, first)
        for module in self.blocks.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(requires_grad=False)
        deviation = pooled.std(axis=0, dtype=np.float64)
        scale = np.maximum(deviation, SMALLEST_DEVIATION * max(float(deviation.max()), 1e-12)).astype(np.float32)
        mean = pooled.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._mean, self._scale = nn.Buffer(torch.from_numpy(mean)), nn.Buffer(torch.from_numpy(scale))
        self.last = nn.Linear(head.weight.shape[0], head.weight.shape[1])
        with torch.no_grad():
            self.last.weight.copy_(torch.from_numpy((head.weight * scale[:, None]).T.copy()))
            self.last.bias.copy_(torch.from_numpy(head.bias + mean @ head.weight))

    def train(self, mode: bool = True) -> "TailNetwork":  # noqa: FBT001, FBT002 (torch's signature)
        """Keep batch norms as they are, whatever the mode."""
        super().train(False)
        return self

    def forward(self, body: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Give logits: body (batch, channels, rows, cols), pooled (batch, features), whose s32 is computed anew."""
        maps = self.blocks(body)
        own = maps.shape[1]
        kinds = [maps.mean(dim=(2, 3)), *([maps.amax(dim=(2, 3))] if self._maxima else [])]
        parts = []
        for frozen, fresh in zip(pooled.chunk(len(kinds), dim=1), kinds, strict=True):
            parts += [frozen[:, : frozen.shape[1] - own], fresh]
        result: torch.Tensor = self.last((torch.cat(parts, dim=1) - self._mean) / self._scale)
        return result

    def layer(self) -> Linear:
        """Give the last layer for features that are not standardised."""
        scale, mean = self._scale.cpu().numpy(), self._mean.cpu().numpy()
        weight = self.last.weight.detach().cpu().numpy().T / scale[:, None]
        bias = self.last.bias.detach().cpu().numpy() - mean @ weight
        return Linear(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32))


def fine_tune(
    features: Features,
    state: State,
    labels: NDArray[np.intp],
    importance: Floats,
    folds: NDArray[np.intp],
    heads: Sequence[Linear],
    run: FitRun,
    options: ClassificationOptions,
) -> Tuned:
    """Give the models of all folds and the final one after every pass; blocks for minutes.

    state: `backbone.rounded`, so that what stays is bit-identical and what changes has weights that bf16 holds.
    importance: weight of each class. heads: fitted in closed form, one per fold and the final one.
    """
    answers: list[Floats] = []
    snapshots = []
    for number, head in enumerate(heads):
        chosen = np.flatnonzero(folds != number)
        watched = np.flatnonzero(folds == number)
        share = (number / len(heads), (number + 1) / len(heads))
        found, seen = _learn(features, state, labels, importance, (chosen, watched), head, run, options, share)
        snapshots.append(tuple(found))
        while len(answers) < len(seen):
            answers.append(np.full((len(labels), heads[0].weight.shape[1]), np.nan, np.float32))
        for place, logits in enumerate(seen):
            answers[place][watched] = logits
    # The time budget may have ended a model earlier than others.
    passes = min(map(len, snapshots))
    return Tuned(tuple(answers[:passes]), tuple(one[:passes] for one in snapshots))


class _Examples:
    """Give each image in one of its copies, drawn anew in each pass."""

    def __init__(self, features: Features, labels: NDArray[np.intp], chosen: NDArray[np.intp]) -> None:
        self._features, self._labels, self._chosen = features, labels, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def batch(self, chosen: NDArray[np.intp], random: np.random.Generator) -> dict[str, torch.Tensor]:
        """Give body, pooled features and labels."""
        body = self._features.body
        if body is None:
            raise ValueError("fine-tuning: no features before the last blocks; compute them with options.finetune")
        images = self._chosen[chosen]
        copies = random.integers(body.shape[1], size=len(images))
        return {
            "body": torch.from_numpy(body[images, copies].astype(np.float32)),
            "pooled": torch.from_numpy(self._features.pooled[images, copies].astype(np.float32)),
            "labels": torch.from_numpy(self._labels[images].astype(np.int64)),
        }


def _learn(
    features: Features,
    state: State,
    labels: NDArray[np.intp],
    importance: Floats,
    parts: tuple[NDArray[np.intp], NDArray[np.intp]],
    head: Linear,
    run: FitRun,
    options: ClassificationOptions,
    share: tuple[float, float],
) -> tuple[list[tuple[dict[str, NDArray[np.generic]], Linear]], list[Floats]]:
    """Give model and answers for the watched images after every pass."""
    chosen, watched = parts
    torch.manual_seed(run.seed)
    own = features.pooled[chosen, 0].astype(np.float32)
    network = TailNetwork(state, features.first_tuned, head, own, maxima=options.maxima)
    balance = torch.from_numpy(importance)
    models: list[tuple[dict[str, NDArray[np.generic]], Linear]] = []
    answers: list[Floats] = []

    def loss(module: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = module(batch["body"], batch["pooled"])
        wrong = functional.cross_entropy(logits, batch["labels"], reduction="none")
        result: torch.Tensor = (wrong * balance.to(wrong.device)[batch["labels"]]).mean()
        return result

    def watch(step: str, done: float) -> None:
        models.append((_merged(state, network), network.layer()))
        answers.append(_answers(network, features, watched))
        run.tell(f"fine-tuning: {step}", done)

    plan = Steps(options.passes, BATCH, options.rate)
    # Without a folder: the passes of a killed run have left no answers behind, so its models start anew.
    told = replace(run, tell=watch, folder=None)
    take_steps(network, _Examples(features, labels, chosen), loss, plan, told, "classification", share)
    return models, answers


def _merged(state: State, network: TailNetwork) -> dict[str, NDArray[np.generic]]:
    """Give the state with the changed convolutions, rounded as the others are; all else is the very same arrays."""
    changed = tail_state(network.blocks, network.first)
    return dict(state) | {
        name: round_to_bf16(np.asarray(values, np.float32))
        for name, values in changed.items()
        if name.endswith("_conv.weight")
    }


def _answers(network: TailNetwork, features: Features, watched: NDArray[np.intp]) -> Floats:
    """Give logits of unchanged copies."""
    if features.body is None or not len(watched):
        return np.empty((0, network.last.out_features), np.float32)
    device = network.last.weight.device
    found: list[Any] = []
    with torch.no_grad():
        for start in range(0, len(watched), WATCHED_AT_ONCE):
            images = watched[start : start + WATCHED_AT_ONCE]
            body = torch.from_numpy(features.body[images, 0].astype(np.float32)).to(device)
            pooled = torch.from_numpy(features.pooled[images, 0].astype(np.float32)).to(device)
            found.append(network(body, pooled).cpu().numpy())
    return np.concatenate(found)
