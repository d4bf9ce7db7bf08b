"""Describe one thing a model found in one view."""

from msgspec import Struct


class Box(Struct, frozen=True):
    """Bound a region in frame pixels; x to the right, y down, origin at the frame's first pixel."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float


class Finding(Struct, frozen=True):
    """State one finding; geometry is in the pixels of the full frame."""

    kind: str
    """Class of the taxonomy; `anomaly` for an unnamed deviation."""
    score: float
    """Raw output of the model, comparable only within one bundle and precision."""
    confidence: float | None
    """Calibrated probability in [0, 1]; None while the bundle has no calibration for it."""
    box: Box | None = None
    area_px: float = 0.0


class ViewResult(Struct, frozen=True):
    """State what the model made of one camera's frame."""

    camera: str
    epoch: int
    """Ring epoch of the frame; camera, epoch and frame id name one frame for ever."""
    frame_id: int
    score: float
    """Image score of the bundle's task; higher is more suspicious."""
    p_value: float | None
    """Share of good calibration images at least as suspicious (conformal p-value); None when uncalibrated."""
    findings: tuple[Finding, ...]
