"""Describe a bundle: a model with everything needed to run it the way it was calibrated."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from appliance.schema.frame import PixelFormat


class TaskName(StrEnum):
    """Name the six model types."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    SEMANTIC = "semantic"
    INSTANCE = "instance"
    ANOMALY = "anomaly"
    OCR = "ocr"


class Precision(StrEnum):
    """Name what a model is computed in; limits hold for one of them."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    INT8 = "int8"
    """8-bit convolutions by QuantizeLinear and DequantizeLinear nodes in the model itself."""


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


class ClassSpec(Struct, frozen=True):
    """Describe one class of the taxonomy, in the order of the model's outputs."""

    name: str
    defect: bool = True
    """False: background, the good class, or a feature of the part that rules count."""
    threshold: float = 0.5
    """Raw score from which it is a finding."""
    min_size_mm: float | None = None
    """Smallest defect of this class that must be found, mm; None: not stated."""


class Head(Struct, frozen=True):
    """Describe one task that reads the model's outputs; several heads may share one backbone pass."""

    task: TaskName
    classes: tuple[ClassSpec, ...]
    settings: str
    """File of the bundle with the task's own settings."""
    prefix: str = ""
    """Outputs of this head begin so, for example `detection.`; empty: all outputs are its own."""
    calibration: GoodOnlyCalibration | None = None
    """Limits on this head's own image score where it does not decide first; None: it has none. Those of the deciding
    head are the manifest's."""


class TensorSpec(Struct, frozen=True):
    """Describe one tensor and how near a golden run must come to it."""

    name: str
    dtype: str
    """numpy's name, for example `uint8`."""
    shape: tuple[int, ...]
    compare: Literal["values", "share", "rows"] = "values"
    """`values`: largest difference relative to the largest value of the golden tensor; `share`: share of cells that
    differ, for tensors of classes; `rows`: as values, each strong row with the nearest one, for what the network itself
    chose by score and ordered."""
    limit: float | None = None
    """Bound of that; None: the bound of the precision (storage/bundle.py)."""


class ModelSpec(Struct, frozen=True):
    """Describe one network of the bundle; most bundles have one, `model`, OCR has three."""

    name: str
    file: str
    """ONNX."""
    input: TensorSpec
    """(batch, rows, columns, 3) uint8 RGB, always."""
    outputs: tuple[TensorSpec, ...]
    golden: str
    """npz: `images` (images, rows, columns, 3) uint8, and of each output its results, image by image."""


class Tiling(Struct, frozen=True):
    """Cut the region of interest into overlapping tiles, so that small defects keep their pixels."""

    overlap_px: int
    """Frame pixels that neighbours share; at least the largest defect that must not be cut."""
    shrink: float = 1.0
    """Frame pixels per pixel of a tile; 1 is native resolution."""


class Template(Struct, frozen=True):
    """Compare each frame with one that shows no defect.

    Red, green and blue of the input image are then the frame's grey values in the template's light, the registered
    template's, and the tolerant difference of both.
    """

    file: str
    """npz of the bundle: `template` (rows, cols) uint8, the defect-free view in frame pixels."""
    reach_px: int = 8
    """Largest displacement of a frame against the template that registration follows, frame pixels."""
    tolerance_px: int = 1
    """Edges may lie this far from where the template has them, frame pixels."""


class Preprocessing(Struct, frozen=True):
    """State how a frame becomes the model's input image."""

    pixel_format: PixelFormat
    rows: int
    """Of the input image, or of one tile."""
    columns: int
    roi: tuple[int, int, int, int] | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    tiling: Tiling | None = None
    keep_aspect: bool = False
    """True: the region is scaled by 1 / `shrink` in both directions, stands in the middle of the input image, and its
    mirror image fills the rest; False: it is stretched to the input image. Not together with `tiling`."""
    shrink: float = 1.0
    """Frame pixels per pixel of the input image where the aspect is kept."""
    template: Template | None = None
    """None: the input image shows the frame alone."""
    mm_per_px: float | None = None
    """Scale of the training frames in the plane of the part, mm per frame pixel; None: not stated."""
    frame_shape: tuple[int, int] | None = None
    """(rows, cols) of the training frames; other frames are scaled to the same input image."""
    golden: str = ""
    """npz: `frame`, a raw frame, and `image`, what preprocessing must make of it, whole, within 1 grey level."""


class ConfidenceCurve(Struct, frozen=True):
    """State what a raw score means: the share of held-out findings, or images, with that score that were right."""

    kind: str
    """Class whose findings it is about; empty: the image score, and the probability that the part has a defect."""
    scores: tuple[float, ...]
    """Ascending; linear in between, held beyond both ends."""
    confidences: tuple[float, ...]
    """As many, in [0, 1], never falling."""
    count: int
    """Held-out findings or images behind it."""
    right: int
    """Of these, how many were a defect."""
    error: float
    """Expected calibration error, in [0, 1], of curves fitted without the part they speak of."""
    method: Literal["isotonic", "temperature"] = "isotonic"
    """How it was fitted; of both the one with the smaller log loss is kept."""
    parts: int = 0
    """Different parts among them; 0: not stated."""
    log_losses: dict[str, float] = {}
    """Mean log loss of each method in curves fitted without the part they speak of; empty: too few parts to tell."""
    error_low: float | None = None
    error_high: float | None = None
    """Ends of the 95 % interval of `error`, parts drawn anew; None: too few parts."""


class Novelty(Struct, frozen=True):
    """Describe the detector of unknown parts beside the task."""

    file: str
    """npz of the bundle: what known parts look like in feature space."""
    output: str
    """Output of the first network that gives the features, (N, features)."""
    scores: tuple[float, ...]
    """Ascending novelty scores of known parts that the detector did not learn from, one per part, for conformal
    p-values."""
    kinds: tuple[str, ...] = ()
    """Classes known to it, the good one among them."""


class DataSnapshot(Struct, frozen=True):
    """Name the data that a bundle was made from."""

    images: int
    sha256: str
    synthetic_share: float = 0.0
    """Share of the images that were rendered, in [0, 1]."""


class Manifest(Struct, frozen=True):
    """List what a bundle is; its canonical JSON is what the bundle id hashes."""

    format: int
    created: str
    """UTC, ISO 8601."""
    heads: tuple[Head, ...]
    """The first one decides: its score is what `calibration` sets limits for."""
    models: tuple[ModelSpec, ...]
    preprocessing: Preprocessing
    runtime: str
    precision: Precision
    """What the calibration holds for."""
    data: DataSnapshot
    calibration: GoodOnlyCalibration | None
    versions: dict[str, str]
    confidence: tuple[ConfidenceCurve, ...] = ()
    """Fitted on groups that the model did not learn from; a finding of a class without a curve has no confidence."""
    novelty: Novelty | None = None
    """None: this bundle cannot tell what it does not know."""
    parent: str = ""
    """Id of the bundle this one was made from; empty: none."""
    evidence: tuple[str, ...] = ()
    """Files of the bundle that show how it was proven: reports, parity, accuracy gates."""
    files: tuple[BundleFile, ...] = ()

    @property
    def task(self) -> TaskName:
        """Task of the deciding head."""
        return self.heads[0].task
