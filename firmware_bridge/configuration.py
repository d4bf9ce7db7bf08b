"""Build the station's Configure message with the checksum that the MCU verifies."""

from __future__ import annotations

import zlib

from msgspec.structs import replace

from firmware_bridge.messages import PACK, Configure, TriggerSource

TICK_HZ = 1_000_000
"""Tick rate of every board, as in firmware/core/core.h."""
NO_CAMERA = -1
NO_SENSOR = -1
NOT_WATCHED = -1


def configuration(
    *,
    gate_counts: int,
    lead_counts: int,
    camera_counts: tuple[int, int],
    min_gap_counts: int,
    gate_hold_counts: int,
    heartbeat_timeout_ms: int = 150,
    gate_sensor_counts: int = NO_SENSOR,
    gate_window_counts: int = 0,
    encoder_max_hz: int = 0,
    encoder_back_counts: int = NOT_WATCHED,
    shortest_part_counts: int = 0,
    strobe_us: tuple[int, int] = (0, 0),
    host_lost_rejects: int = 0,
    trigger_source: TriggerSource = TriggerSource.SENSOR,
) -> Configure:
    """Return the message; all distances in encoder counts from the part sensor's leading edge.

    The MCU refuses it unless 0 < lead < gate, 2 <= hold <= 2 * lead, hold <= min_gap <= gate - lead,
    -1 <= camera < gate and 20 <= heartbeat_timeout_ms <= 400. With a gate sensor 0 < window <= hold / 2 and
    window < gate_sensor <= gate. 0 <= shortest_part <= min_gap, strobe_us <= 5000 or what the board allows.
    """
    unsealed = Configure(
        gate_counts=gate_counts,
        lead_counts=lead_counts,
        camera_counts=camera_counts,
        min_gap_counts=min_gap_counts,
        gate_hold_counts=gate_hold_counts,
        heartbeat_timeout_ms=heartbeat_timeout_ms,
        tick_hz=TICK_HZ,
        gate_sensor_counts=gate_sensor_counts,
        gate_window_counts=gate_window_counts,
        encoder_max_hz=encoder_max_hz,
        encoder_back_counts=encoder_back_counts,
        shortest_part_counts=shortest_part_counts,
        strobe_us=strobe_us,
        host_lost_rejects=host_lost_rejects,
        trigger_source=trigger_source,
        crc=0,
    )
    return replace(unsealed, crc=zlib.crc32(PACK[Configure](unsealed)[:-4]))
