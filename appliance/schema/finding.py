"""Describe one thing a model found in one view."""

from msgspec import Struct


class Box(Struct, frozen=True, forbid_unknown_fields=True):
    """Bound a region in frame pixels; x to the right, y down, origin at the frame's first pixel."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float


class Extent(Struct, frozen=True):
    """State a finding's place and size in mm in the plane of the part; origin at the frame's first pixel."""

    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float
    area_mm2: float


class Finding(Struct, frozen=True):
    """State one finding; geometry is in the pixels of the full frame."""

    kind: str
    """Class of the taxonomy; `anomaly` for an unnamed deviation, `text` and `code` for what was read."""
    score: float
    """Raw output of the model, comparable only within one bundle and precision."""
    confidence: float | None
    """Calibrated probability in [0, 1]; None while the bundle has no calibration for it."""
    box: Box | None = None
    area_px: float = 0.0
    polygon: tuple[tuple[float, float], ...] = ()
    """Outline as (x, y) in frame pixels, not closed; empty where the task knows no more than the box."""
    extent: Extent | None = None
    """The same in mm; None while the view has no scale."""
    text: str = ""
    """What was read, for text and codes; empty when it could not be read."""


class HeadScore(Struct, frozen=True):
    """State what one head of a bundle makes of a view."""

    task: str
    score: float
    """Image score of the head; higher is more suspicious, nan is never accepted."""
    accept_below: float | None = None
    """Limits of this head on its score; None: uncalibrated."""
    reject_above: float | None = None


class HeatMap(Struct, frozen=True):
    """Show people how suspicious each place of a view is, coarsely; no rule, limit or decision reads it."""

    window: Box
    """What the grid covers."""
    rows: int
    """48 at most, as `columns`."""
    columns: int
    low: float
    """Score that 0 stands for, and everything under it."""
    high: float
    """Score that 255 stands for; values between are linear."""
    cells: bytes
    """zlib of rows * columns uint8, row by row; `imaging/heat.py` reads it."""


class ViewResult(Struct, frozen=True):
    """State what the model made of one camera's frame."""

    camera: str
    epoch: int
    """Ring epoch of the frame; camera, epoch and frame id name one frame for ever."""
    frame_id: int
    score: float
    """Image score of the bundle's deciding head; higher is more suspicious, nan is never accepted."""
    p_value: float | None
    """Share of good calibration images at least as suspicious (conformal p-value); None when uncalibrated."""
    findings: tuple[Finding, ...]
    broken_rules: tuple[str, ...] = ()
    """One line per rule of the recipe that this view breaks; a view with any is never accepted."""
    probability: float | None = None
    """Calibrated probability in [0, 1] that the view shows a defect, by the curve of the image score; None:
    uncalibrated."""
    novelty: float | None = None
    """Distance from everything that the bundle knows, comparable only within one bundle and precision; None: the
    bundle has no detector of unknown parts."""
    novelty_p: float | None = None
    """Share of held-out known parts at least as unlike (conformal p-value), in (0, 1]; None as `novelty`."""
    heads: tuple[HeadScore, ...] = ()
    """Scores of the heads behind the deciding one, which is `score`; empty where there is one head."""
    heat: HeatMap | None = None
    """None: the view is accepted for itself, or its task has no map."""
