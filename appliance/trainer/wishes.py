"""Say what a plant knows of its parts that no picture shows, and turn it into the options of each fit."""

from msgspec import Struct
from msgspec.structs import replace

from appliance.decision.anomaly_map import Placement
from appliance.schema.errors import ConfigError
from appliance.training.anomaly import BEST, AnomalyOptions
from appliance.training.classification_options import ClassificationOptions
from appliance.training.detection import MultiScaleOptions
from appliance.training.instance import InstanceOptions
from appliance.training.marking import Style
from appliance.training.ocr_fit import OcrFitOptions
from appliance.training.semantic import SemanticOptions
from appliance.training.template_blobs import BlobOptions

# More held-back good parts than this are no inspection any more.
LARGEST_OVERKILL = 0.4


class Wishes(Struct, frozen=True):
    """Hold what the command line says beside data and task."""

    overkill: float | None = None
    """Share of good parts that may be held back; None: what the task's fit takes."""
    handed: bool = False
    """A mirrored part is another thing, or carries text: nothing is learned from mirror images."""
    fixtured: bool = False
    """A fixture holds each part in the same place: anomaly then knows what is usual at each place."""
    turned: bool = False
    """Parts lie any way round, on square pictures: detection learns from quarter turns too."""
    finetune: bool = False
    """Classification also tries to adapt the last fifth of the backbone, and keeps it where held-out parts gain."""
    pattern: str = ""
    """Regular expression that every text of the site matches."""
    style: str = ""
    """How texts are marked; empty: all styles in turn."""
    rendered: int = 0
    """Texts to render and learn from beside the pictures."""


def checked(wishes: Wishes) -> Wishes:
    """Give the wishes; ConfigError for one that makes no sense."""
    if wishes.overkill is not None and not 0 <= wishes.overkill <= LARGEST_OVERKILL:
        raise ConfigError(
            f"--overkill: {wishes.overkill:g}, must lie between 0 and {LARGEST_OVERKILL:g}; give the share of good "
            "parts that may be held back"
        )
    if wishes.style and wishes.style not in {style.value for style in Style}:
        raise ConfigError(
            f"--style {wishes.style!r}: unknown; choose one of {', '.join(style.value for style in Style)}"
        )
    if wishes.rendered < 0:
        raise ConfigError(f"--rendered: {wishes.rendered}, must be 0 or more; give a number of texts")
    if wishes.rendered and not wishes.pattern:
        raise ConfigError(f"--rendered: {wishes.rendered} texts without a pattern to make them from; add --pattern")
    return wishes


def anomaly_options(wishes: Wishes, seed: int, threads: int) -> AnomalyOptions:
    """Give the options of an anomaly fit."""
    placement = Placement.POSITION if wishes.fixtured else BEST.placement
    held = BEST.hold_back if wishes.overkill is None else wishes.overkill
    return replace(BEST, placement=placement, hold_back=held, seed=seed, threads=threads)


def classification_options(wishes: Wishes) -> ClassificationOptions:
    """Give the options of a classification fit."""
    plain = ClassificationOptions(mirrored=not wishes.handed, finetune=wishes.finetune)
    return replace(plain, hold_back=_held(wishes, plain.hold_back))


def semantic_options(wishes: Wishes, plain: SemanticOptions | None = None) -> SemanticOptions:
    """Give the options of a semantic fit."""
    plain = plain or SemanticOptions()
    moved = plain.augmentation
    if wishes.handed:
        moved = replace(moved, mirror_columns=False, mirror_rows=False)
    return replace(plain, augmentation=moved, hold_back=_held(wishes, plain.hold_back))


def detection_options(wishes: Wishes) -> MultiScaleOptions:
    """Give the options of a detection fit."""
    plain = MultiScaleOptions()
    views = replace(plain.views, mirrored=plain.views.mirrored and not wishes.handed, turned=wishes.turned)
    return replace(plain, views=views, hold_back=_held(wishes, plain.hold_back))


def blob_options(wishes: Wishes) -> BlobOptions:
    """Give the options of a detection fit beside a template."""
    plain = BlobOptions()
    return replace(plain, hold_back=_held(wishes, plain.hold_back))


def instance_options(wishes: Wishes) -> InstanceOptions:
    """Give the options of an instance fit."""
    plain = InstanceOptions()
    return replace(plain, objects=detection_options(wishes), outlines=semantic_options(wishes, plain.outlines))


def ocr_options(wishes: Wishes) -> OcrFitOptions:
    """Give the options of an OCR fit."""
    style = Style(wishes.style) if wishes.style else None
    return OcrFitOptions(pattern=wishes.pattern, style=style, rendered=wishes.rendered)


def _held(wishes: Wishes, usual: float) -> float:
    return usual if wishes.overkill is None else wishes.overkill
