"""Fit the semantic model from frames with masks: with torch a small decoder, in minutes, without it a linear layer.

Frames stand in the input image with their aspect kept, so that the smallest defects keep their shape and frames of
different sizes show things at one scale.
"""

import importlib.util
from collections.abc import Sequence

from msgspec import Struct
from numpy import uint8
from numpy.typing import NDArray

from appliance.schema.frame import PixelFormat
from appliance.training.augmentation import Augmentation
from appliance.training.fit_run import FitRun
from appliance.training.labelled import Frame, Roi
from appliance.training.package import FittedBundle
from appliance.training.semantic_linear import LinearOptions, fit_semantic_bundle_closed

BACKGROUND = "background"


class SemanticOptions(Struct, frozen=True):
    """Choose how the decoder learns; the defaults are those measured in training/README.md."""

    size: tuple[int, int] | None = None
    """(rows, cols) of the input image, multiples of 16; None: what the largest frame takes."""
    shrink: float | None = None
    """Frame pixels per pixel of the input image; None: the least from 1 on that keeps it within `most_px`."""
    most_px: int = 512 * 512
    """Pixels of the input image at most, where `shrink` is chosen."""
    roi: Roi | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    augmentation: Augmentation = Augmentation(mirror_columns=True, mirror_rows=True)
    """Mirror images off where a mirrored part is another thing."""
    copies: int = 4
    """Views of each frame with a defect whose features are learned from, the first as it is; good ones give one."""
    cover: float = 0.4
    """Share of a cell of 4 x 4 input pixels that a class must cover to be learned there; less than half of it is
    background, what lies in between teaches nothing."""
    passes: int = 20
    """Over one cut around every defective frame and as many of good ones."""
    least_steps: int = 400
    """Of a training; few frames are passed over more often."""
    batch: int = 8
    rate: float = 4e-3
    decay: float = 1e-2
    folds: int = 3
    """Parts of the cross-fit, from which thresholds and limits come; the model itself learns from all."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    margin: float = 1.0
    fewest_cells: int = 1
    """Smaller regions are no findings."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered, for the record."""


def fit_semantic_bundle(
    frames: Sequence[Frame],
    masks: Sequence[NDArray[uint8]],
    classes: Sequence[str],
    pixel_format: PixelFormat,
    run: FitRun,
    options: SemanticOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedBundle:
    """Give a semantic bundle; blocks for minutes.

    frames: raw camera frames, read on access and not kept, of any sizes; masks: (rows, cols) uint8 each, the class of
    each frame pixel; classes: the taxonomy, the first is the background. groups: one name per frame, frames of one part
    share it; None makes each frame a part. Without torch the closed-form model of `semantic_linear` is fitted.
    ConfigError when these do not fit together, RuntimeFault when the model cannot be built or run.
    """
    options = options or SemanticOptions()
    if importlib.util.find_spec("torch") is None:
        run.tell("no torch: linear layer", 0.0)
        linear = LinearOptions(
            size=options.size or LinearOptions().size,
            roi=options.roi,
            hold_back=options.hold_back,
            margin=options.margin,
            fewest_cells=options.fewest_cells,
            synthetic_share=options.synthetic_share,
            seed=run.seed,
            threads=run.threads,
        )
        given = (frames, masks, classes, pixel_format, run.runtime, run.precision, run.created)
        return fit_semantic_bundle_closed(*given, linear, groups)
    from appliance.training.torch_semantic_fit import fit_decoder_bundle

    return fit_decoder_bundle(frames, masks, classes, pixel_format, run, options, groups)
