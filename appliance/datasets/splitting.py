"""Divide samples without parting what belongs together."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from appliance.datasets.sample import GOOD, DataSet, Sample, Split
from appliance.schema.errors import ConfigError

Halves = tuple[tuple[Sample, ...], tuple[Sample, ...]]


def selected(data: DataSet, split: Split) -> tuple[Sample, ...]:
    """Give the samples of a split as the data set states it; Split.ANY gives all."""
    return tuple(sample for sample in data.samples if split in {Split.ANY, sample.split})


def split_by_group(samples: Sequence[Sample], share: float, seed: int) -> Halves:
    """Give (kept, held out) in the samples' order: about `share` of the groups of every label are held out.

    A group counts for the rarest label or kind among its pictures. Of each label with two groups or more at least one
    is held out and one kept; a label with one group is kept. The same groups, share and seed give the same answer.
    share: in (0, 1). ConfigError when there are fewer than two groups.
    """
    if not 0 < share < 1:
        raise ConfigError(f"held-out share: {share:g}, must lie between 0 and 1; give 0.2 for every fifth group")
    strata = _strata(samples)
    if sum(map(len, strata.values())) < 2:
        raise ConfigError(
            f"{len(samples)} pictures of fewer than 2 parts cannot be divided; add pictures of other parts"
        )
    generator = np.random.default_rng(seed)
    held: set[str] = set()
    lonely: list[str] = []
    for _, groups in sorted(strata.items()):
        order = [groups[place] for place in generator.permutation(len(groups))]
        if len(order) == 1:
            lonely += order
        else:
            held.update(order[: min(max(round(share * len(order)), 1), len(order) - 1)])
    if not held:
        held.update(lonely[: max(round(share * len(lonely)), 1)])
    kept = tuple(sample for sample in samples if sample.group not in held)
    return kept, tuple(sample for sample in samples if sample.group in held)


def split_by_picture(samples: Sequence[Sample], share: float, seed: int) -> Halves:
    """Divide as `split_by_group` where every picture is a part of its own; ConfigError where it would part a group."""
    sizes = Counter(sample.group for sample in samples)
    group, size = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    if size > 1:
        raise ConfigError(
            f"random split: {size} pictures of {group} belong together and would stand on both sides; split by group"
        )
    return split_by_group(samples, share, seed)


def _strata(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Give the groups, by name, of every label."""
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        kinds = {thing.kind for thing in sample.things}
        labels[sample.group] |= kinds or {sample.label or GOOD}
    counts = Counter(label for those in labels.values() for label in those)
    strata: dict[str, list[str]] = defaultdict(list)
    for group in sorted(labels):
        strata[min(labels[group], key=lambda label: (counts[label], label))].append(group)
    return strata
