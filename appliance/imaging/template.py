"""Compare a frame with a template that shows no defect: registered, in one light, edges free within a tolerance.

The result is a picture of three channels in frame pixels, which any network then reads in place of red, green and blue:

| channel | shows |
|---|---|
| 0 | the frame's grey values, in the template's light |
| 1 | the template's, where they lie in this frame |
| 2 | the tolerant difference: `NEUTRAL` none, more the frame is brighter than it may be, less darker |
"""

from collections.abc import Mapping

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.imaging.registration import LEAST_QUALITY, Registrar, Registration
from appliance.schema.bundle import Template
from appliance.schema.errors import ConfigError, RuntimeFault

NEUTRAL = 127
"""Signed, because missing and surplus material are different defects; around the mean that the backbone subtracts, so
that no difference is zero to it. A defect of full contrast moves by half the range, which is enough."""

# The light of a frame may be this many times the template's; beyond it nothing of worth is left to compare.
GAIN_LIMITS = (0.4, 2.5)
# Every so many pixels in both directions tell the light.
LIGHT_STEP = 4
LIGHT_ROUNDS = 4
LIGHT_SPREAD = 6.0
"""Grey levels: a pixel this many times three off says nothing of the light (a defect, an edge)."""

Grey = NDArray[np.uint8]


class Comparison(Struct, frozen=True):
    """Hold what comparing one frame gave."""

    picture: NDArray[np.uint8] | None
    """(rows, cols, 3) uint8 in frame pixels, new for each frame; None: the frame cannot be compared, so that
    nothing may pass on its account."""
    registration: Registration
    reason: str = ""
    """Why there is no picture: thing, value, limit, remedy."""


class Comparer:
    """Hold a template made ready for comparing frames of its shape with it; one thread at a time."""

    def __init__(self, template: Grey, how: Template) -> None:
        """Take (rows, cols) uint8, the view without a defect in frame pixels.

        ConfigError for a template of another layout, or a reach or tolerance that leaves nothing to compare.
        """
        if template.ndim != 2 or template.dtype != np.uint8 or min(template.shape) < 16:
            raise ConfigError(
                f"template: {template.shape} {template.dtype}; give (rows, cols) uint8, grey, at least 16 x 16 px"
            )
        most = min(template.shape) // 4
        if not 0 <= how.reach_px <= most or not 0 <= how.tolerance_px <= most:
            raise ConfigError(
                f"template: reach {how.reach_px} px and tolerance {how.tolerance_px} px, limits are 0 to {most} px, a "
                "quarter of its shorter side; lower them"
            )
        self._template, self._tolerance = np.ascontiguousarray(template), how.tolerance_px
        self._registrar = Registrar(self._template, how.reach_px)
        self._known = np.ones(template.shape, np.uint8)

    def compare(self, frame: NDArray[np.uint8]) -> Comparison:
        """Compare (rows, cols) Mono8 or (rows, cols, 3) RGB8 with the template; about 11 CPU ms at 640 x 640.

        Raises ConfigError for a frame of another shape.
        """
        shown = grey(frame)
        if shown.shape != self._template.shape:
            raise ConfigError(
                f"template: it has {self._template.shape[1]} x {self._template.shape[0]} px, the frame "
                f"{shown.shape[1]} x {shown.shape[0]}; give a template in frame pixels"
            )
        found = self._registrar.find(shown)
        if not found.registered:
            reason = (
                f"template: {max(found.quality, 0.0):.2f} of its edges found within {self._registrar.reach_px} px, at "
                f"least {LEAST_QUALITY:g} is needed; look at part and camera, or give the template of this view"
            )
            return Comparison(None, found, reason)
        size, matrix = self._template.shape[::-1], found.matrix
        template: Grey = cv2.warpAffine(
            self._template, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        known = cv2.warpAffine(self._known, matrix, size, flags=cv2.INTER_NEAREST).view(np.bool_)
        gain, offset = light(template, shown, known)
        if not GAIN_LIMITS[0] <= gain <= GAIN_LIMITS[1]:
            reason = (
                f"template: the frame's contrast is {gain:.2f} of the template's, limits are {GAIN_LIMITS[0]:g} to "
                f"{GAIN_LIMITS[1]:g}; look at lamp and exposure"
            )
            return Comparison(None, found, reason)
        levels = np.clip(np.rint((np.arange(256) - offset) / gain), 0, 255).astype(np.uint8)
        even = cv2.LUT(shown, levels)
        difference = tolerant_difference(even, template, self._tolerance)
        difference[~known] = NEUTRAL
        return Comparison(np.asarray(cv2.merge([even, template, difference]), np.uint8), found)


def compose(frame: NDArray[np.uint8], template: Grey, how: Template) -> NDArray[np.uint8]:
    """Give the frame, its template and their tolerant difference as (rows, cols, 3) uint8 in frame pixels.

    frame: (rows, cols) Mono8 or (rows, cols, 3) RGB8; template: (rows, cols) uint8 of the same size. For one frame per
    template; for many hold a `Comparer`. ConfigError when they cannot be compared.
    """
    compared = Comparer(template, how).compare(frame)
    if compared.picture is None:
        raise ConfigError(compared.reason)
    return compared.picture


def tolerant_difference(frame: Grey, template: Grey, tolerance_px: int) -> Grey:
    """Give by how much the frame leaves what the template allows, halved, around `NEUTRAL`; all (rows, cols) uint8.

    A frame's pixel may have any value between the least and the greatest that the template has within the tolerance,
    and the template's pixel any that the frame has: without the second half a line as thin as the tolerance could be
    missing unseen. The larger of both counts. The two must lie on each other and be in one light.
    """
    reach = np.ones((2 * tolerance_px + 1, 2 * tolerance_px + 1), np.uint8)
    brighter = cv2.max(
        cv2.subtract(frame, cv2.dilate(template, reach)), cv2.subtract(cv2.erode(frame, reach), template)
    )
    darker = cv2.max(cv2.subtract(cv2.erode(template, reach), frame), cv2.subtract(template, cv2.dilate(frame, reach)))
    stronger = brighter.astype(np.int16)
    np.subtract(stronger, darker, out=stronger, casting="unsafe")
    signed: Grey = ((stronger + 255) >> 1).astype(np.uint8)
    return signed


def light(template: Grey, frame: Grey, known: NDArray[np.bool_]) -> tuple[float, float]:
    """Give gain and offset of the frame's light: frame = gain * template + offset where no defect is.

    All (rows, cols), lying on each other; known: pixels where the template says something. Least squares, repeated
    without what lies far off. A picture of one grey value tells no gain: 1 then.
    """
    step = slice(None, None, LIGHT_STEP)
    used = known[step, step]
    x = template[step, step][used].astype(np.float64)
    y = frame[step, step][used].astype(np.float64)
    keep = np.ones(len(x), np.bool_)
    gain, offset = 1.0, 0.0
    for _ in range(LIGHT_ROUNDS):
        if keep.sum() < 2:
            break
        centre = x[keep].mean(), y[keep].mean()
        spread = float(((x[keep] - centre[0]) ** 2).mean())
        gain = float(((x[keep] - centre[0]) * (y[keep] - centre[1])).mean() / spread) if spread > 1.0 else 1.0
        offset = centre[1] - gain * centre[0]
        rest = np.abs(y - gain * x - offset)
        keep = rest <= 3 * max(LIGHT_SPREAD, 1.4826 * float(np.median(rest[keep])))
    return gain, offset


def grey(frame: NDArray[np.uint8]) -> Grey:
    """Give a frame of (rows, cols) Mono8, or (rows, cols, 3) RGB8, as (rows, cols) uint8 in C order."""
    if frame.ndim == 2:
        return np.ascontiguousarray(frame)
    mixed: Grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return mixed


def read_template(content: Mapping[str, NDArray[np.generic]], file: str) -> Grey:
    """Give the template that the arrays of a bundle's `file` hold; RuntimeFault when there is none."""
    template = content.get("template")
    if template is None or template.ndim != 2 or template.dtype != np.uint8:
        raise RuntimeFault(f"bundle: {file} holds no `template` of (rows, cols) uint8; build the bundle again")
    return template.astype(np.uint8, copy=False)
