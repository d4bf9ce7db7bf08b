"""Build the station's Configure message with the checksum that the MCU verifies."""

from __future__ import annotations

import zlib

from msgspec.structs import replace

from firmware_bridge.messages import PACK, Configure

TICK_HZ = 1_000_000
"""Tick rate of every board, as in firmware/core/core.h."""
NO_CAMERA = -1


def configuration(
    *,
    gate_counts: int,
    lead_counts: int,
    camera_counts: tuple[int, int],
    min_gap_counts: int,
    gate_hold_counts: int,
    heartbeat_timeout_ms: int = 150,
) -> Configure:
    """Return the message; all distances in encoder counts from the part sensor's leading edge.

    The MCU refuses it unless 0 < lead < gate, 2 <= hold <= 2 * lead, hold <= min_gap <= gate - lead,
    -1 <= camera < gate and 20 <= heartbeat_timeout_ms <= 400.
    """
    unsealed = Configure(
        gate_counts, lead_counts, camera_counts, min_gap_counts, gate_hold_counts, heartbeat_timeout_ms, TICK_HZ, 0
    )
    return replace(unsealed, crc=zlib.crc32(PACK[Configure](unsealed)[:-4]))
