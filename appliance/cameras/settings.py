"""Say which features of a camera are set, to what and in which order. Pure."""

from msgspec import Struct

from appliance.config import Camera

Value = int | float | str | bool

CHUNKS = ("FrameID", "Timestamp", "ExposureTime", "EncoderValue", "Gain")
"""Chunk data that travel with each frame where the camera has them; pairing needs the first, second and fourth."""

RELATIVE_TOLERANCE = 0.01
"""Cameras round exposure and gain to their own steps; 1 % of exposure moves no score."""


class Setting(Struct, frozen=True):
    """Set one feature, by the first of its names that the camera has."""

    names: tuple[str, ...]
    value: Value
    selector: str = ""
    """`Selector=Entry`, set before."""
    required: bool = False
    """False: an absent feature is reported and not missed."""
    unit: str = ""


class Command(Struct, frozen=True):
    """Execute one command feature where the camera has it."""

    name: str
    selector: str = ""


def steps_of(camera: Camera) -> tuple[Setting | Command, ...]:
    """List a camera's settings in the order in which limits allow them; all are written while it is stopped."""
    trigger = "TriggerSelector=FrameStart"
    return (
        Command("UserSetLoad", "UserSetSelector=Default"),
        Setting(("AcquisitionMode",), "Continuous"),
        *(Setting((name,), "Off") for name in ("ExposureAuto", "GainAuto", "BalanceWhiteAuto")),
        Setting(("OffsetX",), 0),  # the size is limited by the offset, and the offset by the size
        Setting(("OffsetY",), 0),
        Setting(("Width",), camera.width_px, required=True, unit="px"),
        Setting(("Height",), camera.height_px, required=True, unit="px"),
        Setting(("OffsetX",), camera.offset_x_px, required=camera.offset_x_px > 0, unit="px"),
        Setting(("OffsetY",), camera.offset_y_px, required=camera.offset_y_px > 0, unit="px"),
        Setting(("PixelFormat",), camera.pixel_format.value, required=True),
        Setting(("TriggerMode",), "On", trigger),
        Setting(("TriggerSource",), camera.trigger, trigger),
        Setting(("TriggerActivation",), "RisingEdge", trigger),
        Setting(("ExposureTime", "ExposureTimeAbs"), camera.exposure_us, unit="us"),
        Setting(("Gain",), camera.gain_db, unit="dB"),
        Setting(("ChunkModeActive",), value=True),
        *(Setting(("ChunkEnable",), value=True, selector=f"ChunkSelector={chunk}") for chunk in CHUNKS),
    )


def limit_of(value: float, low: float, high: float, step: float) -> str:
    """Say which limit a number breaks, or nothing; a step of 0 is no limit."""
    if not low <= value <= high:
        return f"{low:g} to {high:g}"
    if step and (value - low) % step:
        return f"{low:g} to {high:g} in steps of {step:g}"
    return ""


def agrees(wanted: Value, got: Value) -> bool:
    """Tell whether a value read back is the one written, rounding to the camera's steps allowed."""
    if isinstance(wanted, float) and isinstance(got, int | float):
        return abs(got - wanted) <= RELATIVE_TOLERANCE * max(abs(wanted), 1.0)
    return wanted == got
