"""Name what the record service and its image writer say to each other."""

from msgspec import Struct

from appliance.schema.frame import FrameReady
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition


class KeepImage(Struct, frozen=True, tag=True):
    """Ask for a frame to be kept as the image of a part; answered by ImageKept or ImageFailed."""

    frame: FrameReady
    part: PartId
    disposition: Disposition


class MeetRing(Struct, frozen=True, tag=True):
    """Announce the first frame of a ring, so that its later frames wait for this reader; not answered."""

    camera: str


class ReleaseFrame(Struct, frozen=True, tag=True):
    """Give a frame back unread; not answered."""

    frame: FrameReady


class ImageKept(Struct, frozen=True, tag=True):
    """State that the image file is durable; the row that names it is still to be written."""

    part: PartId
    frame: FrameReady
    disposition: Disposition
    path: str
    """Relative to the image folder: `YYYY-MM-DD/HH/<sha256>.<ext>`, UTC."""
    sha256: str
    size: int
    """Bytes."""
    encoding: str


class ImageFailed(Struct, frozen=True, tag=True):
    """State that a frame was not kept, and why."""

    part: PartId
    frame: FrameReady
    disposition: Disposition
    reason: str
    is_alarm: bool = True
    """False when leaving it out is the configured policy."""


class ImageMissing(Struct, frozen=True, tag=True):
    """State that a frame the judge saw never reached this service; nothing else is known of it."""

    part: PartId
    camera: str
    frame_id: int
    disposition: Disposition
    reason: str
