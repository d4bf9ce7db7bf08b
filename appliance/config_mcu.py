"""Set what the microcontroller is told of its station; read by `config.py` alone."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

STROBE_REST = 10
"""A lamp may flash again after so many on-times: a duty of 10 %, as CORE_STROBE_DUTY of firmware/core/core.h."""


class Mcu(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the microcontroller that owns part sensor, camera lines and gate."""

    link: Annotated[str, Meta(description="Serial device; a udev name bound to the board's serial number.")]
    counts_per_mm: Annotated[float, Meta(gt=0, le=10_000, description="Encoder counts per mm of belt.")]
    gate_mm: Annotated[float, Meta(gt=0, le=50_000, description="Part sensor to gate along the belt, mm.")]
    lead_mm: Annotated[
        float,
        Meta(
            ge=0, le=10_000, description="The decision closes this far before the gate, mm: actuator delay and guard."
        ),
    ]
    belt_mm_s: Annotated[
        float, Meta(gt=0, le=20_000, description="Fastest belt speed, mm/s; deadlines in time are worked out for it.")
    ]
    hold_mm: Annotated[
        float, Meta(gt=0, le=2000, description="Travel for which the gate stays open round an accepted part, mm.")
    ] = 40.0
    min_gap_mm: Annotated[
        float, Meta(ge=0, le=5000, description="Closest spacing of two part edges, mm; nearer ones are both rejected.")
    ] = 40.0
    heartbeat_timeout_ms: Annotated[
        int,
        Meta(ge=60, le=400, description="Silence after which the microcontroller takes this computer for lost, ms."),
    ] = 150
    host_lost_rejects: Annotated[
        int,
        Meta(
            ge=0,
            le=255,
            description="So many parts in a row rejected for that silence take the run permit away; 0: only 500 ms do.",
        ),
    ] = 10
    gate_sensor_mm: Annotated[
        float,
        Meta(
            ge=0,
            le=50_000,
            description="Part sensor to the gate's own sensor, mm; 0: there is none. Before the gate opens is best.",
        ),
    ] = 0.0
    gate_window_mm: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="A part that meets the gate's sensor further than this from its place, mm, means lost sync.",
        ),
    ] = 10.0
    shortest_part_mm: Annotated[
        float,
        Meta(
            ge=0,
            le=5000,
            description="Three parts in a row nearer than this mean that the encoder stands, mm; 0: not watched.",
        ),
    ] = 0.0
    guard_ms: Annotated[
        float,
        Meta(ge=0, le=1000, description="A verdict is late this much before the window closes, ms: link and jitter."),
    ] = 15.0


def mcu_faults(mcu: Mcu) -> Iterator[str]:
    """Yield what contradicts itself: key, value, limit and remedy."""
    if mcu.lead_mm >= mcu.gate_mm:
        yield (
            f"mcu.lead_mm: {mcu.lead_mm} mm leaves no time to decide, limit is under gate_mm = "
            f"{mcu.gate_mm} mm; lower it or move the gate"
        )
    if not mcu.hold_mm <= mcu.min_gap_mm <= mcu.gate_mm - mcu.lead_mm:
        yield (
            f"mcu.min_gap_mm: {mcu.min_gap_mm} mm, limits are hold_mm = {mcu.hold_mm} mm and gate_mm - "
            f"lead_mm = {mcu.gate_mm - mcu.lead_mm} mm; a gate open for one part must be shut before the next"
        )
    if mcu.hold_mm > 2 * mcu.lead_mm:
        yield (
            f"mcu.hold_mm: {mcu.hold_mm} mm, limit is 2 x lead_mm = {2 * mcu.lead_mm} mm; the gate would have "
            "to open before the decision closes; shorten the hold or lengthen the lead"
        )
    if mcu.shortest_part_mm > mcu.min_gap_mm:
        yield (
            f"mcu.shortest_part_mm: {mcu.shortest_part_mm} mm, limit is min_gap_mm = {mcu.min_gap_mm} mm; parts that "
            "the gate takes apart are no standing encoder; lower it"
        )
    if mcu.gate_sensor_mm:
        yield from _gate_sensor_faults(mcu)


def _gate_sensor_faults(mcu: Mcu) -> Iterator[str]:
    if mcu.gate_window_mm > mcu.hold_mm / 2:
        yield (
            f"mcu.gate_window_mm: {mcu.gate_window_mm} mm, limit is hold_mm / 2 = {mcu.hold_mm / 2} mm; windows of "
            "neighbours must not meet; lower it or lengthen the hold"
        )
    if not mcu.gate_window_mm < mcu.gate_sensor_mm <= mcu.gate_mm:
        yield (
            f"mcu.gate_sensor_mm: {mcu.gate_sensor_mm} mm, limits are over gate_window_mm = {mcu.gate_window_mm} mm "
            f"and gate_mm = {mcu.gate_mm} mm; the sensor stands between part sensor and gate, 0 means none"
        )
