"""Train a torch network by small steps: seeded, resumable after any kill, within a time budget.

Checkpoints are npz files without pickles, written whole once per epoch. The order of examples of an epoch depends on
the seed and the epoch alone, so a run that was killed and resumed ends with the weights of one that was not.
"""

import io
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.fit_run import FitRun

# What zipfile, zlib and numpy raise on a damaged npz.
DAMAGE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


class Steps(Struct, frozen=True):
    """Choose how long and how fast a network learns."""

    epochs: int
    batch: int = 8
    rate: float = 1e-3
    """Largest learning rate of AdamW (Loshchilov and Hutter, 2019); it rises over `warm_up` and falls as a cosine."""
    decay: float = 1e-4
    warm_up: float = 0.05
    """Share of all steps."""
    largest_gradient: float = 10.0
    """Norm to which a gradient is cut."""


class Examples(Protocol):
    """Give batches of what is learned from."""

    def __len__(self) -> int:
        """Give how many examples there are."""

    def batch(self, chosen: NDArray[np.intp], random: np.random.Generator) -> Any:
        """Give the chosen examples as tensors on the CPU; random: for augmentation, the same after a resume."""


Loss = Callable[[torch.nn.Module, Any], torch.Tensor]
"""Give the loss of one batch, whose tensors lie on the network's device."""


class Taken(Struct, frozen=True):
    """Say what a training did."""

    epochs: int
    """Passes over the examples, those before a resume counted."""
    losses: tuple[float, ...]
    """Mean of each pass."""
    cut_short: bool
    """True when the time budget ended it before the planned epochs."""


def take_steps(
    network: torch.nn.Module,
    examples: Examples,
    loss: Loss,
    plan: Steps,
    run: FitRun,
    name: str,
    shares: tuple[float, float] = (0.0, 1.0),
) -> Taken:
    """Train the network in place and say what was done; blocks until done or the budget is used up.

    name: of the checkpoint in `run.folder`, also naming everything that the training depends on. shares: of the whole
    job's progress, at the start and the end. Uses a GPU with mixed precision where torch sees one; the network comes
    back on the CPU. ValueError without examples.
    """
    if not len(examples):
        raise ValueError(f"{name}: 0 examples; give at least one")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(max(1, run.threads))
    network.to(device).train()
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=plan.rate, weight_decay=plan.decay)
    place = None if run.folder is None else run.folder / f"{name}.checkpoint.npz"
    losses = _resume(place, network, optimiser, plan)
    planned = plan.epochs
    while len(losses) < planned:
        before = run.left_s()
        if before <= 0 and losses:
            break
        losses.append(_epoch(network, examples, loss, optimiser, plan, planned, len(losses), run.seed, device))
        if place is not None:
            _keep(place, network, optimiser, losses, plan)
        left = run.left_s()
        if math.isfinite(left):
            planned = min(planned, len(losses) + max(0, int(left / max(before - left, 1e-9))))
        run.tell(
            f"{name}, pass {len(losses)} of {planned}", shares[0] + (shares[1] - shares[0]) * len(losses) / planned
        )
    network.to("cpu").eval()
    if len(losses) < plan.epochs:
        run.note(
            f"the time budget ended training after {len(losses)} of {plan.epochs} passes; with more the model is better"
        )
    return Taken(len(losses), tuple(losses), len(losses) < plan.epochs)


def _epoch(
    network: torch.nn.Module,
    examples: Examples,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    plan: Steps,
    planned: int,
    epoch: int,
    seed: int,
    device: torch.device,
) -> float:
    torch.manual_seed(seed * 1_000_003 + epoch)
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(examples))
    count = -(-len(order) // plan.batch)
    total = 0.0
    for step in range(count):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * _rise_and_fall((epoch * count + step) / (planned * count), plan.warm_up)
        chosen = order[step * plan.batch : (step + 1) * plan.batch]
        batch = _moved(examples.batch(chosen, random), device)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            wrong = loss(network, batch)
        optimiser.zero_grad(set_to_none=True)
        wrong.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(
            [weight for group in optimiser.param_groups for weight in group["params"]], plan.largest_gradient
        )
        optimiser.step()
        total += float(wrong.detach()) * len(chosen)
    return total / len(order)


def _rise_and_fall(share: float, warm_up: float) -> float:
    """Give the factor on the rate: linear up, then half a cosine down (Loshchilov and Hutter, SGDR, 2017)."""
    if share < warm_up:
        return max(share / warm_up, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: _moved(part, device) for name, part in batch.items()}
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return type(batch)(_moved(part, device) for part in batch)  # type: ignore[call-arg]
    return batch


def _keep(
    place: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, losses: Sequence[float], plan: Steps
) -> None:
    arrays = {f"network/{name}": tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser/{index}/{name}": value.detach().cpu().numpy() for name, value in state.items()}
    arrays |= {"losses": np.array(losses), "plan": _fingerprint(plan)}
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}")
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(place)


def _resume(place: Path | None, network: torch.nn.Module, optimiser: torch.optim.Optimizer, plan: Steps) -> list[float]:
    """Load the last checkpoint, if there is one of this plan and network; give the losses of the passes it has seen."""
    try:
        if place is None or not place.exists():
            return []
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except DAMAGE:
        return []  # a damaged checkpoint costs time, nothing else
    own = network.state_dict()
    kept = {name.removeprefix("network/"): value for name, value in arrays.items() if name.startswith("network/")}
    fits = own.keys() == kept.keys() and all(own[name].shape == kept[name].shape for name in own)
    if not fits or not np.array_equal(arrays.get("plan", np.empty(0)), _fingerprint(plan)):
        return []
    network.load_state_dict({name: torch.from_numpy(value) for name, value in kept.items()})
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in arrays.items():
        if name.startswith("optimiser/"):
            _, index, key = name.split("/")
            states.setdefault(int(index), {})[key] = torch.from_numpy(value)
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    return [float(value) for value in arrays["losses"]]


def _fingerprint(plan: Steps) -> NDArray[np.float64]:
    return np.array([plan.epochs, plan.batch, plan.rate, plan.decay, plan.warm_up, plan.largest_gradient])
