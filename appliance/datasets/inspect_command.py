"""Answer `firstshift dataset inspect`: what the reader found, how it read it, and what is wrong."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from appliance.datasets.header import read_header
from appliance.datasets.inspection import kinds_shown
from appliance.datasets.reading import guess_task, read_data
from appliance.datasets.sample import DataSet, Remark
from appliance.schema.bundle import TaskName

FINDING = 1
MOST_NAMES = 5
"""Names of a remark that are shown to a person; JSON has all."""
MOST_SIZES = 8


class InspectOptions(Struct, frozen=True):
    """Take what the command line says."""

    data: Path
    task: str | None = None
    """None: the one that the layout is for."""
    json: str | None = None
    """File for the JSON, `-` for standard output alone."""


def run_inspect(options: InspectOptions, write: Callable[[Path, bytes], None]) -> int:
    """Print what was found; 1 when a remark refuses the set. write: stores the JSON, whole or not at all."""
    data = read_data(options.data, TaskName(options.task) if options.task else guess_task(options.data))
    summary = summarize(data)
    if options.json is not None:
        text = json.dumps(summary, ensure_ascii=False, indent=1) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            write(Path(options.json), text.encode())
    if options.json != "-":
        sys.stdout.write("\n".join(_lines(data, summary)) + "\n")
    return FINDING if summary["refused"] else 0


def summarize(data: DataSet) -> dict[str, Any]:
    """Give counts of pictures, parts and things per class and split, sizes and remarks, ready for JSON."""
    sizes = Counter((header.cols, header.rows) for header in (read_header(s.picture) for s in data.samples))
    return {
        "data": str(data.root),
        "task": data.task.value,
        "layout": data.layout,
        "classes": list(data.classes),
        "pixel_format": data.pixel_format.value,
        "pictures": len(data.samples),
        "groups": len({sample.group for sample in data.samples}),
        "grouped_by": data.grouped_by,
        "templates": sum(sample.template is not None for sample in data.samples),
        "masks": sum(sample.mask is not None for sample in data.samples),
        "counts": _counts(data),
        "sizes": [{"width": w, "height": h, "pictures": n} for (w, h), n in sizes.most_common()],
        "refused": any(remark.refused for remark in data.remarks),
        "remarks": [msgspec.to_builtins(remark) for remark in data.remarks],
    }


def _counts(data: DataSet) -> dict[str, dict[str, dict[str, int]]]:
    """Give the counts of every class, split by split; a split without a name is called `any`."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    pictures: Counter[tuple[str, str]] = Counter()
    things: Counter[tuple[str, str]] = Counter()
    for sample in data.samples:
        split = sample.split.value or "any"
        for kind in kinds_shown(sample):
            pictures[kind, split] += 1
            groups[kind, split].add(sample.group)
        for thing in sample.things:
            things[thing.kind, split] += 1
    counts: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for kind, split in sorted(pictures):
        key = (kind, split)
        counts[kind][split] = {"pictures": pictures[key], "parts": len(groups[key]), "things": things[key]}
    return dict(counts)


def _lines(data: DataSet, summary: dict[str, Any]) -> Iterator[str]:
    yield f"data       {data.root}"
    yield f"read as    {data.layout}, for {data.task}"
    templates = f", {summary['templates']} with a template" if summary["templates"] else ""
    yield f"pictures   {summary['pictures']}, {data.pixel_format}{templates}"
    yield f"parts      {summary['groups']}, " + (f"by {data.grouped_by}" if data.grouped_by else "each picture alone")
    yield f"classes    {', '.join(data.classes) or 'any text'}"
    yield from _table(summary["counts"])
    for size in summary["sizes"][:MOST_SIZES]:
        yield f"size       {size['width']} x {size['height']} px: {size['pictures']}"
    if len(summary["sizes"]) > MOST_SIZES:
        yield f"size       {len(summary['sizes']) - MOST_SIZES} others"
    for remark in sorted(data.remarks, key=lambda remark: not remark.refused):
        yield from _remark(remark)
    yield "refused: mend what is refused above before training" if summary["refused"] else "usable"


def _table(counts: dict[str, dict[str, dict[str, int]]]) -> Iterator[str]:
    for kind, splits in counts.items():
        told = "; ".join(
            ("" if split == "any" else f"{split} ")
            + f"{count['pictures']} pictures of {count['parts']} parts"
            + (f", {count['things']} things" if count["things"] else "")
            for split, count in splits.items()
        )
        yield f"  {kind:<16} {told}"


def _remark(remark: Remark) -> Iterator[str]:
    yield f"{'REFUSED' if remark.refused else 'warning'}    {remark.kind}: {remark.text}"
    for name in remark.names[:MOST_NAMES]:
        yield f"             {name}"
    if len(remark.names) > MOST_NAMES:
        yield f"             and {len(remark.names) - MOST_NAMES} others"
