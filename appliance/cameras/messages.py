"""Say what a camera device and its acquire service tell each other."""

from msgspec import Struct

from appliance.schema.clocks import CameraNs, EncoderCounts, HostNs


class CameraOpened(Struct, frozen=True):
    """Report that the camera is open and set up; it waits for `Start`."""

    model: str
    serial: str
    payload_bytes: int
    """Bytes a slot must hold: pixels and chunk data."""
    absent: tuple[str, ...] = ()
    """Wanted features that this camera does not have."""
    can_latch: bool = False
    """True: `LatchTime` reads its clock."""


class FrameArrived(Struct, frozen=True):
    """Report that a slot was filled; the slot belongs to the service until it sends `Requeue`."""

    slot: int
    frame_id: int
    """Exposures since the acquisition start, from 0."""
    exposed: CameraNs | None
    """Start of exposure on the camera's clock; None when it has no timestamps."""
    arrived: HostNs
    exposure_us: float
    gain_db: float
    encoder: EncoderCounts | None
    copies: int
    """Times this process copied the pixels; 0 when the producer wrote them into the slot."""
    underruns: int
    """Exposures lost since the acquisition start because no slot was free, as the producer counts them."""
    complete: bool = True


class CameraStatistics(Struct, frozen=True):
    """Report that the camera was polled and lives, twice a second even without frames."""

    delivered: int
    underruns: int
    queued: int
    """Slots the producer can still fill."""


class TimeLatched(Struct, frozen=True):
    """Report the camera's clock: it read `camera` at some instant between `sent` and `received`."""

    sent: HostNs
    received: HostNs
    camera: CameraNs


class CameraLost(Struct, frozen=True):
    """Report that the camera could not be opened or is gone; the device tries again by itself after `retry_ms`."""

    cause: str
    attempt: int
    """Tries since it was last acquiring, from 1."""
    retry_ms: int


class Start(Struct, frozen=True):
    """Start the acquisition into the ring, all slots free."""


class Requeue(Struct, frozen=True):
    """Let the camera fill a slot again."""

    slot: int


class SoftwareTrigger(Struct, frozen=True):
    """Take one frame now; answers nothing but the frame."""


class LatchTime(Struct, frozen=True):
    """Read the camera's clock; answered by `TimeLatched` where the camera can."""


class Reopen(Struct, frozen=True):
    """Give the camera up and open it anew."""

    cause: str
