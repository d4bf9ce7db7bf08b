"""Two clocks become one line."""

from __future__ import annotations

import random

import pytest

from appliance.schema.clocks import MS, HostNs, McuTicks, S
from appliance.schema.errors import LinkError
from firmware_bridge.clocksync import ClockSync

OFFSET_TICKS = 987_654_321


def tick_at(host_ns: int, ppm: float) -> McuTicks:
    return McuTicks(OFFSET_TICKS + round(host_ns * (1 + ppm * 1e-6) / 1000))


def exchange(clock: ClockSync, at: int, ppm: float, out_ns: int, back_ns: int) -> bool:
    """One request at `at` that the MCU stamps after `out_ns` and that is back `back_ns` later."""
    return clock.update(HostNs(at), HostNs(at + out_ns + back_ns), tick_at(at + out_ns, ppm))


@pytest.mark.parametrize("ppm", [-150.0, 0.0, 37.5, 150.0])
def test_the_line_holds_under_jitter(ppm: float) -> None:
    """With late answers now and then the error stays within what the clock itself claims."""
    rng = random.Random(7)
    clock = ClockSync()
    for n in range(200):
        late = rng.random() < 0.3
        exchange(clock, n * 100 * MS, ppm, rng.randint(20_000, 60_000) + late * 4 * MS, rng.randint(20_000, 60_000))
    moment = 20 * S
    host_ns, uncertainty_ns = clock.to_host(tick_at(moment, ppm))

    assert abs(host_ns - moment) <= uncertainty_ns
    assert uncertainty_ns < 200_000
    assert abs(clock.ppm + ppm) < 10


def test_the_first_exchange_is_enough() -> None:
    """One sample gives the offset, with half its round trip as uncertainty."""
    clock = ClockSync()
    exchange(clock, 5 * S, 0.0, 30_000, 30_000)
    host_ns, uncertainty_ns = clock.to_host(tick_at(5 * S, 0.0))

    assert abs(host_ns - 5 * S) <= uncertainty_ns < 40_000


def test_no_exchange_no_answer() -> None:
    """An instant is never invented."""
    with pytest.raises(LinkError, match="no exchange"):
        ClockSync().to_host(McuTicks(1))


def test_hold_over_widens_the_uncertainty() -> None:
    """Without new samples the answer goes on and admits more doubt."""
    clock = ClockSync()
    for n in range(100):
        exchange(clock, n * 100 * MS, 20.0, 30_000, 30_000)
    _, soon = clock.to_host(tick_at(10 * S, 20.0))
    late_ns, late = clock.to_host(tick_at(70 * S, 20.0))

    assert late > soon
    assert abs(late_ns - 70 * S) <= late


def test_a_wild_rate_is_refused() -> None:
    """A remote clock 1 % off is a fault of the exchange, not a rate: the last good line stays."""
    clock = ClockSync()
    for n in range(100):
        exchange(clock, n * 100 * MS, 0.0, 30_000, 30_000)
    before = clock.to_host(tick_at(10 * S, 0.0))[0]
    taken = clock.update(HostNs(10 * S), HostNs(10 * S + 20_000), McuTicks(tick_at(10 * S, 0.0) + 100_000))

    assert not taken
    assert before == clock.to_host(tick_at(10 * S, 0.0))[0]


def test_a_step_of_the_remote_clock_is_followed_at_last() -> None:
    """A restarted remote end is taken up after eight refusals."""
    clock = ClockSync()
    for n in range(50):
        exchange(clock, n * 100 * MS, 0.0, 30_000, 30_000)
    for n in range(50, 60):
        at = n * 100 * MS
        clock.update(HostNs(at), HostNs(at + 20_000), McuTicks(at // 1000))
    host_ns, uncertainty_ns = clock.to_host(McuTicks(6_000_000))

    assert abs(host_ns - 6 * S) <= uncertainty_ns
