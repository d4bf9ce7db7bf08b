"""Describe a frame without its pixels; the pixels stay in the ring."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import CameraNs, EncoderCounts, HostNs


class PixelFormat(StrEnum):
    """Name the pixel formats the data path takes (PFNC names)."""

    MONO8 = "Mono8"
    BAYER_RG8 = "BayerRG8"
    RGB8 = "RGB8"

    @property
    def channels(self) -> int:
        """Bytes per pixel."""
        return 3 if self is PixelFormat.RGB8 else 1


class SlotRef(Struct, frozen=True):
    """Point to one generation of one slot of a frame ring."""

    epoch: int
    """Nonce of the ring file; a restarted writer makes a new one."""
    slot: int
    generation: int
    """Odd while the slot is being filled, even when it may be read; never repeats within an epoch."""


class FrameCounts(Struct, frozen=True):
    """Account for every exposure of a camera: triggers = good + incomplete + underrun + missed."""

    good: int = 0
    incomplete: int = 0
    underrun: int = 0
    """Exposures lost because no slot was free."""
    missed: int = 0
    """Gaps in the camera's exposure count that no other cause explains."""


class FrameName(Struct, frozen=True):
    """Name one frame for ever."""

    camera: str
    epoch: int
    """Ring epoch: a camera counts from 0 again in each."""
    frame_id: int


class FrameReady(Struct, frozen=True, tag=True):
    """State that a frame lies in the ring. Topic `frame.<camera>`, written by `acquire`."""

    camera: str
    ref: SlotRef
    frame_id: int
    """Exposures of the camera since its acquisition start, from 0; lost frames leave a gap."""
    exposed: CameraNs
    """Start of exposure on the camera's own clock."""
    exposed_at: HostNs
    """The same instant in host time."""
    exposed_uncertainty_ns: int
    encoder: EncoderCounts | None
    """Encoder value the camera latched with the trigger (chunk); None when the camera has none."""
    arrived: HostNs
    """When `acquire` had the complete frame in hand."""
    rows: int
    columns: int
    pixel_format: PixelFormat
    exposure_us: float
    gain_db: float
    copies: int
    """Times the pixels were copied on their way into the slot; 0 on the zero-copy path."""
    counts: FrameCounts
    """The camera's account, this frame included."""
    complete: bool = True
    """False: part of the image is missing; the frame may be recorded but never judged."""
