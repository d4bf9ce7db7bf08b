"""Describe a bundle: a model with everything needed to run it the way it was calibrated."""

from msgspec import Struct

from appliance.schema.frame import PixelFormat


class BundleFile(Struct, frozen=True):
    """Name one file of a bundle."""

    path: str
    """Relative, forward slashes, no `..`."""
    bytes: int
    sha256: str


class GoodOnlyCalibration(Struct, frozen=True):
    """State limits set from good images alone, and what they promise."""

    images: int
    """Good images whose out-of-fold scores set the limits."""
    accept_below: float
    """Image scores up to here are accepted."""
    reject_above: float
    """Image scores over this are rejected; between the two a person looks."""
    overkill_expected: float
    """Expected share of good parts over `accept_below`."""
    overkill_upper: float
    """One-sided 95 % upper bound of that share, exact (Clopper-Pearson)."""
    scores: tuple[float, ...]
    """The sorted out-of-fold scores, for conformal p-values."""


class Manifest(Struct, frozen=True):
    """List what a bundle is; its canonical JSON is what the bundle id hashes."""

    format: int
    task: str
    created: str
    """UTC, ISO 8601."""
    input_rows: int
    input_columns: int
    pixel_format: PixelFormat
    runtime: str
    precision: str
    """The precision the calibration holds for: `f32` or `bf16`."""
    training_images: int
    training_sha256: str
    calibration: GoodOnlyCalibration | None
    versions: dict[str, str]
    files: tuple[BundleFile, ...]
