"""Look at the newest frame of a camera as a technician does, and remember how it was when it was right. No Qt."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.bus.ring import RingReader
from appliance.config import Camera
from appliance.imaging import photometry
from appliance.imaging.photometry import Channel, Reference
from appliance.schema.errors import FrameOverwritten
from appliance.schema.frame import FrameReady
from hmi.keepsakes import keep, recall

FILE = "cameras.json"
READER = "hmi-aid"


class Look(Struct, frozen=True):
    """Give what was measured in one frame."""

    camera: str
    frame_id: int
    rows: int
    columns: int
    exposure_us: float
    gain_db: float
    channels: tuple[Channel, ...]
    focus: float
    light: tuple[tuple[float, ...], ...]
    zebra: NDArray[np.bool_]
    factor: float
    """Of the exposure, as suggested."""


class Advice(Struct, frozen=True):
    """Say which key of the station file to set, and to what."""

    key: str
    now: float
    wish: float
    blur_mm: float
    """Way of the belt while the picture is taken, at full speed, with the value wished for."""


def look(runtime: Path, frame: FrameReady) -> Look | None:
    """Measure a frame in its ring; None where it is gone already. Takes some 50 ms for 5 MP: for a worker thread."""
    rings = RingReader(runtime, READER, lease=False)
    try:
        with rings.borrow(frame) as lent:
            pixels = np.array(lent)
    except FrameOverwritten:
        return None
    finally:
        rings.close()
    detail = photometry.detail_of(pixels, frame.pixel_format)
    found = photometry.measured(pixels, frame.pixel_format)
    return Look(
        frame.camera,
        frame.frame_id,
        frame.rows,
        frame.columns,
        frame.exposure_us,
        frame.gain_db,
        found,
        photometry.focus(detail),
        photometry.light_of(detail),
        photometry.zebra(pixels, frame.pixel_format),
        photometry.exposure_factor(found),
    )


def advice(name: str, camera: Camera, belt_mm_s: float, factor: float) -> Advice:
    """Turn a factor into the value of a key: where a lamp is shorter than the exposure, its on-time sets the light."""
    lamp = 0 < camera.strobe_us < camera.exposure_us
    now = float(camera.strobe_us if lamp else camera.exposure_us)
    most = 5000.0 if lamp else 1_000_000.0
    wish = now if factor == 1.0 else min(max(float(f"{now * factor:.2g}"), 1.0), most)
    return Advice(f"camera.{name}.{'strobe_us' if lamp else 'exposure_us'}", now, wish, belt_mm_s * wish / 1e6)


def read_references(folder: Path) -> Mapping[str, Reference]:
    """Read how each camera was when it was right; nothing where nobody kept it."""
    return recall(folder / FILE, {}, dict[str, Reference])


def keep_references(folder: Path, references: Mapping[str, Reference]) -> str:
    """Write them whole or not at all; gives why it was not done, empty when it was."""
    return keep(folder / FILE, references)
