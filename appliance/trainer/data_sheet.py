"""Write a bundle's data sheet as one HTML file: what it learned from, what it can do, and what it cannot."""

from pathlib import Path

import jinja2
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.trainer import plots

HTML = "data_sheet.html"
JSON = "data_sheet.json"


class Rate(Struct, frozen=True):
    """Give a number with what it rests on; a share has its counts and exact 95 % interval (Clopper-Pearson)."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    k: int | None = None
    n: int | None = None
    note: str = ""
    """For example which interval it is."""

    @property
    def is_share(self) -> bool:
        """Say whether it counts something of something."""
        return self.k is not None


class CountRow(Struct, frozen=True):
    """Count the pictures of one class."""

    name: str
    fit: int
    calibration: int
    test: int


class CurvePoint(Struct, frozen=True):
    """State the headline metric of a model that learned from fewer images."""

    images: int
    groups: int
    value: float
    low: float | None
    """None: too few parts for an interval."""
    high: float | None


class Gap(Struct, frozen=True):
    """Compare the honest split with one that tears parts apart."""

    grouped: float
    grouped_images: int
    random: float
    random_images: int


class Confidence(Struct, frozen=True):
    """State how well a confidence holds."""

    kind: str
    count: int
    right: int
    error: float
    """Expected calibration error."""
    bins: tuple[tuple[float, float, float, float, int], ...]
    """(confidence, share right, low, high, count)."""
    method: str = "isotonic"
    """How it was fitted: the one of less log loss on parts left out."""
    log_losses: dict[str, float] = {}
    """Of each method that was tried."""
    low: float | None = None
    """Ends of the 95 % interval of the error, parts drawn anew; None: too few parts."""
    high: float | None = None
    parts: int = 0


class Card(Struct, frozen=True):
    """Show one of the worst pictures."""

    name: str
    said: str
    truth: str
    score: float | None
    picture: str
    """As a data URI."""


class DataSheet(Struct, frozen=True):
    """Hold everything that the page shows."""

    task: str
    headline: str
    """Name of the metric that the learning curve draws."""
    created: str
    root: str
    layout: str
    pixel_format: str
    grouped_by: str
    test_origin: str
    counts: tuple[CountRow, ...]
    groups: tuple[int, int, int]
    """Of fit, calibration and test."""
    remarks: tuple[str, ...]
    runtime: str
    precision: str
    seed: int
    seconds: float
    input_shape: tuple[int, int]
    cpu_ms: float | None
    """CPU time of one picture, median."""
    decision: tuple[Rate, ...]
    """Escape, overkill and review under the bundle's limits."""
    metrics: tuple[Rate, ...]
    per_class: dict[str, tuple[Rate, ...]]
    good_scores: tuple[float, ...]
    defect_scores: tuple[float, ...]
    accept_below: float | None
    reject_above: float | None
    promise: str
    """What the limits promise, in words."""
    unknown: str = ""
    """What becomes of parts unlike everything known, in words."""
    confidences: tuple[Confidence, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    gap: Gap | None = None
    left_out: str = ""
    """Why learning curve and gap are missing, if they are."""
    robustness: tuple[tuple[str, str, Rate, Rate], ...] = ()
    """(disturbance, level, escapes, overkill)."""
    worst: tuple[Card, ...] = ()
    limits: tuple[str, ...] = ()
    """What this bundle cannot do, one sentence each."""


def as_json(sheet: DataSheet) -> bytes:
    """Give the sheet without its pictures, for machines."""
    bare = tuple(replace(card, picture="") for card in sheet.worst)
    return msgspec.json.format(msgspec.json.encode(replace(sheet, worst=bare)))


def as_html(sheet: DataSheet) -> bytes:
    """Give the page; everything it shows is inside."""
    figures = {
        "scores": plots.scores(sheet.good_scores, sheet.defect_scores, sheet.accept_below, sheet.reject_above)
        if sheet.good_scores or sheet.defect_scores
        else "",
        "curve": plots.learning_curve(
            [(point.images, point.value, point.low, point.high) for point in sheet.curve], sheet.headline
        )
        if len(sheet.curve) > 1
        else "",
        "reliability": [plots.reliability(one.bins) for one in sheet.confidences],
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["share"] = share
    environment.filters["plain"] = plain
    return environment.get_template("data_sheet.html.j2").render(sheet=sheet, figures=figures).encode()


def share(value: float | None) -> str:
    """Write a share as a percentage that neither hides a failure behind 100 % nor a hit behind 0 %."""
    if value is None:
        return "unknown"
    text = f"{100 * value:.1f}"
    if (text == "100.0" and value < 1) or (text == "0.0" and value > 0):
        text = f"{100 * value:.3g}" if value < 0.5 else f"{100 * value:.4f}"
    return f"{text} %"


def plain(value: float | None) -> str:
    """Write any other number; counts have no decimals."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}".replace(",", " ") if value >= 2 and value == round(value) else f"{value:.3f}"


def sentence(rate: Rate) -> str:
    """Write a rate on one line of a terminal."""
    if rate.is_share:
        if not rate.n:
            return f"{rate.name}: 0 of 0"
        return f"{rate.name}: {share(rate.value)} ({rate.k} of {rate.n}, {share(rate.low)} to {share(rate.high)})"
    interval = f" ({plain(rate.low)} to {plain(rate.high)}, {rate.note})" if rate.low is not None else ""
    return f"{rate.name}: {plain(rate.value)}{interval}"
