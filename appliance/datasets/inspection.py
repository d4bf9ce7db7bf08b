"""Say what is wrong with a set as a whole, and what forbids training with it or judging by it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from appliance.datasets.found import Headers, Notes
from appliance.datasets.sample import GOOD, DataSet, Remark, Sample, Split
from appliance.schema.bundle import TaskName

IMBALANCE = 20
"""Times as many pictures of the most frequent class from which the rarest is learned badly."""
FEW_PARTS = 5
"""Parts of a class under which neither its training nor its test says much."""
GREY_SHARE = 0.95
"""Share of one-channel pictures from which a camera is taken to be grey."""
TRAINING_ONLY = frozenset({"one class", "no good picture", "nothing marked", "too few pictures"})
"""Refusals that forbid training; a set for evaluation may be so."""


def refusals(data: DataSet, *, training: bool) -> tuple[Remark, ...]:
    """Give the remarks that forbid the use of the set: leaks always, too little to learn from for training alone."""
    return tuple(remark for remark in data.remarks if remark.refused and (training or remark.kind not in TRAINING_ONLY))


def note_set(
    samples: Sequence[Sample], classes: tuple[str, ...], task: TaskName, headers: Headers, notes: Notes
) -> None:
    """Note what concerns the whole set."""
    _note_files(samples, headers, notes)
    if len(samples) < 2:
        notes.say("too few pictures", "1 picture, training wants 2 parts at least; add pictures", refused=True)
    if task is TaskName.OCR:
        return
    learned = [sample for sample in samples if sample.split in {Split.TRAIN, Split.ANY}] or list(samples)
    if task is TaskName.ANOMALY:
        _note_anomaly(samples, learned, notes)
        return
    counts = Counter(kind for sample in learned for kind in kinds_shown(sample))
    if task is TaskName.CLASSIFICATION and len(counts) < 2:
        said = f"{len(learned)} pictures of one class, {next(iter(counts), GOOD)}"
        notes.say("one class", f"{said}; classification wants two at least, add pictures of another", refused=True)
    elif task is not TaskName.CLASSIFICATION and not set(counts) - {GOOD}:
        said = f"{len(learned)} pictures to learn from, nothing is marked in any"
        notes.say("nothing marked", f"{said}; {task} learns from marked objects, mark some", refused=True)
    _note_classes(learned, counts, classes, notes)


def kinds_shown(sample: Sample) -> set[str]:
    """Give the classes that a picture counts for: those of its things, else its label; `good` without any."""
    return {thing.kind for thing in sample.things} or {sample.label or GOOD}


def read_grey(channels: Iterable[int]) -> bool:
    """Say whether a set is grey, given the channels of each picture: a few coloured ones among grey are a slip."""
    counts = Counter(count == 1 for count in channels)
    return counts[True] >= GREY_SHARE * counts.total() > 0


def _note_files(samples: Sequence[Sample], headers: Headers, notes: Notes) -> None:
    channels: dict[int, list[str]] = defaultdict(list)
    stems = Counter((sample.picture.parent, sample.picture.stem) for sample in samples)
    for sample in samples:
        header = headers.of(sample.picture)
        if header is None:
            continue
        channels[header.channels].append(sample.name)
        if header.alpha:
            notes.add("alpha", sample.name, "pictures have an alpha channel, which is dropped; cameras deliver none")
        if header.converted:
            text = "pictures hold printing colours (CMYK), converted without a colour profile; export them as RGB"
            notes.add("printing colours", sample.name, text)
        if header.orientation != 1:
            text = "pictures are turned as their EXIF orientation says; check that their labels were made so"
            notes.add("turned", sample.name, text)
        if stems[sample.picture.parent, sample.picture.stem] > 1:
            notes.add("duplicate name", sample.name, "pictures differ from another in the suffix alone; rename them")
    if len(channels) > 1:
        rarer = min(channels, key=lambda count: len(channels[count]))
        every = (count for count, names in channels.items() for _ in names)
        how = "they are read as grey as well" if read_grey(every) else "all are read as RGB8"
        text = f"pictures have {rarer} channel{'s' if rarer > 1 else ''}, the others not; {how}"
        for name in channels[rarer]:
            notes.add("mixed channels", name, f"{text}; export all alike")


def _note_anomaly(samples: Sequence[Sample], learned: Sequence[Sample], notes: Notes) -> None:
    good = [sample for sample in learned if sample.label == GOOD]
    if not good:
        text = f"0 good pictures among {len(learned)} to learn from; put some into train/good"
        notes.say("no good picture", text, refused=True)
    for sample in learned:
        if sample.label != GOOD and sample.split is Split.TRAIN:
            notes.add(
                "defective in train", sample.name, "defective pictures are in train/, nothing is learned from them"
            )
    if all(sample.label == GOOD for sample in samples):
        text = f"{len(samples)} pictures, all good: escapes cannot be measured; add defective ones to test/"
        notes.say("no defective picture", text)


def _note_classes(learned: Sequence[Sample], counts: "Counter[str]", classes: tuple[str, ...], notes: Notes) -> None:
    """Note classes with few parts or far fewer pictures than others."""
    parts: dict[str, set[str]] = defaultdict(set)
    for sample in learned:
        for kind in kinds_shown(sample):
            parts[kind].add(sample.group)
    rare = [kind for kind in classes if 0 < len(parts[kind]) < FEW_PARTS]
    if rare:
        told = ", ".join(f"{kind} {len(parts[kind])}" for kind in rare)
        notes.say("few parts", f"{told}: fewer than {FEW_PARTS} parts to learn from and to test; add parts", rare)
    known = {kind: count for kind, count in counts.items() if kind in classes}
    if known and max(known.values()) > IMBALANCE * min(known.values()):
        most, least = max(known, key=lambda kind: known[kind]), min(known, key=lambda kind: known[kind])
        told = f"{known[most]} pictures of {most}, {known[least]} of {least}"
        notes.say("class imbalance", f"{told}: over {IMBALANCE} to 1; add pictures of the rare class", (least,))
