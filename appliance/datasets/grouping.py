"""Say which pictures belong together: what `groups.csv` states, else what file names make evident."""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from appliance.datasets.found import Notes, text_of
from appliance.datasets.sample import Sample
from appliance.schema.errors import ConfigError

FILE = "groups.csv"
BY_FILE = "groups.csv"
BY_NAME = "file names"

COPY = re.compile(
    r"(?:\.rf\.[0-9a-f]{16,}|[ _-]?\(\d+\)|[ _-]copy(?:[ _-]?\d+)?|[ _-](?:aug|augmented|flip|rot)[ _-]?\d*)$"
)
"""What augmenting exports, copying file managers and augmentation scripts append to a name."""
SHOT = re.compile(
    r"(?:^|[ _-])(?:exp|exposure|light|lighting|view|cam|camera|shot|angle|pose)[ _-]?(\d+)(?=$|[ _-])",
    re.IGNORECASE,
)
"""A word that numbers the pictures of one part, as `exp3`, `view_2`, `cam1`."""
MOST_SHOTS = 32
"""Pictures with one rest of a name above which the rest names no part but a line, lot or film."""
LAST_NUMBER = re.compile(r"(\d+)\D*$")
MOST_NAMES = 0.9
"""Share of the names that must fit before a rule about their order is believed."""
LONG_RUN = 3.0
"""Mean length from which ascending exposure numbers are no accident: names in a random order give runs of about two."""


def grouped(
    root: Path, samples: Sequence[Sample], pictures: Mapping[str, Path], notes: Notes
) -> tuple[tuple[Sample, ...], str]:
    """Give the samples with their groups, and what said so: `groups.csv`, `file names` or nothing.

    pictures: all that were found, by name, those that are left out too.
    """
    if (root / FILE).is_file():
        group_of = _by_file(root / FILE, pictures, notes)
        for sample in samples:
            if sample.name not in group_of:
                notes.add("no group", sample.name, f"pictures are not in {FILE} and stand alone; add them")
        return tuple(replace(sample, group=group_of.get(sample.name, sample.name)) for sample in samples), BY_FILE
    group_of = groups_by_name(pictures)
    named = tuple(replace(sample, group=group_of.get(sample.name, sample.name)) for sample in samples)
    for sample in named:
        if sample.group != sample.name:
            text = f"pictures share a part with another by their names; check, and state parts in {FILE}"
            notes.add("groups by name", sample.name, text)
    return named, BY_NAME if group_of else ""


def _by_file(path: Path, pictures: Mapping[str, Path], notes: Notes) -> dict[str, str]:
    """Give the group of each picture that the file names by its path, its file name or its stem."""
    short: dict[str, list[str]] = defaultdict(list)
    for name, picture in pictures.items():
        for called in {picture.name, picture.stem}:
            short[called].append(name)
    group_of: dict[str, str] = {}
    stated = _rows(path)
    for called, group in stated.items():
        those = [called] if called in pictures else short.get(called, [])
        if not those:
            notes.add(
                "unknown name", called, f"names in {FILE} belong to no picture that was found; check their spelling"
            )
        if len(those) > 1:
            notes.add(
                "duplicate name", called, f"names in {FILE} fit several pictures, which share the group; write paths"
            )
        group_of |= {name: group for name in those if name == called or name not in stated}
    return group_of


def _rows(path: Path) -> dict[str, str]:
    """Give the group of each name; ConfigError when the file is no table of names and groups."""
    lines = text_of(path).splitlines()
    separator = max(",;\t", key=lines[0].count) if lines else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator) if row]
    if not rows or [cell.lower() for cell in rows[0][:2]] != ["name", "group"]:
        raise ConfigError(f"{path}: first line is {','.join(rows[0]) if rows else 'empty'!r}, must be `name,group`")
    groups: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) < 2 or not row[0] or not row[1]:
            raise ConfigError(f"{path}, line {number}: {','.join(row)!r} must be a name and a group; complete it")
        if groups.setdefault(row[0].replace("\\", "/"), row[1]) != row[1]:
            raise ConfigError(
                f"{path}, line {number}: {row[0]} is in two groups, {groups[row[0]]} and {row[1]}; keep one"
            )
    return groups


def groups_by_name(pictures: Mapping[str, Path]) -> dict[str, str]:
    """Give the group of each picture whose name says that others show the same part; others are left out.

    A part is what is left of a name without the word that numbers its exposures, if that has a number of its own, or
    the name without what copying and augmenting append. Where names occur in several folders they were counted anew
    in each, so that folders part them.
    """
    stems = {name: _without(COPY, path.stem) for name, path in pictures.items()}
    if cycles := _cycles(stems):
        return cycles
    anew = len({path.stem for path in pictures.values()}) < len(pictures)
    shared: dict[str, list[str]] = defaultdict(list)
    for name, stem in stems.items():
        part = SHOT.sub("", stem).strip(" _-")
        if part == pictures[name].stem or not any(letter.isdigit() for letter in part):
            part = stem
        shared[f"{name.rpartition('/')[0]}/{part}" if anew else part].append(name)
    return {name: part for part, names in shared.items() if 1 < len(names) <= MOST_SHOTS for name in names}


def _without(pattern: re.Pattern[str], stem: str) -> str:
    while (shorter := pattern.sub("", stem)) != stem and shorter:
        stem = shorter
    return stem


def _cycles(stems: Mapping[str, str]) -> dict[str, str]:
    """Group names such as `exp3_num_1234`, whose exposures count up again and again in the order of the other number.

    Each run is a part. Empty unless nearly all names fit and the runs are longer than chance makes them.
    """
    numbered: list[tuple[int, int, str]] = []
    for name, stem in stems.items():
        shot = SHOT.search(stem)
        other = LAST_NUMBER.search(SHOT.sub("", stem))
        if shot and other:
            numbered.append((int(other.group(1)), int(shot.group(1)), name))
    if len(numbered) < MOST_NAMES * len(stems) or len({number for number, _, _ in numbered}) < len(numbered):
        return {}
    numbered.sort()
    part = 1
    groups: dict[str, str] = {}
    before = -1
    for _, shot_number, name in numbered:
        part += shot_number <= before
        groups[name] = f"part {part}"
        before = shot_number
    return groups if len(groups) >= LONG_RUN * part else {}
