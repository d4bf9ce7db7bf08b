"""Say what turns a frame into findings.

An Interpreter reads the tensors of one window of one frame; a FrameReader holds preprocessing, sessions and
interpreters and reads whole frames (one window, tiles, or the two networks of OCR).

Outputs that the interpreters read, N the batch, coordinates in pixels of the input image, float32 unless said:

| task | outputs |
|---|---|
| classification | `probabilities` (N, classes) |
| detection | `boxes` (N, boxes, 4) as x1 y1 x2 y2, `scores` (N, boxes, classes) |
| instance | the same and `coefficients` (N, boxes, K), `prototypes` (N, K, rows, cols): mask = sigmoid of their sum |
| instance, by region | `probabilities` as semantic: each connected region of a class is an object |
| semantic | `classes` (N, rows, cols) uint8 and `confidence` (same), or `probabilities` (N, classes, rows, cols) |
| anomaly | `map` (N, rows, cols) distances |
| ocr | networks of their own: tasks/ocr.py |
"""

from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Tensors
from appliance.schema.finding import Finding


class Window(Struct, frozen=True):
    """Name the part of a frame that an input image shows, in frame pixels."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float


class Surface(Struct, frozen=True, eq=False):
    """Say how suspicious each place of a window is."""

    values: NDArray[np.float32]
    """(rows, cols) float32 scores; owned by the interpreter, valid until its next call."""
    window: Window
    low: float
    """Score of a place that is not worth showing."""
    high: float
    """Score that is shown in full, where none is higher."""

    def __eq__(self, other: object) -> bool:
        """Say whether both show the same now."""
        if not isinstance(other, Surface):
            return NotImplemented
        own, its = (self.window, self.low, self.high), (other.window, other.low, other.high)
        return own == its and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        """Give a number by what does not change; the values do."""
        return hash((self.window, self.low, self.high))


class Interpretation(Struct, frozen=True):
    """State what one set of tensors says."""

    score: float
    """Image score, higher is more suspicious; nan when the tensors are not finite, which no limit accepts."""
    findings: tuple[Finding, ...]
    """Strongest first; geometry in frame pixels."""
    surface: Surface | None = None
    """None: the task has no map, or the tensors are not finite."""


class Interpreter(Protocol):
    """Interpret the tensors of one model for one window; scratch memory is made once."""

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give the findings of batch entry `index`; keeps no reference.

        RuntimeFault when an output is missing or of another shape than the interpreter was made for.
        """


class Reading(Struct, frozen=True):
    """State what was read from one frame, and the time its two heavy stages took."""

    score: float
    findings: tuple[Finding, ...]
    preprocess_ms: float
    inference_ms: float
    others: tuple[float, ...] = ()
    """Image scores of the heads behind the deciding one, in the bundle's order."""
    novelty: float | None = None
    """Distance from everything that the bundle knows; None: it has no detector of unknown parts."""
    surfaces: tuple[Surface, ...] = ()
    """Of the first head that has a map, one per window; valid until the reader's next frame."""


class FrameReader(Protocol):
    """Read frames of one shape and pixel format with one bundle; one thread at a time."""

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read borrowed pixels; blocking; keeps no reference. RuntimeFault when a model fails."""
