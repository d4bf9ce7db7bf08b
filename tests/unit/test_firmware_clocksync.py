"""Two clocks become one line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.schema.clocks import MS, HostNs, McuTicks, S
from appliance.schema.errors import LinkError
from firmware_bridge import clocksync
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


@given(
    ppm=st.floats(-150, 150),
    seed=st.integers(0, 2**32),
    late=st.floats(0, 0.7),
    silence_s=st.integers(0, 60),
    warming_ppm=st.floats(-9, 9),
)
def test_the_stated_uncertainty_is_true(ppm: float, seed: int, late: float, silence_s: int, warming_ppm: float) -> None:
    """Whatever the rate, the jitter and a loss of the link of up to a minute, the error stays within what is stated."""
    rng = random.Random(seed)
    clock = ClockSync()
    for n in range(160):
        jitter = 4 * MS if rng.random() < late else 0
        exchange(clock, n * 245 * MS, ppm, rng.randint(20_000, 90_000) + jitter, rng.randint(20_000, 90_000))
    last = 159 * 245 * MS
    moment = last + silence_s * S
    tick = McuTicks(tick_at(moment, ppm) + round(silence_s * warming_ppm))
    host_ns, uncertainty_ns = clock.to_host(tick)

    assert abs(host_ns - moment) <= uncertainty_ns
    assert uncertainty_ns < 400_000 + silence_s * 40_000


def fed(kind: type[ClockSync], ppm: float, wander_us: int) -> tuple[ClockSync, list[bool]]:
    """Give a clock after 160 exchanges with a remote end of this rate, and which it took; the last 60 wander."""
    clock, taken = kind(), []
    for n in range(160):
        at, wander = n * 100 * MS, wander_us * (n >= 100) * (1 if n % 2 else -1)
        rtt_ns = 60_000 - 20_000 * (n >= 100)
        tick = McuTicks(tick_at(at + rtt_ns // 2, ppm) + wander)
        taken.append(clock.update(HostNs(at), HostNs(at + rtt_ns), tick))
    return clock, taken


@pytest.mark.parametrize(("ppm", "holds"), [(190.0, True), (-190.0, True), (230.0, False), (-230.0, False)])
def test_a_rate_beyond_a_crystals_is_no_line(ppm: float, holds: bool) -> None:
    """More than 200 ppm is a broken clock: no line is laid through it, and no answer claims less doubt than that."""
    clock, taken = fed(ClockSync, ppm, 0)

    assert holds == all(taken)
    assert holds == (clock.ppm != 0.0)


def test_a_clock_that_wanders_is_refused() -> None:
    """A remaining error of more than 200 us on the best exchanges is no jitter of the link."""
    clock, taken = fed(ClockSync, 0.0, 400)

    assert not all(taken)
    assert clock.rejected == taken.count(False) > 30


TURNED = {
    "all_samples": ("return ranked[: max(MIN_FIT_SAMPLES, len(ranked) // 4)]", "return ranked"),
    "any_rate": ("* 1e6 <= MAX_PPM and", "* 1e6 <= 1e9 and"),
    "any_residual": ("residual <= MAX_RESIDUAL_NS", "residual <= 1e12"),
    "no_growth": ("round(fit.error_ns + away_ns * fit.drift_ppm * 1e-6)", "round(fit.error_ns)"),
}


@pytest.mark.parametrize("name", TURNED)
def test_a_rule_turned_round_is_found_out(name: str) -> None:
    """Each rule of the fit has a consequence that a test sees."""
    old, new = TURNED[name]
    source = Path(clocksync.__file__).read_text("utf-8")

    assert 1 == source.count(old)
    turned: dict[str, Any] = {"__name__": "turned"}
    exec(compile(source.replace(old, new), "turned", "exec"), turned)  # noqa: S102  our own source, a rule changed
    kind = turned["ClockSync"]
    late = kind()
    for n in range(120):
        exchange(late, n * 100 * MS, 20.0, 30_000 + (n % 4 > 0) * 300_000, 30_000)
    at, near = late.to_host(tick_at(12 * S, 20.0))
    _, far = late.to_host(tick_at(72 * S, 20.0))
    kept = {
        "all_samples": abs(at - 12 * S) < 50_000,
        "any_rate": fed(kind, 230.0, 0)[0].ppm == 0.0,
        "any_residual": fed(kind, 0.0, 400)[1].count(False) > 30,
        "no_growth": far > near,
    }

    assert [name] == [rule for rule, holds in kept.items() if not holds]
