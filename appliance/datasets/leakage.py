"""Refuse sets whose splits share a part, and join pictures that show the same thing into one group."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from appliance.datasets.found import Headers, Notes
from appliance.datasets.grouping import BY_FILE, FILE
from appliance.datasets.likeness import Likeness, compare
from appliance.datasets.sample import Sample, Split

BY_LIKENESS = "likeness"
"""Pictures share a group because they show nearly the same, and no name or file says anything."""


def without_leaks(
    samples: Sequence[Sample], grouped_by: str, headers: Headers, notes: Notes
) -> tuple[tuple[Sample, ...], str]:
    """Give the samples with groups that hold all copies of a picture, and by what they are grouped.

    What leaks between stated splits is noted as refused. Pictures that cannot be decoded are left out.
    """
    shown = [header for sample in samples if (header := headers.of(sample.picture))]
    found = compare([sample.picture for sample in samples], shown)
    _note(samples, found, notes)
    joined, grouped_by = _joined(samples, found, grouped_by, notes)
    _groups_between_splits(joined, grouped_by, notes)
    return tuple(sample for place, sample in enumerate(joined) if place not in found.unreadable), grouped_by


def _note(samples: Sequence[Sample], found: Likeness, notes: Notes) -> None:
    all_blank = 0 < len(found.blank) == len(samples) - len(found.unreadable)
    for place, said in found.unreadable.items():
        notes.add("damaged file", samples[place].name, f"pictures are left out, as {said}")
    for place in found.blank:
        text = "pictures show one grey value only; check lamp and exposure"
        notes.add("blank picture", samples[place].name, text, refused=all_blank)
    if found.compared + sum(len(places) - 1 for places in found.same_bytes) < len(samples):
        text = f"{found.compared} of {len(samples)} pictures, evenly spaced, were compared for near duplicates"
        notes.say("not all compared", f"{text}; state parts in {FILE}")
    for places in found.same_bytes:
        truths = {(samples[place].label, samples[place].things, samples[place].text) for place in places}
        if len(truths) > 1 and places[0] not in found.blank:
            text = "pictures are equal files with different labels; keep the right one"
            for place in places:
                notes.add("contradiction", samples[place].name, text)


def _joined(
    samples: Sequence[Sample], found: Likeness, grouped_by: str, notes: Notes
) -> tuple[tuple[Sample, ...], str]:
    blank = set(found.blank)
    same = [places for places in found.same_bytes if not blank & set(places)]
    groups = [sample.group for sample in samples]
    for kind, sets in (("equal files", same), ("near duplicate", found.near)):
        for places in _components(sets):
            if len({groups[place] for place in places}) > 1:
                _note_alike(kind, [samples[place] for place in places], grouped_by, notes)
    if grouped_by == BY_FILE:
        return tuple(samples), grouped_by
    alike = _components([*same, *found.near])
    by_group: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        by_group[group].append(place)
    for places in _components([*alike, *by_group.values()]):
        for place in places:
            groups[place] = groups[places[0]]
    named = tuple(replace(sample, group=group) for sample, group in zip(samples, groups, strict=True))
    return named, grouped_by or (BY_LIKENESS if alike else "")


def _note_alike(kind: str, those: Sequence[Sample], grouped_by: str, notes: Notes) -> None:
    """Note copies whose groups differ: a file of groups that parts near ones is believed, equal ones are refused."""
    what = "are equal files" if kind == "equal files" else "show nearly the same as another"
    crossing = len({sample.split for sample in those}) > 1
    if crossing and (grouped_by != BY_FILE or kind == "equal files"):
        text, refused = (
            f"pictures {what} and stand in two splits; keep them in one, or state their parts in {FILE}",
            True,
        )
    elif grouped_by == BY_FILE:
        text, refused = f"pictures {what}, of another group of {FILE}; check whether they show one part", False
    else:
        text, refused = f"pictures {what} and count as one part; keep one, or state parts in {FILE}", False
    for sample in those:
        notes.add(kind, sample.name, text, refused=refused)


def _groups_between_splits(samples: Iterable[Sample], grouped_by: str, notes: Notes) -> None:
    splits: dict[str, set[Split]] = defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    if grouped_by == BY_LIKENESS:
        return
    for group, those in splits.items():
        if len(those) > 1:
            text = f"parts have pictures in two splits, by {grouped_by or FILE}; keep each part in one"
            notes.add("split leakage", group, text, refused=True)


def _components(sets: Iterable[Sequence[int]]) -> list[list[int]]:
    """Join sets that share a member; each is sorted, in the order of their first members."""
    parent: dict[int, int] = {}

    def top(place: int) -> int:
        while parent.setdefault(place, place) != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for places in sets:
        for place in places:
            one, other = top(places[0]), top(place)
            parent[max(one, other)] = min(one, other)
    members: dict[int, list[int]] = defaultdict(list)
    for place in sorted(parent):
        members[top(place)].append(place)
    return list(members.values())
