"""Choose how a classification model is fitted."""

from msgspec import Struct

from appliance.training.augmentation import Augmentation
from appliance.training.labelled import Roi
from appliance.training.weights import Variant


class ClassificationOptions(Struct, frozen=True):
    """Choose how the model is fitted; the defaults are those measured in training/README.md."""

    size: tuple[int, int] | None = None
    """(rows, cols) of the input image, multiples of 16, onto which frames are stretched; None: (224, 224) where all
    frames are of one shape, else an image of `most_px` in which every frame keeps its aspect."""
    most_px: int = 320 * 448
    """Pixels of an input image in which frames keep their aspect."""
    roi: Roi | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    variant: Variant = Variant.LITE0
    hidden: int = 128
    """Results of the random layer on each cell."""
    maxima: bool = True
    """Read the largest value of each feature beside its mean: a small defect is in few cells."""
    strength: float = 1e-1
    """Of the penalty on the last layer."""
    balance: float = 0.5
    """An image weighs its class's count to the power of minus this; 0: each image counts the same, 1: each class."""
    mirrored: bool = True
    """Learn from mirror images too; False where a mirrored part is another class, or shows text."""
    augmentation: Augmentation | None = None
    """Change the further copies of a frame by this; None: they are mirror images alone."""
    copies: int = 4
    """Of each frame, itself among them; fewer where the time or the count of images does not allow them."""
    folds: int = 4
    """Parts of the cross-fit: each image is scored by a model of the other folds."""
    finetune: bool = False
    """Try whether learning on in the last fifth of the layers lowers the error on parts held out, and keep it if so;
    needs torch and minutes."""
    passes: int = 6
    """Passes over the images when fine-tuning."""
    rate: float = 3e-4
    """Learning rate when fine-tuning."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    margin: float = 1.0
    threshold: float = 0.5
    """Probability of all defects together from which a part must not pass."""
    named_from: float = 0.3
    """Probability from which the likeliest defect is a finding: of several, one may hold less than half while all
    together hold more."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered, for the record."""
