"""Give one score to each real part that a bundle has not seen: what limits by risk are found from."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.datasets.inspection import refusals
from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet, Sample, Split
from appliance.datasets.splitting import selected
from appliance.decision.disposition import is_fault
from appliance.decision.risk_plan import HeldOut
from appliance.evaluation.appraisal import check_classes, row_of
from appliance.evaluation.decisions import worst_of_parts
from appliance.evaluation.judging import Judged, Tell, judge_all, unheard
from appliance.evaluation.seen import picture_digest, unseen
from appliance.schema.bundle import Manifest
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.services._inspector import LoadedBundle
from appliance.storage.bundle import Bundle


class Chosen(Struct, frozen=True):
    """Hold pictures of parts that a bundle has not seen."""

    data: DataSet
    samples: tuple[Sample, ...]
    remarks: tuple[str, ...]


class PartScores(Struct, frozen=True):
    """Hold the scores of parts, and name the data behind them."""

    held: HeldOut
    pictures: int
    sha256: str
    """Of names, parts, classes and pictures."""
    remarks: tuple[str, ...]


def choose(root: Path, split: Split, bundle: Bundle) -> Chosen:
    """Give the pictures of a split whose parts the bundle has not seen.

    ConfigError when none is left, when the data do not fit the bundle, and when neither data nor bundle tell which
    pictures it learned from.
    """
    manifest = bundle.manifest
    data = read_data(root, manifest.task)
    for remark in refusals(data, training=False):
        raise ConfigError(f"{data.root}: {remark.text}; `firstshift dataset inspect` names the pictures")
    check_classes(manifest, data)
    samples = selected(data, split)
    stated = bool(samples) and split is not Split.ANY
    samples = samples or data.samples
    found = unseen(samples, bundle.files)
    if not found.known and not stated:
        raise ConfigError(
            f"{data.root}: neither the folder nor the bundle says which of {len(samples)} pictures it learned from, "
            "and those promise nothing; put pictures of other parts into test/"
        )
    if not found.kept:
        raise ConfigError(
            f"{data.root}: all {len(samples)} pictures are of parts that the bundle was made from, at least 1 other is "
            "needed; give pictures of other parts"
        )
    return Chosen(data, found.kept, tuple(_remarks(data, len(samples) - len(found.kept), known=found.known)))


def score_parts(
    loaded: LoadedBundle, chosen: Chosen, views: int | None = None, seed: int = 0, tell: Tell = unheard
) -> PartScores:
    """Judge every picture and give the worst score of each part; RuntimeFault when no picture can be read.

    views: pictures that the line takes of a part; so many of each are drawn by the seed. None: as many as there are.
    ConfigError where a part has fewer.
    """
    return scores_of_parts(judge_all(loaded, chosen.samples, tell=tell), chosen, loaded.manifest, views, seed)


def scores_of_parts(
    judged: Iterable[Judged], chosen: Chosen, manifest: Manifest, views: int | None = None, seed: int = 0
) -> PartScores:
    """Give what `score_parts` does of pictures that are judged already."""
    faults = []
    rows = []
    for one in judged:
        rows.append(row_of(one, chosen.data, manifest))
        faults += [one.fault] if one.fault else []
    if faults and len(faults) == len(rows):
        raise RuntimeFault(faults[0])
    parts = worst_of_parts(rows, views, seed)
    defects = [row for row in parts if row.bad]
    remarks = [*chosen.remarks, *_of_views(Counter(row.group for row in rows), views)]
    if faults:
        remarks.append(f"{len(faults)} of {len(rows)} pictures cannot be read: their parts are held back; {faults[0]}")
    unscored = sum(is_fault(row.score) for row in rows) - len(faults)
    if unscored:
        remarks.append(f"{unscored} pictures were read and have no score: their parts are held back")
    return PartScores(
        HeldOut(
            tuple(row.score for row in defects),
            tuple(row.kinds for row in defects),
            tuple(row.score for row in parts if not row.bad),
        ),
        len(rows),
        _digest(chosen.samples, {row.name: row.kinds for row in rows}),
        tuple(remarks),
    )


def _remarks(data: DataSet, left_out: int, *, known: bool) -> Iterable[str]:
    if left_out:
        yield f"{left_out} pictures are left out: the bundle was made from them, or from others of the same parts"
    if not known:
        yield (
            "ATTENTION: the bundle does not say which pictures it was made from: if any is among these, nothing below "
            "holds"
        )
    if not data.grouped_by:
        yield (
            "ATTENTION: no groups are known, so each picture counts as a part; if several show one part, the promise "
            "is too good: name the parts in groups.csv"
        )


def _of_views(pictures: Counter[str], views: int | None) -> Iterable[str]:
    """Say what a part's score rests on: the worst of many pictures finds more than the line does with few."""
    fewest, most = min(pictures.values()), max(pictures.values())
    if views is not None and fewest < views:
        short = sum(count < views for count in pictures.values())
        raise ConfigError(
            f"{short} of {len(pictures)} parts have fewer than {views} pictures, the fewest {fewest}; ask for no more "
            "than each part has"
        )
    if views is None and most > 1:
        yield (
            f"a part's score is the worst of its {fewest} to {most} pictures: the line must take as many of each; "
            "--views draws fewer"
        )


def _digest(samples: Sequence[Sample], kinds: dict[str, tuple[str, ...]]) -> str:
    lines = (f"{one.name}\t{one.group}\t{','.join(kinds[one.name])}\t{picture_digest(one)}\n" for one in samples)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
