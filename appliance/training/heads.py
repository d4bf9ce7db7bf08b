"""Write several heads on one backbone pass: each reads its taps, each names its outputs by a prefix of its own."""

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import TAPS, Graph, add_backbone

AddHead = Callable[[Graph, Mapping[str, str], str], dict[str, tuple[int, ...]]]
"""Append a head to a graph, given the tap tensors and its prefix; gives its outputs by name and shape."""


class HeadPlan(Struct, frozen=True):
    """Say which taps a head reads and how it is appended."""

    taps: tuple[str, ...]
    add: AddHead


def multi_head_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], heads: Mapping[str, HeadPlan], batch: int = 1
) -> bytes:
    """Give one model with all heads, by prefix, for example `detection.`; the backbone is computed once.

    Raises ValueError without a head, or when one prefix begins another and outputs could not be told apart.
    """
    for prefix in heads:
        if any(other != prefix and other.startswith(prefix) for other in heads):
            raise ValueError(f"head prefix {prefix!r} begins another one's; give each a prefix of its own")
    wanted = {tap for head in heads.values() for tap in head.taps}
    graph = Graph()
    taps = add_backbone(graph, state, size, tuple(tap for tap in TAPS if tap in wanted), batch)
    outputs: dict[str, tuple[int, ...]] = {}
    for prefix, head in heads.items():
        outputs |= head.add(graph, taps, prefix)
    return graph.model(size, outputs, batch)
