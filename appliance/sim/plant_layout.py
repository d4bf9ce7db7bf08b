"""Mirror `plant.h` member by member; `tests/unit/test_plant.py` compares every size and offset with the header."""

import ctypes
from typing import Final

MAGIC: Final = 0x544E4C50
VERSION: Final = 2
CAMERAS: Final = 2
SCENES: Final = 16
PARTS: Final = 256
GATE_LOG: Final = 1024
EXTRAS: Final = 16
TAKEN: Final = 16

SENSOR_WORKS: Final = 0
SENSOR_LOW: Final = 1
SENSOR_HIGH: Final = 2

MONO8: Final = 0x01080001
RGB8: Final = 0x02180014
CHANNELS: Final = {MONO8: 1, RGB8: 3}

LANE_REJECT: Final = 0
LANE_ACCEPT: Final = 1

EMPTY_BELT: Final = 0
"""The scene that a camera sees when no other matches."""


class BeltLayout(ctypes.Structure):
    """Mirror `struct plant_belt`."""

    _fields_ = [
        ("seq", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("epoch_ns", ctypes.c_uint64),
        ("epoch_counts", ctypes.c_int64),
        ("counts_per_s", ctypes.c_int64),
    ]


class PartLayout(ctypes.Structure):
    """Mirror `struct plant_part`."""

    _fields_ = [("number", ctypes.c_uint64), ("enter_counts", ctypes.c_int64), ("leave_counts", ctypes.c_int64)]


class SceneLayout(ctypes.Structure):
    """Mirror `struct plant_scene`."""

    _fields_ = [
        ("seq", ctypes.c_uint32),
        ("format", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("from_counts", ctypes.c_int64),
        ("to_counts", ctypes.c_int64),
        ("part_number", ctypes.c_uint64),
        ("pixel_offset", ctypes.c_uint64),
    ]


class CameraLayout(ctypes.Structure):
    """Mirror `struct plant_camera`."""

    _fields_ = [
        ("line1", ctypes.c_uint32),
        ("reserved0", ctypes.c_uint32),
        ("line1_counts", ctypes.c_int64),
        ("line1_ns", ctypes.c_uint64),
        ("unplugged", ctypes.c_uint32),
        ("drop_total", ctypes.c_uint32),
        ("incomplete_total", ctypes.c_uint32),
        ("double_total", ctypes.c_uint32),
        ("delay_total", ctypes.c_uint32),
        ("reserved1", ctypes.c_uint32),
        ("delay_ns", ctypes.c_uint64),
        ("exposures", ctypes.c_uint32),
        ("delivered", ctypes.c_uint32),
        ("missed", ctypes.c_uint32),
        ("reserved2", ctypes.c_uint32),
        ("scenes", SceneLayout * SCENES),
    ]


class GateEventLayout(ctypes.Structure):
    """Mirror `struct plant_gate_event`."""

    _fields_ = [
        ("ns", ctypes.c_uint64),
        ("counts", ctypes.c_int64),
        ("lane", ctypes.c_uint32),
        ("part", ctypes.c_uint32),
    ]


class WiresLayout(ctypes.Structure):
    """Mirror `struct plant_wires`."""

    _fields_ = [
        ("gate_sensor_counts", ctypes.c_int64),
        ("encoder_offset", ctypes.c_int64),
        ("encoder_errors", ctypes.c_uint32),
        ("part_sensor", ctypes.c_uint32),
        ("gate_sensor", ctypes.c_uint32),
        ("extras_scheduled", ctypes.c_uint32),
        ("extras", PartLayout * EXTRAS),
        ("taken", ctypes.c_uint64 * TAKEN),
    ]


class PlantLayout(ctypes.Structure):
    """Mirror `struct plant`."""

    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("file_bytes", ctypes.c_uint64),
        ("belt", BeltLayout),
        ("parts_scheduled", ctypes.c_uint32),
        ("gate_moves", ctypes.c_uint32),
        ("parts", PartLayout * PARTS),
        ("cameras", CameraLayout * CAMERAS),
        ("gate_log", GateEventLayout * GATE_LOG),
        ("wires", WiresLayout),
    ]
