"""Read frames against a template: what the network sees is the frame, the template and their difference."""

import math
import time

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.imaging.template import Comparer
from appliance.ports.task import FrameReader, Reading
from appliance.schema.bundle import Template
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat

MS = 1e6


class TemplateReader:
    """Compare each frame with the template and hand the result to another reader; findings are in frame pixels."""

    own: FrameReader
    """Of the composed pictures."""

    def __init__(
        self, own: FrameReader, template: NDArray[np.uint8], how: Template, frame_shape: tuple[int, int]
    ) -> None:
        """Take the reader of composed pictures, made for RGB8 of `frame_shape`, and the (rows, cols) uint8 template.

        ConfigError when template and frame differ in size.
        """
        self.own, self._how, self._shape = own, how, frame_shape
        self.use_template(template)

    def use_template(self, template: NDArray[np.uint8]) -> None:
        """Compare the frames that follow with another template: for data sets with one for each picture."""
        if template.shape != self._shape:
            raise ConfigError(
                f"template: it has {template.shape} (rows, cols), frames {self._shape}; give the template in frame "
                "pixels, and build the bundle again when the camera has changed"
            )
        self._comparer = Comparer(template, self._how)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read borrowed pixels; blocking; keeps no reference. RuntimeFault when the model fails.

        A frame that does not show the template has score nan and no findings: no limit accepts it.
        """
        started = time.monotonic_ns()
        try:
            compared = self._comparer.compare(pixels)
        except ConfigError as cause:
            raise RuntimeFault(f"preprocessing: {cause}") from cause
        taken = (time.monotonic_ns() - started) / MS
        if compared.picture is None:
            return Reading(math.nan, (), taken, 0.0)
        reading = self.own.read(compared.picture)
        return replace(reading, preprocess_ms=reading.preprocess_ms + taken)


def check_format(pixel_format: PixelFormat) -> None:
    """Raise ConfigError for a format that cannot be compared with a template."""
    if pixel_format is PixelFormat.BAYER_RG8:
        raise ConfigError(
            f"template: frames are {pixel_format}, limits are {PixelFormat.MONO8} and {PixelFormat.RGB8}; set the "
            "camera to one of these, and build the bundle again from its frames"
        )
