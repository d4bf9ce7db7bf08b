"""Read text: find lines in regions of a raw frame, cut them out at native resolution, and spell them.

Networks (training/ocr_models.py), each with batch 1: detection `text` (1, rows, cols) float32 probability of a line's
core; direction `upside_down` (1,) float32; recognition `index` (1, steps) int32 and `probability` (1, steps) float32 of
the likeliest class, and `probabilities` (1, steps, classes) float32, which reading by a pattern needs.
"""

import math
import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ocr.crop import LineCutter, largest_part
from appliance.ocr.decoding import Grammar, grammars
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
from appliance.ocr.treatment import Treatment, treat
from appliance.ports.runtime import Session
from appliance.ports.task import Reading
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box, Finding

KIND = "text"
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
    map_threshold: float = MAP_THRESHOLD
    """Least probability of a cell of a line's core (the networks' published setting)."""
    box_threshold: float = BOX_THRESHOLD
    """Least mean probability in a line's core (the same)."""
    unclip: float = UNCLIP
    """By how much a line's core is grown: area * unclip / perimeter on each side (the same)."""
    upside_down: float = 0.9
    """Probability from which a line is turned (the same); down to 1 less this, both ways are read and compared."""
    treatment: Treatment = Treatment()
    """What is done to a line before it is read."""
    bound_threshold: float = 0.95
    """Least probability of a character, among those a pattern allows, in a text that was sought by the pattern."""
    most_gap: float = 12.0
    """Most nats by which such a text may be less likely than what the network reads unasked."""
    pattern: str = ""
    """What every text of the site matched in training; asked where no recipe says what to ask. Empty: nothing."""


class _Text(Struct, frozen=True):
    line: Line
    text: str
    score: float
    """Mean of the characters' probabilities."""
    lowest: float
    """Least of them: one wrong character is a wrong text."""
    probabilities: NDArray[np.float32] | None = None
    """(steps, classes), where a pattern may be asked of the line."""


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
        patterns: Mapping[Box | None, Sequence[str]] | None = None,
    ) -> None:
        """Take the compiled models by name and where to read.

        threshold: a line with a character less probable than this is unreadable. frame_shape: (rows, cols). regions:
        where the recipe expects text, with half a letter's height to spare; empty: the whole roi (x, y, width, height),
        or frame without one, where every line found must be readable. patterns: of each region, None standing for the
        whole view, what its rules ask; a line that reads otherwise is read again as the likeliest text that one of them
        allows; None: no recipe speaks, and the pattern of the settings is asked. RuntimeFault when models are missing,
        ValueError when a region does not fit the frame.
        """
        missing = {*settings.detection, *settings.recognition, *filter(None, [settings.direction])} - set(sessions)
        if missing or not settings.detection or not settings.recognition:
            raise RuntimeFault(
                f"OCR: the bundle lacks models {sorted(missing) or 'to find and read text'}; make it again"
            )
        self._settings, self._threshold = settings, threshold
        self._sessions = sessions
        self._recognition = {sessions[name].input.shape[2]: name for name in settings.recognition}
        x, y, width, height = roi or (0, 0, frame_shape[1], frame_shape[0])
        self._strict = not regions
        if patterns is None and settings.pattern:
            patterns = dict.fromkeys(regions or (None,), (settings.pattern,))
        asked = {box: grammars(own, settings.characters) for box, own in (patterns or {}).items()}
        wanted = regions or (Box(x, y, width, height),)
        limits = (settings.map_threshold, settings.box_threshold, settings.unclip)
        finders = {name: LineFinder(sessions[name].input.shape[1:3], *limits) for name in settings.detection}
        self._searches = [
            LineSearch(
                box,
                finders,
                sessions,
                frame_shape,
                pixel_format,
                asked.get(None if self._strict else box, ()),
                exact=self._strict,
            )
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
            spelt = [self._spell(pixels, line, bound=bool(search.grammars)) for line in lines[:MOST_LINES]]
            found = [self._as_asked(text, search.grammars) for text in self._joined(spelt)]
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

    def _spell(self, pixels: NDArray[np.uint8], line: Line, *, bound: bool) -> _Text:
        """Give what one line says, read from its right end; bound: keep what reading by a pattern needs."""
        name = self._recognizer(line)
        self._cutter.take(pixels, line, self._sessions[name].input.shape[1])
        turned = self._upside_down()
        sure = self._settings.upside_down
        ways = [upside for upside in (False, True) if (turned if upside else 1 - turned) > 1 - sure]
        # Short and worn lines look alike both ways; the wrong one reads badly.
        read = (self._spell_so(name, line, turned=way, bound=bound) for way in ways)
        return max(read, key=lambda text: text.score)

    def _spell_so(self, name: str, line: Line, *, turned: bool, bound: bool) -> _Text:
        image = self._sessions[name].input
        self._cutter.draw(image, turned=turned)
        treat(image[0], self._settings.treatment)
        outputs, steps = self._sessions[name].run(), image.shape[2] // 8
        index, probability = output_of(outputs, "index", (1, steps)), output_of(outputs, "probability", (1, steps))
        text, probabilities = _collapse(index[0], probability[0], self._settings.characters)
        lowest = min(probabilities, default=0.0)
        score = sum(probabilities) / len(probabilities) if probabilities else 0.0
        every = None
        if bound and "probabilities" in outputs:  # older bundles do not give them
            classes = 1 + len(self._settings.characters)
            # The session reuses its memory.
            every = output_of(outputs, "probabilities", (1, steps, classes))[0].astype(np.float32, copy=True)
        return _Text(line.turned() if turned else line, text, score, lowest, every)

    def _as_asked(self, text: _Text, asked: Sequence[Grammar]) -> _Text:
        """Give the text, or the likeliest one that a pattern allows where that is nearly as likely."""
        every, settings = text.probabilities, self._settings
        if every is None or any(grammar.matches(text.text.strip(" ")) for grammar in asked):
            return text
        found = [
            bound
            for grammar in asked
            if (bound := grammar.spell(every)) is not None
            and bound.lowest >= settings.bound_threshold
            and bound.gap <= settings.most_gap
        ]
        if not found:
            return text
        best = min(found, key=lambda bound: bound.gap)
        mean = sum(best.probabilities) / max(1, len(best.probabilities))
        return replace(text, text=best.text, score=mean, lowest=best.lowest)

    def _recognizer(self, line: Line) -> str:
        """Choose the narrowest network that holds the line, the widest if none does."""
        rows = self._sessions[next(iter(self._recognition.values()))].input.shape[1]
        return self._recognition[narrowest(line, rows, tuple(self._recognition))]

    def _upside_down(self) -> float:
        """Give the probability that the line taken is upside down."""
        if not self._settings.direction:
            return 0.0
        session = self._sessions[self._settings.direction]
        self._cutter.draw(session.input)
        return float(output_of(session.run(), "upside_down", (1,))[0])

    def _joined(self, texts: list[_Text]) -> list[_Text]:
        """Put what was read in reading order, pieces of a line together."""
        result: list[_Text] = []
        for row in in_reading_order([text.line for text in texts]):
            begun = len(result)
            for place in row:
                if len(result) > begun and is_continued(result[-1].line, texts[place].line):
                    result[-1] = _join(result[-1], texts[place], self._settings.characters)
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


def read_settings(content: bytes) -> OcrSettings:
    """Give the settings in an OCR head's file; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=OcrSettings)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise RuntimeFault(f"OCR: the settings file is damaged: {cause}; install the bundle again") from cause


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


def _join(one: _Text, other: _Text, characters: tuple[str, ...]) -> _Text:
    length = max(1, len(one.text) + len(other.text))
    return _Text(
        joined([one.line, other.line]),
        f"{one.text} {other.text}".strip(),
        (one.score * len(one.text) + other.score * len(other.text)) / length,
        min(one.lowest, other.lowest),
        _side_by_side(one.probabilities, other.probabilities, characters),
    )


def _side_by_side(
    one: NDArray[np.float32] | None, other: NDArray[np.float32] | None, characters: tuple[str, ...]
) -> NDArray[np.float32] | None:
    """Give the probabilities of two pieces of a line: between them lies a space or nothing, as a pattern wants it."""
    if one is None or other is None:
        return None
    between = np.zeros((1, one.shape[1]), np.float32)
    between[0, 0] = 1.0
    if " " in characters:
        between[0, 1 + characters.index(" ")] = 1.0
    return np.concatenate([one, between, other])
