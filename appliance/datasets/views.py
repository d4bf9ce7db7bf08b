"""See what was found as one task needs it: its labels, things or masks, and the classes in its order."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from appliance.datasets.folders import GOOD_NAMES
from appliance.datasets.found import Found, Headers, Notes
from appliance.datasets.mask_pairs import IMAGE_AND_MASK
from appliance.datasets.sample import BACKGROUND, GOOD, Sample, Thing
from appliance.datasets.truth import MARKED_OVER, VOID, marked, mask_values
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

OUTLINED = frozenset({TaskName.SEMANTIC, TaskName.INSTANCE})
LABELLED = frozenset({TaskName.CLASSIFICATION, TaskName.ANOMALY})
THREADS = 2
OVERHANG_PX = 2.0
"""Boxes may end so far outside the picture without a remark: tools round differently."""


class MaskFacts(Struct, frozen=True):
    """Say what a mask holds."""

    fault: str = ""
    """Kind of remark; empty: sound."""
    largest: int = 0
    """Value above 0 with the most pixels; 0: nothing is marked."""


def viewed(found: Found, task: TaskName, headers: Headers, notes: Notes) -> tuple[tuple[str, ...], tuple[Sample, ...]]:
    """Give the classes and samples for a task; what does not fit it is noted and left out."""
    if task is TaskName.OCR:
        return (), tuple(sample for sample in found.samples if sample.text is not None)
    samples = _inside(found.samples, headers, notes)
    if task is not TaskName.CLASSIFICATION or found.layout == IMAGE_AND_MASK:
        samples = _masks_checked(found, samples, task, headers, notes)
    samples = _labelled(samples, task, notes) if task in LABELLED else _marked(samples, task, notes)
    kinds = found.kinds
    if found.layout != IMAGE_AND_MASK:  # a mask's values are places in the whole list
        used = {thing.kind for sample in samples for thing in sample.things} | {sample.label for sample in samples}
        kinds = tuple(kind for kind in kinds if kind in used and kind.lower() not in GOOD_NAMES)
    first = {TaskName.SEMANTIC: (BACKGROUND,), TaskName.DETECTION: (), TaskName.INSTANCE: ()}.get(task, (GOOD,))
    return (*first, *kinds), tuple(samples)


def _inside(samples: tuple[Sample, ...], headers: Headers, notes: Notes) -> list[Sample]:
    """Cut boxes at the picture's edge; leave out samples with a box that is empty or elsewhere."""
    kept = []
    for sample in samples:
        header = headers.of(sample.picture)
        if header is None or not sample.things:
            kept.append(sample)
            continue
        things = [_cut(thing, header.rows, header.cols) for thing in sample.things]
        if any(after is None for after in things):
            text = "pictures have a box that is empty or outside the picture and are left out; mend the box"
            notes.add("box outside", sample.name, text)
            continue
        cut = tuple(after for after in things if after is not None)
        pairs = zip(sample.things, cut, strict=True)
        if any(abs(a - b) > OVERHANG_PX for old, new in pairs for a, b in zip(old.box, new.box, strict=True)):
            text = f"pictures have a box over the edge by more than {OVERHANG_PX:g} px, which is cut; check its labels"
            notes.add("box over the edge", sample.name, text)
        kept.append(replace(sample, things=cut))
    return kept


def _cut(thing: Thing, rows: int, cols: int) -> Thing | None:
    x1, y1, x2, y2 = thing.box
    xs: tuple[float, ...] = thing.box[0::2]
    ys: tuple[float, ...] = thing.box[1::2]
    for ring in thing.rings:
        xs, ys = (*xs, *ring[0::2]), (*ys, *ring[1::2])
    # Further out than a whole picture nothing was drawn on this one.
    if not all(-cols <= x <= 2 * cols for x in xs) or not all(-rows <= y <= 2 * rows for y in ys):
        return None
    box = (max(0.0, x1), max(0.0, y1), min(float(cols), x2), min(float(rows), y2))
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    return thing if box == thing.box else replace(thing, box=box)


def _masks_checked(found: Found, samples: list[Sample], task: TaskName, headers: Headers, notes: Notes) -> list[Sample]:
    """Read every mask; where one is no use, the sample is left out, or for anomaly kept without its mask."""
    kinds = found.kinds if found.layout == IMAGE_AND_MASK else None
    masked = [sample for sample in samples if sample.mask is not None]
    with ThreadPoolExecutor(THREADS) as pool:
        facts = dict(
            zip([s.name for s in masked], pool.map(lambda sample: _facts(sample, kinds, headers), masked), strict=True)
        )
    kept = []
    for sample in samples:
        fact = facts.get(sample.name, MaskFacts())
        if not fact.fault:
            label = kinds[fact.largest - 1] if kinds and fact.largest else GOOD
            kept.append(sample if kinds is None else replace(sample, label=label))
            continue
        keep = task is TaskName.ANOMALY and kinds is None
        notes.add(fact.fault, sample.name, _told(fact.fault, kept=keep))
        if keep:
            kept.append(replace(sample, mask=None))
    return kept


def _told(fault: str, *, kept: bool) -> str:
    what = {
        "empty mask": f"defective pictures have a mask without a value over {MARKED_OVER}",
        "mask size": "masks are not of their picture's size",
        "damaged mask": "masks cannot be read",
        "unknown class": "masks hold a value that no class has",
    }[fault]
    return f"{what} and are {'used without it' if kept else 'left out'}; mark the defect again"


def _facts(sample: Sample, kinds: tuple[str, ...] | None, headers: Headers) -> MaskFacts:
    """Read one mask; kinds: what its values stand for, None for a ground truth mask of 0 and 255."""
    header = headers.of(sample.picture)
    if sample.mask is None or header is None:
        return MaskFacts()
    try:
        values = marked(sample.mask).astype(np.uint8) if kinds is None else mask_values(sample.mask, len(kinds))
    except ConfigError:
        return MaskFacts("damaged mask")
    if values.shape != (header.rows, header.cols):
        return MaskFacts("mask size")
    counts = np.bincount(values.ravel(), minlength=256)
    counts[0] = counts[VOID] = 0
    largest = int(counts.argmax()) if counts.any() else 0
    if kinds is None:
        return MaskFacts("" if largest else "empty mask", largest)
    return MaskFacts("unknown class" if counts[len(kinds) + 1 :].any() else "", largest)


def _labelled(samples: list[Sample], task: TaskName, notes: Notes) -> list[Sample]:
    """Give every sample a label; a picture with things of several kinds has none."""
    kept = []
    for sample in samples:
        kinds = list(dict.fromkeys(thing.kind for thing in sample.things))
        if len(kinds) > 1 and not sample.label and task is TaskName.CLASSIFICATION:
            text = "pictures show things of several kinds and are left out; classification wants one label each"
            notes.add("several labels", sample.name, text)
            continue
        label = sample.label or (kinds[0] if kinds else GOOD)
        kept.append(replace(sample, label=GOOD if label.lower() in GOOD_NAMES else label))
    return kept


def _marked(samples: list[Sample], task: TaskName, notes: Notes) -> list[Sample]:
    """Keep the samples whose objects are known."""
    kept = []
    for sample in samples:
        known = sample.mask is not None or bool(sample.things)
        if not known and sample.label and sample.label.lower() not in GOOD_NAMES:
            notes.add(
                "no mask", sample.name, "defective pictures have no mask or box and are left out; mark the defect"
            )
        elif task in OUTLINED and any(not (thing.rings or thing.counts) for thing in sample.things):
            notes.add(
                "no outline", sample.name, f"pictures have boxes without outlines and are left out; {task} wants them"
            )
        else:
            kept.append(sample)
    return kept
