"""Say what the judge asks of a model: one frame in, one view result out."""

from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.clocks import HostNs
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameReady
from appliance.schema.limits import Limits


class Inspection(Struct, frozen=True):
    """Give a view's result with the time its two heavy stages took."""

    view: ViewResult
    preprocess_ms: float
    inference_ms: float
    finished: HostNs
    """When the result was in hand."""


class Inspector(Protocol):
    """Inspect frames with one loaded bundle."""

    bundle: str
    """`sha256:...`."""
    runtime: str
    precision: str
    limits: Limits
    """What its calibration knows in this precision."""

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        """Inspect borrowed pixels; blocking; RuntimeFault when the model fails. Keeps no reference to `pixels`."""
