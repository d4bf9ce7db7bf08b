"""Keep four clocks apart by type; two of them meet only in `firmware_bridge/clocksync.py`."""

from typing import NewType

HostNs = NewType("HostNs", int)
"""CLOCK_MONOTONIC of this computer in ns: every deadline and latency."""

UtcNs = NewType("UtcNs", int)
"""UTC in ns since 1970: records for people, never a deadline."""

McuTicks = NewType("McuTicks", int)
"""Free-running counter of the microcontroller, unsigned 64 bit, about 1 MHz."""

CameraNs = NewType("CameraNs", int)
"""A camera's own timestamp in ns; its origin and rate are its own."""

EncoderCounts = NewType("EncoderCounts", int)
"""Belt position in encoder counts, signed 64 bit; not a clock, but it orders parts as one does."""

MS = 1_000_000
"""Nanoseconds in a millisecond."""

S = 1_000_000_000
"""Nanoseconds in a second."""
