"""Turn labelled pictures into lines of text: find the line, cut it out, and run what does not learn on it."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ocr.crop import LineCutter, largest_part
from appliance.ocr.lines import (
    BOX_THRESHOLD,
    MAP_THRESHOLD,
    UNCLIP,
    Line,
    LineFinder,
    in_reading_order,
    is_continued,
    joined,
    narrowest,
)
from appliance.ocr.search import LineSearch, output_of
from appliance.ports.runtime import Session
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box
from appliance.schema.frame import PixelFormat
from appliance.training.ocr_models import LINE_ROWS

MOST_PICTURES = 4000
"""More are not looked at: memory stays bounded, and intervals are narrow by then."""


class Picture(Struct, frozen=True):
    """Hold what is known of one labelled picture."""

    text: str
    line: NDArray[np.uint8] | None
    """(rows, cols, 3) uint8, cut for the narrowest recognition network that holds it; None: no line was found."""
    group: str


class LineSource:
    """Give the main line of a frame as the reader cuts it; memory for one shape of frames at a time."""

    def __init__(
        self,
        sessions: Mapping[str, Session],
        widths: tuple[int, ...],
        pixel_format: PixelFormat,
        roi: tuple[int, int, int, int] | None,
    ) -> None:
        """Take the compiled models of an OCR bundle, the columns of its recognition models, and where to look."""
        self._sessions, self._widths, self._format, self._roi = sessions, widths, pixel_format, roi
        self._shape: tuple[int, int] = (0, 0)
        self.cut = 0
        """Lines so near to the border of what was looked at that the reader would not trust them."""

    def line(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Give the line, (48, cols, 3) uint8, a copy; None when there is none. RuntimeFault on a foreign frame."""
        if frame.shape[:2] != self._shape:
            self._open((frame.shape[0], frame.shape[1]))
        self._search.prepare(frame)
        found = _main_line(self._search.lines())
        if found is None:
            return None
        self.cut += found.cut
        out = np.zeros((1, LINE_ROWS, narrowest(found, LINE_ROWS, self._widths), 3), np.uint8)
        self._cutter.take(frame, found, LINE_ROWS)
        if "direction" in self._sessions:
            session = self._sessions["direction"]
            self._cutter.draw(session.input)
            turned = float(output_of(session.run(), "upside_down", (1,))[0]) > 0.5
        else:
            turned = False
        self._cutter.draw(out, turned=turned)
        line: NDArray[np.uint8] = out[0]
        return line

    def _open(self, shape: tuple[int, int]) -> None:
        box = Box(*(self._roi or (0, 0, shape[1], shape[0])))
        finders = {
            name: LineFinder((session.input.shape[1], session.input.shape[2]), MAP_THRESHOLD, BOX_THRESHOLD, UNCLIP)
            for name, session in self._sessions.items()
            if name.startswith("detection")
        }
        self._search = LineSearch(box, finders, self._sessions, shape, self._format, exact=True)
        self._cutter = LineCutter(shape, self._format, largest_part((self._search.window,), shape))
        self._shape = shape


def take_pictures(
    frames: Iterable[NDArray[np.uint8]],
    texts: Iterable[str],
    groups: Iterable[str] | None,
    source: LineSource,
    seed: int,
    chosen: int = MOST_PICTURES,
) -> tuple[list[Picture], str, NDArray[np.uint8]]:
    """Give the pictures, the SHA-256 of all frames and texts, and a copy of the first frame.

    Beyond `chosen` pictures a share is drawn by the seed. ConfigError when frames, texts and groups do not fit together
    or a text is empty.
    """
    rng, digest, first = np.random.default_rng(seed), hashlib.sha256(), None
    kept: list[Picture] = []
    names = iter(groups) if groups is not None else map(str, itertools.count())
    try:
        for place, (frame, text) in enumerate(zip(frames, texts, strict=True)):
            group = next(names, None)
            if group is None:
                raise ConfigError(f"OCR training: {place} groups for more pictures; give one per picture")
            if not text.strip():
                raise ConfigError(f"OCR training: picture {place + 1} has an empty text; write what it says or drop it")
            first = frame.copy() if first is None else first
            digest.update(repr((frame.shape, text)).encode())
            digest.update(np.ascontiguousarray(frame).data)
            at = place if len(kept) < chosen else int(rng.integers(0, place + 1))  # reservoir sampling
            if at >= chosen:
                continue
            picture = Picture(text.strip(), _line_of(source, frame, place), group)
            kept[at:] = [picture] if at == len(kept) else [picture, *kept[at + 1 :]]
    except ValueError as cause:
        raise ConfigError(f"OCR training: frames and texts do not fit together: {cause}") from cause
    if first is None:
        raise ConfigError("OCR: 0 frames, at least 1 is needed to know what the camera delivers; give one")
    return kept, digest.hexdigest(), first


def _line_of(source: LineSource, frame: NDArray[np.uint8], place: int) -> NDArray[np.uint8] | None:
    try:
        return source.line(frame)
    except (RuntimeFault, ValueError) as cause:
        raise ConfigError(f"OCR training: picture {place + 1}: {cause}") from cause


def _main_line(lines: list[Line]) -> Line | None:
    """Give the largest line, its pieces together."""
    best: Line | None = None
    for row in in_reading_order(lines):
        run = [lines[row[0]]]
        wholes = []
        for place in row[1:]:
            if is_continued(run[-1], lines[place]):
                run.append(lines[place])
            else:
                wholes.append(run)
                run = [lines[place]]
        for pieces in [*wholes, run]:
            whole = pieces[0] if len(pieces) == 1 else joined(pieces)
            if best is None or whole.length_px * whole.height_px > best.length_px * best.height_px:
                best = whole
    return best
