"""Read text: find lines in regions of a raw frame, cut them out at native resolution, and spell them.

Networks (training/ocr_models.py), each with batch 1: detection `text` (1, rows, cols) float32 probability of a line's
core; direction `upside_down` (1,) float32; recognition `index` (1, steps) int32 and `probability` (1, steps) float32.
"""

import math
import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.ports.task import Reading, Window
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box, Finding
from appliance.tasks.ocr_crop import BAYER, PADDING, LineCutter, largest_part
from appliance.tasks.ocr_lines import Line, LineFinder, in_reading_order, is_continued, joined
from kernels.preprocess import Preprocessor

KIND = "text"
# A region is searched with a margin, so that a line at its border is seen whole: half its height up to 24 px, or
# a twentieth.
MARGIN_PX = 24
MARGIN_SHARES = (0.5, 0.05)
# A line may be drawn this much narrower than it is; letters differ more than that from one typeface to the next.
SQUEEZE = 1.1
# More lines than this in one region are no print but texture; reading them all would hold up the line.
MOST_LINES = 32
MS = 1e6


class OcrSettings(Struct, frozen=True):
    """State how an OCR bundle's networks are used; the head's settings file. Sizes are those of the models' inputs."""

    characters: tuple[str, ...]
    """What class 1, 2, ... of the recognition networks stand for; class 0 is the blank between two characters."""
    detection: tuple[str, ...]
    """Names of the models; a region takes the one that shows it largest, then the cheapest."""
    recognition: tuple[str, ...]
    """Names of the models; a line takes the narrowest that holds it."""
    direction: str
    """Name of the model; empty where no part can lie upside down."""
    map_threshold: float = 0.3
    """Least probability of a cell of a line's core (the networks' published setting)."""
    box_threshold: float = 0.5
    """Least mean probability in a line's core (the same)."""
    unclip: float = 1.6
    """By how much a line's core is grown: area * unclip / perimeter on each side (the same)."""
    upside_down: float = 0.9
    """Probability from which a line is turned (the same); down to 1 less this, both ways are read and compared."""


class _Text(Struct, frozen=True):
    line: Line
    text: str
    score: float
    """Mean of the characters' probabilities."""
    lowest: float
    """Least of them: one wrong character is a wrong text."""


class OcrReader:
    """Read one camera's frames with one bundle; all memory is made here."""

    def __init__(
        self,
        sessions: Mapping[str, Session],
        settings: OcrSettings,
        threshold: float,
        frame_shape: tuple[int, int],
        pixel_format: str,
        regions: Sequence[Box] = (),
        roi: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Take the compiled models by name and where to read.

        threshold: a line with a character less probable than this is unreadable. frame_shape: (rows, cols). regions:
        where the recipe expects text, with half a letter's height to spare; empty: the whole roi (x, y, width, height),
        or frame without one, where every line found must be readable. RuntimeFault when models are missing, ValueError
        when a region does not fit the frame.
        """
        missing = {*settings.detection, *settings.recognition, *filter(None, [settings.direction])} - set(sessions)
        if missing or not settings.detection or not settings.recognition:
            raise RuntimeFault(
                f"OCR: the bundle lacks models {sorted(missing) or 'to find and read text'}; make it again"
            )
        self._settings, self._threshold = settings, threshold
        self._sessions = sessions
        self._recognition = sorted(settings.recognition, key=lambda name: sessions[name].input.shape[2])
        x, y, width, height = roi or (0, 0, frame_shape[1], frame_shape[0])
        self._strict = not regions
        wanted = regions or (Box(x, y, width, height),)
        finders = {name: _finder(sessions[name], settings) for name in settings.detection}
        self._searches = [
            _Search(box, finders, sessions, frame_shape, pixel_format, exact=self._strict)
            for box in dict.fromkeys(wanted)
        ]
        windows = tuple(search.window for search in self._searches)
        self._cutter = LineCutter(frame_shape, pixel_format, largest_part(windows, frame_shape))

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read a raw frame: (rows, cols[, 3]) uint8, borrowed for the call, never written. Blocks for tens of ms.

        The score is 1 - the least probability of a character in the worst expected line: of each region its best line,
        and without regions every line. It is infinite, which every limit rejects, when nothing is there or one of them
        cannot be read. A line that cannot be read is a finding without text. RuntimeFault when a model fails.
        """
        preparing, score, texts = 0, 0.0, []
        begun = time.monotonic_ns()
        for search in self._searches:
            started = time.monotonic_ns()
            search.prepare(pixels)
            preparing += time.monotonic_ns() - started
            lines = search.lines()
            found = self._joined([self._spell(pixels, line) for line in lines[:MOST_LINES]])
            lows = [text.lowest if self._is_readable(text) else math.nan for text in found]
            readable = [low for low in lows if not math.isnan(low)]
            if not readable or len(lines) > MOST_LINES or (self._strict and len(readable) < len(lows)):
                score = math.inf
            else:
                score = max(score, 1 - (min if self._strict else max)(readable))
            texts += found
        whole = time.monotonic_ns() - begun
        return Reading(
            score,
            tuple(self._finding(text) for text in texts),
            preparing / MS,
            (whole - preparing) / MS,
        )

    def _spell(self, pixels: NDArray[np.uint8], line: Line) -> _Text:
        """Give what one line says, read from its right end."""
        name = self._recognizer(line)
        self._cutter.take(pixels, line, self._sessions[name].input.shape[1])
        turned = self._upside_down()
        sure = self._settings.upside_down
        ways = [upside for upside in (False, True) if (turned if upside else 1 - turned) > 1 - sure]
        # Short and worn lines look alike both ways; the wrong one reads badly.
        return max((self._spell_so(name, line, turned=way) for way in ways), key=lambda text: text.score)

    def _spell_so(self, name: str, line: Line, *, turned: bool) -> _Text:
        image = self._sessions[name].input
        self._cutter.draw(image, turned=turned)
        outputs, steps = self._sessions[name].run(), image.shape[2] // 8
        index, probability = _output(outputs, "index", (1, steps)), _output(outputs, "probability", (1, steps))
        text, probabilities = _collapse(index[0], probability[0], self._settings.characters)
        lowest = min(probabilities, default=0.0)
        score = sum(probabilities) / len(probabilities) if probabilities else 0.0
        return _Text(line.turned() if turned else line, text, score, lowest)

    def _recognizer(self, line: Line) -> str:
        """Choose the narrowest network that holds the line, the widest if none does."""
        for name in self._recognition:
            rows, cols = self._sessions[name].input.shape[1:3]
            if rows * line.length_px <= SQUEEZE * cols * line.height_px:
                return name
        return self._recognition[-1]

    def _upside_down(self) -> float:
        """Give the probability that the line taken is upside down."""
        if not self._settings.direction:
            return 0.0
        session = self._sessions[self._settings.direction]
        self._cutter.draw(session.input)
        return float(_output(session.run(), "upside_down", (1,))[0])

    def _joined(self, texts: list[_Text]) -> list[_Text]:
        """Put what was read in reading order, pieces of a line together."""
        result: list[_Text] = []
        for row in in_reading_order([text.line for text in texts]):
            begun = len(result)
            for place in row:
                if len(result) > begun and is_continued(result[-1].line, texts[place].line):
                    result[-1] = _join(result[-1], texts[place])
                else:
                    result.append(texts[place])
        return result

    def _is_readable(self, text: _Text) -> bool:
        return bool(text.text.strip()) and not text.line.cut and text.lowest >= self._threshold

    def _finding(self, text: _Text) -> Finding:
        return Finding(
            kind=KIND,
            score=text.score,
            confidence=None,
            box=text.line.box(),
            area_px=text.line.length_px * text.line.height_px,
            polygon=text.line.corners(),
            text=text.text if self._is_readable(text) else "",
        )


class _Search:
    """Look for lines in one region; writes into its detection session's input."""

    def __init__(
        self,
        region: Box,
        finders: Mapping[str, LineFinder],
        sessions: Mapping[str, Session],
        frame_shape: tuple[int, int],
        pixel_format: str,
        *,
        exact: bool,
    ) -> None:
        x, y, width, height = _window(region, 0.0 if exact else _margin(region), frame_shape, pixel_format)
        self.window = Window(x, y, width, height)
        self._region = region
        scales = {
            name: min(s.input.shape[2] / width, s.input.shape[1] / height)
            for name, s in sessions.items()
            if name in finders
        }
        # Larger than life shows nothing new; among equals the smallest input is the cheapest.
        name = min(scales, key=lambda known: (-min(scales[known], 1.0), sessions[known].input.size))
        self._session, self._finder = sessions[name], finders[name]
        self._shape = self._session.input.shape[1:3]
        rows = max(1, min(self._shape[0], round(height * scales[name])))
        cols = max(1, min(self._shape[1], round(width * scales[name])))
        self._used = (rows, cols)
        self._preprocessor = Preprocessor(frame_shape, pixel_format, (x, y, width, height), self._used)
        self._image = np.zeros((rows, cols, 3), np.uint8)

    def prepare(self, pixels: NDArray[np.uint8]) -> None:
        """Write the region into the upper left of the input, grey beside it; RuntimeFault on another kind of frame."""
        rows, cols = self._used
        image = self._session.input[0]
        lies_together = cols == self._shape[1]  # whole rows of the input
        try:
            self._preprocessor.run(pixels, image[:rows] if lies_together else self._image)
        except ValueError as cause:
            raise RuntimeFault(f"preprocessing: {cause}") from cause
        if not lies_together:
            image[:rows, :cols] = self._image
        image[rows:] = PADDING
        image[:rows, cols:] = PADDING

    def lines(self) -> list[Line]:
        """Give the lines whose middle is in the region, largest first."""
        found = _output(self._session.run(), "text", (1, *self._shape))[0]
        region = self._region
        inside = [
            line
            for line in self._finder.find(found, self.window, self._used)
            if region.x_px <= line.x_px <= region.x_px + region.width_px
            and region.y_px <= line.y_px <= region.y_px + region.height_px
        ]
        return sorted(inside, key=lambda line: -line.length_px * line.height_px)


def read_settings(content: bytes) -> OcrSettings:
    """Give the settings in an OCR head's file; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=OcrSettings)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise RuntimeFault(f"OCR: the settings file is damaged: {cause}; install the bundle again") from cause


def _finder(session: Session, settings: OcrSettings) -> LineFinder:
    rows, cols = session.input.shape[1:3]
    return LineFinder((rows, cols), settings.map_threshold, settings.box_threshold, settings.unclip)


def _margin(region: Box) -> float:
    shortest = min(region.width_px, region.height_px)
    return max(min(MARGIN_SHARES[0] * shortest, MARGIN_PX), MARGIN_SHARES[1] * shortest)


def _window(region: Box, margin: float, frame_shape: tuple[int, int], pixel_format: str) -> tuple[int, int, int, int]:
    """Give (x, y, width, height) around a region with a margin, inside the frame, on whole colour filter quads."""
    step = 2 if pixel_format == BAYER else 1
    left = max(0, math.floor((region.x_px - margin) / step) * step)
    top = max(0, math.floor((region.y_px - margin) / step) * step)
    right = min(frame_shape[1] // step * step, math.ceil((region.x_px + region.width_px + margin) / step) * step)
    bottom = min(frame_shape[0] // step * step, math.ceil((region.y_px + region.height_px + margin) / step) * step)
    if right - left < 2 or bottom - top < 2:
        raise ValueError(
            f"OCR: region of {region.width_px:g} x {region.height_px:g} px at {region.x_px:g}, {region.y_px:g} is "
            f"outside the frame of {frame_shape[1]} x {frame_shape[0]} px; move it inside"
        )
    return left, top, right - left, bottom - top


def _output(outputs: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Give one output; RuntimeFault when it is missing, of another shape, or no number."""
    found = outputs.get(name)
    if found is None or found.shape != shape:
        raise RuntimeFault(
            f"OCR: outputs {sorted(outputs)} hold no `{name}` of shape {shape}; use a bundle of task ocr"
        )
    if not np.isfinite(found).all():
        raise RuntimeFault(f"OCR: output `{name}` has values that are no numbers; load the bundle again")
    return found


def _collapse(
    index: NDArray[np.generic], probability: NDArray[np.generic], characters: tuple[str, ...]
) -> tuple[str, list[float]]:
    """Give a text and its characters' probabilities: equal neighbours are one character, the blank none (CTC).

    Graves et al., "Connectionist Temporal Classification" (2006), section 3.2. A character counts with its best step.
    """
    text, probabilities, last = "", list[float](), 0
    for place, value in zip(index.tolist(), probability.tolist(), strict=True):
        if not 0 <= place <= len(characters):
            raise RuntimeFault(f"OCR: class {place} has no character among {len(characters)}; make the bundle again")
        if place == last != 0:
            probabilities[-1] = max(probabilities[-1], value)
        elif place:
            text += characters[place - 1]
            probabilities.append(value)
        last = place
    return text, probabilities


def _join(one: _Text, other: _Text) -> _Text:
    length = max(1, len(one.text) + len(other.text))
    return _Text(
        joined([one.line, other.line]),
        f"{one.text} {other.text}".strip(),
        (one.score * len(one.text) + other.score * len(other.text)) / length,
        min(one.lowest, other.lowest),
    )
