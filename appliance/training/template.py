"""Make a template from good parts, show frames beside it to any fit, and put it into the bundle."""

from collections.abc import Iterable, Sequence
from typing import overload

import cv2
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.imaging.registration import Registrar, Registration
from appliance.imaging.template import Comparer, compose, grey, light
from appliance.schema.bundle import Template
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.labelled import Frame
from appliance.training.package import FittedBundle, golden_image, npz

TEMPLATE_FILE = "template.npz"
# A median of more parts is no better, and each is held in memory.
MOST_PARTS = 31
# So many parts are tried as the one that the others are laid on, before the series is given up.
MOST_TRIES = 5

Grey = NDArray[np.uint8]


def golden_template(frames: Iterable[Frame], reach_px: int = 8) -> Grey:
    """Give the template that good parts agree on: laid on one of them, brought into its light, and the median taken.

    frames: (rows, cols) Mono8 or (rows, cols, 3) RGB8 of one shape, at least one; up to `MOST_PARTS` count. A part
    with a defect, or a foreign one, is outvoted from three on. One picture, such as a render, is its own template.
    ConfigError when the frames differ in shape or fewer than half show the same view.
    """
    parts = [grey(frame) for frame, _ in zip(frames, range(MOST_PARTS), strict=False)]
    if not parts or any(part.shape != parts[0].shape for part in parts):
        shapes = ", ".join(sorted({f"{part.shape[1]} x {part.shape[0]}" for part in parts}))
        raise ConfigError(f"template: {len(parts)} frames of {shapes or 'no'} px; give at least 1, all of one shape")
    best: list[tuple[Grey, Registration]] = []
    for first in parts[:MOST_TRIES]:
        registrar = Registrar(first, reach_px)
        found = [(part, registrar.find(part)) for part in parts]
        held = [one for one in found if one[1].registered]
        if len(held) > len(best):
            best, chosen = held, first
        if len(best) == len(parts):
            break
    if 2 * len(best) < len(parts) or not best:
        raise ConfigError(
            f"template: {len(best)} of {len(parts)} frames show one view within {reach_px} px, at least half must; "
            "give frames of good parts in one position, or a larger reach"
        )
    agreed: Grey = np.median([_laid(part, where, chosen) for part, where in best], axis=0).round().astype(np.uint8)
    return agreed


class _Composed(Sequence[Frame]):
    """Show each frame beside its template when it is asked for."""

    def __init__(self, frames: Sequence[Frame], templates: Sequence[Grey] | Grey, how: Template) -> None:
        self._frames, self._templates, self._how = frames, templates, how
        self._comparer = Comparer(templates, how) if isinstance(templates, np.ndarray) else None

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, place: int) -> Frame: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Frame]: ...
    def __getitem__(self, place: int | slice) -> Frame | Sequence[Frame]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        comparer = self._comparer or Comparer(self._templates[place], self._how)
        compared = comparer.compare(self._frames[place])
        if compared.picture is None:
            raise ConfigError(f"frame {place + 1}: {compared.reason}")
        return compared.picture


def composed(frames: Sequence[Frame], templates: Sequence[Grey] | Grey, how: Template) -> Sequence[Frame]:
    """Give frames as any fit takes them, RGB8 in frame pixels, each made when it is asked for.

    frames: Mono8 or RGB8, read from disk on access if need be. templates: one (rows, cols) uint8 for all, or one for
    each frame. ConfigError, naming the frame, when one does not show its template.
    """
    if not isinstance(templates, np.ndarray) and len(templates) != len(frames):
        raise ConfigError(f"template: {len(templates)} templates for {len(frames)} frames; give one each, or one")
    return _Composed(frames, templates, how)


def with_template(
    fitted: FittedBundle, frame: Frame, pixel_format: PixelFormat, template: Grey, how: Template
) -> FittedBundle:
    """Give a bundle, fitted to composed pictures as RGB8, that composes them itself from the camera's frames.

    frame: one raw frame of the training data, of `pixel_format`; with the template it proves preprocessing. `how.file`
    names the file that the template is stored in.
    """
    before = fitted.manifest.preprocessing
    after = replace(before, pixel_format=pixel_format, template=how, frame_shape=(frame.shape[0], frame.shape[1]))
    image = golden_image(compose(frame, template, how), replace(before, pixel_format=PixelFormat.RGB8))
    files = fitted.files | {
        how.file: npz({"template": template}),
        before.golden: npz({"frame": frame, "image": image}),
    }
    return replace(fitted, manifest=replace(fitted.manifest, preprocessing=after), files=files)


def _laid(part: Grey, where: Registration, first: Grey) -> Grey:
    """Give a part's picture where and as bright as the first one's."""
    size = (first.shape[1], first.shape[0])
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(part, where.matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    gain, offset = light(first, laid, np.ones(first.shape, np.bool_))
    even: Grey = np.clip(np.rint((laid - offset) / max(gain, 0.1)), 0, 255).astype(np.uint8)
    return even
