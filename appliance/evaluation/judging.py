"""Judge labelled pictures with a bundle, one after the other: memory holds one picture and its map."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.datasets.sample import GOOD, DataSet, Sample
from appliance.datasets.truth import class_mask, load_frame
from appliance.decision.disposition import judge_score
from appliance.evaluation.maps import Map, MapWatch, has_maps
from appliance.evaluation.templates import show_template
from appliance.ports.task import FrameReader
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Finding
from appliance.schema.verdict import Disposition
from appliance.services._inspector import LoadedBundle

Frame = NDArray[np.uint8]
Change = Callable[[Frame, Sample], Frame]
"""Gives another frame of the same shape in place of a sample's own."""
Tell = Callable[[float], None]
"""Told the share done, in [0, 1]."""
MOST_READERS = 64
"""Readers kept for frames of different shapes; data sets whose pictures all differ make them anew."""


def unheard(share: float) -> None:
    """Take no notice."""


class Judged(Struct, frozen=True):
    """State what a bundle makes of one picture."""

    sample: Sample
    score: float
    disposition: Disposition
    """Under the bundle's own limits, a picture being a part of one view."""
    findings: tuple[Finding, ...]
    map: Map | None = None
    """(rows, cols) in frame pixels, where asked for: float32 deviations (anomaly), uint8 places in the classes of the
    bundle's head (semantic)."""
    fault: str = ""
    """Why there is no verdict, where the bundle cannot read this frame: on the line the part is held back."""
    others: tuple[float, ...] = ()
    """Image scores of the heads behind the deciding one."""
    novelty: float | None = None
    """Distance from everything that the bundle knows; None: it has no detector, or runs in another precision."""


def judge_all(
    loaded: LoadedBundle,
    samples: Sequence[Sample],
    *,
    maps: bool = False,
    change: Change | None = None,
    tell: Tell = unheard,
) -> Iterator[Judged]:
    """Yield what the bundle makes of each sample, in their order; one picture in memory at a time.

    maps: also the deciding head's map. change: what is done to a frame before. tell: told the share done. A frame that
    the bundle cannot read has no verdict, as on the line. ConfigError for a picture that is damaged.
    """
    watch = MapWatch(loaded) if maps and has_maps(loaded.manifest) else None
    source = watch.loaded if watch else loaded
    readers: dict[tuple[int, int, bool], FrameReader] = {}
    for number, sample in enumerate(samples, 1):
        frame = load_frame(sample, loaded.manifest.preprocessing.pixel_format)
        shape = (frame.shape[0], frame.shape[1])
        key = (*shape, sample.template is not None)
        try:
            if key not in readers:
                if len(readers) >= MOST_READERS:
                    readers.pop(next(iter(readers)))
                readers[key] = _reader(source, shape)
            show_template(readers[key], sample, shape)
            if watch:
                watch.forget()
            reading = readers[key].read(frame if change is None else change(frame, sample))
        except RuntimeFault as cause:
            yield Judged(sample, math.nan, disposition(loaded, math.nan), (), None, f"{sample.name}: {cause}")
        else:
            shown = watch.frame_map(shape) if watch else None
            said, known = disposition(loaded, reading.score), (reading.others, reading.novelty)
            yield Judged(sample, reading.score, said, reading.findings, shown, "", *known)
        tell(number / len(samples))


def disposition(loaded: LoadedBundle, score: float) -> Disposition:
    """Give what the bundle's limits make of a score."""
    limits = loaded.manifest.calibration
    return judge_score(score, *((limits.accept_below, limits.reject_above) if limits else (None, None)))[0]


def defects_of(sample: Sample, data: DataSet, features: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Name the defects that a picture shows; a part that shows one must not pass.

    Its label where it has one; else the classes of its things, or of its mask's pixels. features: classes that are no
    defects. Texts have none: whether they were read rightly, `must_not_pass` says.
    """
    if sample.label:
        return () if sample.label == GOOD else (sample.label,)
    if sample.mask is None:
        return tuple(dict.fromkeys(thing.kind for thing in sample.things if thing.kind not in features))
    places = np.flatnonzero(np.bincount(class_mask(sample, data).ravel(), minlength=len(data.classes)))
    return tuple(data.classes[place] for place in places if place and data.classes[place] not in features)


def must_not_pass(judged: Judged, data: DataSet, features: frozenset[str] = frozenset()) -> bool:
    """Say whether accepting this picture is an escape: the part is defective or, for texts, was not read rightly."""
    if data.task is TaskName.OCR:
        return not judged.sample.text or text_of(judged.findings) != spaced(judged.sample.text)
    return bool(defects_of(judged.sample, data, features))


def text_of(findings: Sequence[Finding]) -> str:
    """Give what was read, lines in reading order; empty when nothing was, or a line could not be."""
    lines = [finding.text for finding in findings if finding.kind == "text"]
    return spaced(" ".join(lines)) if lines and all(lines) else ""


def spaced(text: str) -> str:
    """Give a text with single spaces, none at its ends."""
    return " ".join(text.split())


def _reader(loaded: LoadedBundle, shape: tuple[int, int]) -> FrameReader:
    try:
        return loaded.reader(shape)
    except ConfigError as cause:  # frames and bundle do not fit together
        raise RuntimeFault(str(cause)) from cause
