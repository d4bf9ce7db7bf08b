"""Slim the frozen backbone for one product: each block keeps the channels from which the rest can be told.

The depthwise layers at high resolution are bound by the bytes of their activations, so fewer channels are the one thing
that makes them faster. Which ones: greedy choice by explained variance of the block's result (orthogonal matching
pursuit, Pati et al. 1993), the projection behind them refitted by least squares as He et al., "Channel pruning for
accelerating very deep neural networks" (2017) do. Closed form, seconds, on the images that the head is fitted to.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.ports.runtime import Runtime
from appliance.training.backbone import BATCH_NORM_EPSILON, STAGES, TAPS, Graph, add_backbone

LANES = 16
"""Channels are kept in whole vectors of the CPU."""
SIDE = 13
"""Places of each activation that are looked at, in rows and in columns."""
RIDGE = 1e-4
"""Of the mean variance of the channels."""
NORM = ("weight", "bias", "running_mean", "running_var")

State = Mapping[str, NDArray[np.generic]]


def slim_backbone(
    state: State,
    size: tuple[int, int],
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    share: float,
    runtime: Runtime,
    threads: int,
) -> dict[str, NDArray[np.generic]]:
    """Give weights whose blocks up to stride 16 have about `share` of the channels inside; taps keep their shapes.

    images: (rows, cols, 3) uint8 of `size`, some dozen. share: in (0, 1]. Blocks for seconds.
    """
    if not 0 < share <= 1 or not len(images):
        raise ValueError(f"backbone: share {share} of channels, {len(images)} images; give a share up to 1, and images")
    slim = dict(state)
    if share == 1:
        return slim
    blocks = _blocks(state)
    for block, (mean, covariance) in _moments(state, size, images, blocks, runtime, threads).items():
        keep = max(LANES, round(len(mean) * share / LANES) * LANES)
        _cut(slim, f"_blocks.{block}.", mean, covariance, min(keep, len(mean)))
    return slim


def _blocks(state: State) -> list[int]:
    """Give the numbers of the blocks up to stride 16 that widen their input."""
    count = sum(stage.blocks for stage in STAGES[: TAPS["s16"][0] + 1])
    return [block for block in range(count) if f"_blocks.{block}._expand_conv.weight" in state]


def _moments(
    state: State,
    size: tuple[int, int],
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    blocks: Sequence[int],
    runtime: Runtime,
    threads: int,
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Give mean and covariance of what each block's projection reads, over places spread over all images."""
    session = runtime.load(_activations(state, size, blocks), "f32", threads)
    sums: dict[int, NDArray[np.float64]] = {}
    products: dict[int, NDArray[np.float64]] = {}
    places: dict[int, int] = {}
    for image in images:
        session.input[0] = image
        results = session.run()
        for block in blocks:
            seen = np.asarray(results[f"seen_{block}"][0], np.float32)
            flat = seen.reshape(len(seen), -1)
            sums[block] = sums.get(block, 0) + flat.sum(axis=1, dtype=np.float64)
            products[block] = products.get(block, 0) + (flat @ flat.T).astype(np.float64)
            places[block] = places.get(block, 0) + flat.shape[1]
    means = {block: sums[block] / places[block] for block in blocks}
    return {block: (mean, products[block] / places[block] - np.outer(mean, mean)) for block, mean in means.items()}


def _activations(state: State, size: tuple[int, int], blocks: Sequence[int]) -> bytes:
    graph = Graph()
    add_backbone(graph, state, size, ("s16",))
    axes = graph.constant("axes", np.array([2, 3], np.int64))
    start = graph.constant("start", np.array([0, 0], np.int64))
    strides = _strides()
    outputs = {}
    for block in blocks:
        name = f"_blocks.{block}._depthwise_conv"
        steps = [max(1, side // strides[block] // SIDE) for side in size]
        ends = [min(side // strides[block], SIDE * step) for side, step in zip(size, steps, strict=True)]
        end = graph.constant(f"end_{block}", np.array(ends, np.int64))
        step = graph.constant(f"step_{block}", np.array(steps, np.int64))
        graph.add("Slice", [f"{name}.relu6", start, end, axes, step], f"seen_{block}")
        shape = [-(-length // by) for length, by in zip(ends, steps, strict=True)]
        outputs[f"seen_{block}"] = (1, len(state[f"{name}.weight"]), *shape)
    return graph.model(size, outputs)


def _strides() -> list[int]:
    """Give the stride of each block's result."""
    strides, stride = [], 2
    for stage in STAGES:
        stride *= stage.stride
        strides += [stride] * stage.blocks
    return strides


def _cut(
    state: dict[str, NDArray[np.generic]],
    prefix: str,
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    keep: int,
) -> None:
    """Keep the best channels of a block in `state` and refit the projection and its bias to the block's old result."""
    variance = state[f"{prefix}_bn2.running_var"].astype(np.float64)
    gain = state[f"{prefix}_bn2.weight"] / np.sqrt(variance + BATCH_NORM_EPSILON)
    old = state[f"{prefix}_project_conv.weight"][:, :, 0, 0] * gain[:, None]
    chosen = choose(covariance, old, keep)
    inner = covariance[np.ix_(chosen, chosen)]
    ridge = RIDGE * np.trace(covariance) / len(covariance) * np.eye(keep)
    new = np.linalg.solve(inner + ridge, (old @ covariance)[:, chosen].T).T
    state[f"{prefix}_project_conv.weight"] = (new / gain[:, None])[:, :, None, None].astype(np.float32)
    shift = old @ mean - new @ mean[chosen]
    state[f"{prefix}_bn2.bias"] = (state[f"{prefix}_bn2.bias"] + shift).astype(np.float32)
    for name in (
        *(f"{layer}_conv.weight" for layer in ("_expand", "_depthwise")),
        *(f"{norm}.{part}" for norm in ("_bn0", "_bn1") for part in NORM),
    ):
        state[prefix + name] = state[prefix + name][chosen]


def choose(covariance: NDArray[np.float64], weight: NDArray[np.float64], keep: int) -> NDArray[np.intp]:
    """Give the sorted channels that explain most of `weight @ channels`, found one by one.

    covariance: (channels, channels) of the inputs. weight: (results, channels).
    """
    rest, shared = covariance.copy(), weight @ covariance
    # A channel that the chosen ones explain to a millionth adds nothing; dividing by it would amplify rounding.
    least = 1e-6 * np.trace(covariance) / len(covariance)
    free = np.ones(len(covariance), np.bool_)
    for _ in range(keep):
        spread = np.diag(rest)
        telling = free & (spread > least)
        if not telling.any():
            break
        gain = np.divide((shared**2).sum(axis=0), spread, out=np.full(len(free), -1.0), where=telling)
        best = int(gain.argmax())
        free[best] = False
        column = rest[:, best] / np.sqrt(spread[best])
        shared -= np.outer(shared[:, best] / np.sqrt(spread[best]), column)
        rest -= np.outer(column, column)
    left = np.flatnonzero(free)[: keep - int((~free).sum())]
    return np.sort(np.concatenate([np.flatnonzero(~free), left]))
