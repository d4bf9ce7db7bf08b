"""Protect training by steps: a killed run ends as one that was not, budgets hold, seeds decide."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")

from appliance.training.fit_run import FitRun  # noqa: E402  # after the skip
from appliance.training.steps import Steps, take_steps  # noqa: E402

PLAN = Steps(epochs=6, batch=4, rate=1e-2)


class Line:
    """Points on a line with noise that the given random numbers add."""

    def __len__(self) -> int:
        return 30

    def batch(self, chosen: np.ndarray, random: np.random.Generator) -> dict[str, torch.Tensor]:
        x = np.linspace(-1, 1, 30)[chosen]
        y = 3 * x + 1 + random.normal(0, 0.01, len(chosen))
        return {"x": torch.tensor(x, dtype=torch.float32)[:, None], "y": torch.tensor(y, dtype=torch.float32)[:, None]}


def network() -> torch.nn.Module:
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))


def loss(net: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return ((net(batch["x"]) - batch["y"]) ** 2).mean()


def run(folder: Path | None, left_s=lambda: float("inf"), seed: int = 0, tell=lambda _step, _share: None) -> FitRun:
    return FitRun(runtime=None, precision="f32", created="", folder=folder, left_s=left_s, seed=seed, tell=tell)


def weights(net: torch.nn.Module) -> np.ndarray:
    return torch.cat([part.detach().reshape(-1) for part in net.parameters()]).numpy()


def trained(folder: Path | None = None, seed: int = 0, stop_after: int | None = None) -> np.ndarray:
    net = network()

    def tell(step: str, _share: float) -> None:
        if stop_after is not None and step.startswith(f"line, pass {stop_after} "):
            raise KeyboardInterrupt

    take_steps(net, Line(), loss, PLAN, run(folder, seed=seed, tell=tell), "line")
    return weights(net)


def test_it_learns() -> None:
    """Steps lower the loss."""
    taken = take_steps(network(), Line(), loss, PLAN, run(None), "line")

    assert taken.epochs == 6
    assert not taken.cut_short
    assert taken.losses[-1] < taken.losses[0] * 0.8


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path: Path, stop_after: int) -> None:
    """Ctrl-C leaves the last pass; going on gives bit for bit the weights of a run in one piece."""
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_after=stop_after)

    assert np.array_equal(trained(tmp_path), trained())


def test_seeds_decide() -> None:
    """The same seed gives the same weights, another one others."""
    assert np.array_equal(trained(seed=3), trained(seed=3))
    assert not np.array_equal(trained(seed=3), trained(seed=4))


@pytest.mark.parametrize("damage", ["other plan", "no npz", "other network"])
def test_a_foreign_checkpoint_is_not_resumed(tmp_path: Path, damage: str) -> None:
    """A checkpoint of another plan or network, or a damaged one, is left aside."""
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_after=2)
    place = tmp_path / "line.checkpoint.npz"
    if damage == "no npz":
        place.write_bytes(place.read_bytes()[:100])
    plan = Steps(epochs=2, batch=4, rate=2e-2) if damage == "other plan" else PLAN
    net = torch.nn.Linear(1, 1) if damage == "other network" else network()

    taken = take_steps(net, Line(), loss, plan, run(tmp_path), "line")

    fresh = torch.nn.Linear(1, 1) if damage == "other network" else network()
    assert taken.epochs == plan.epochs
    if damage != "other network":
        take_steps(fresh, Line(), loss, plan, run(None), "line")
        assert np.array_equal(weights(net), weights(fresh))


def test_the_budget_ends_it() -> None:
    """A pass that would not end in time is not begun; the result says so."""
    clock = itertools.count(0, 10)  # each look at the clock finds 10 s gone
    notes: list[str] = []
    budget = replace(run(None, left_s=lambda: 35.0 - next(clock)), note=notes.append)

    taken = take_steps(network(), Line(), loss, PLAN, budget, "line")

    assert taken.cut_short
    assert taken.epochs == 2
    assert notes == [f"the time budget ended training after 2 of {PLAN.epochs} passes; with more the model is better"]
