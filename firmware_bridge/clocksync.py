"""Map a remote clock (MCU ticks, camera nanoseconds) to the host's monotonic clock. Pure.

Each exchange gives the host instants before and after the remote one was read; the shorter the round trip, the better
its midpoint. The lowest quarter by round trip of a sliding window carries a straight line (Cristian 1989; the choice
of the shortest round trips as in NTP, RFC 5905 section 10).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from appliance.schema.clocks import MS, CameraNs, HostNs, McuTicks, S
from appliance.schema.errors import LinkError

WINDOW = 128
MAX_PPM = 200.0
MAX_RESIDUAL_NS = 200_000.0
MIN_FIT_SPAN_NS = S
"""Below this the slope is worse than the nominal rate: 10 us of jitter over 1 s is 10 ppm."""
MIN_FIT_SAMPLES = 4
HOLD_OVER_PPM = 10.0
"""Growth of the uncertainty since the newest sample: a crystal's drift with temperature, not its fixed error."""
REJECTED_BEFORE_RESTART = 8


class _Sample(NamedTuple):
    tick: int
    host_ns: int
    rtt_ns: int


class _Fit(NamedTuple):
    """host = host_ns + (tick - tick0) * ns_per_tick."""

    tick: int
    host_ns: int
    ns_per_tick: float
    error_ns: float
    drift_ppm: float


class ClockSync:
    """Fit of one remote clock; make a new one when the remote end restarts.

    tick_ns: nominal ns per tick, 1000 for the MCU, 1 for a camera
    """

    def __init__(self, tick_ns: float = 1000.0) -> None:
        self.rejected = 0
        self._tick_ns = tick_ns
        self._samples: deque[_Sample] = deque(maxlen=WINDOW)
        self._fit: _Fit | None = None
        self._rejected_in_a_row = 0

    def update(self, sent: HostNs, received: HostNs, tick: McuTicks | CameraNs) -> bool:
        """Take one exchange; False when the fit was refused and the last good one still holds."""
        rtt_ns = received - sent
        sample = _Sample(tick, sent + rtt_ns // 2, rtt_ns)
        if rtt_ns >= 0 and (not self._samples or tick > self._samples[-1].tick):
            self._samples.append(sample)
            fit = self._line() or self._offset()
            if self._acceptable(fit):
                self._fit, self._rejected_in_a_row = fit, 0
                return True
        self.rejected += 1
        self._rejected_in_a_row += 1
        if self._rejected_in_a_row >= REJECTED_BEFORE_RESTART:  # the remote clock stepped: its past is of no use
            self._samples.clear()
            self._samples.append(sample)
            self._rejected_in_a_row = 0
            self._fit = self._offset()
        return False

    def to_host(self, tick: McuTicks | CameraNs) -> tuple[HostNs, int]:
        """Return the host instant of a remote tick and its uncertainty in ns.

        Raises LinkError before the first exchange.
        """
        fit = self._fit
        if fit is None:
            raise LinkError("clock: no exchange with the remote clock yet; wait for its first answer")
        away_ns = abs(tick - self._samples[-1].tick) * self._tick_ns
        host_ns = fit.host_ns + round((tick - fit.tick) * fit.ns_per_tick)
        return HostNs(host_ns), round(fit.error_ns + away_ns * fit.drift_ppm * 1e-6)

    @property
    def synchronised(self) -> bool:
        """True once `to_host` answers."""
        return self._fit is not None

    @property
    def ppm(self) -> float:
        """How much slower the remote clock runs than its nominal rate; 0 until there is a line."""
        return 0.0 if self._fit is None else (self._fit.ns_per_tick / self._tick_ns - 1) * 1e6

    def _best(self) -> list[_Sample]:
        ranked = sorted(self._samples, key=lambda s: (s.rtt_ns, -s.tick))  # of two as good the newer
        return ranked[: max(MIN_FIT_SAMPLES, len(ranked) // 4)]

    def _offset(self) -> _Fit:
        # An old short round trip loses to a new longer one once drift may have eaten its advantage.
        newest = self._samples[-1]
        best = min(self._samples, key=lambda s: s.rtt_ns / 2 + (newest.tick - s.tick) * self._tick_ns * MAX_PPM * 1e-6)
        return _Fit(best.tick, best.host_ns, self._tick_ns, best.rtt_ns / 2 + MS / 1000, MAX_PPM)

    def _line(self) -> _Fit | None:
        best = self._best()
        ticks = [s.tick for s in best]
        if len(best) < MIN_FIT_SAMPLES or (max(ticks) - min(ticks)) * self._tick_ns < MIN_FIT_SPAN_NS:
            return None
        tick0, host0 = best[0].tick, best[0].host_ns
        xs = [s.tick - tick0 for s in best]
        ys = [s.host_ns - host0 for s in best]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((x - mean_x) ** 2 for x in xs)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
        offset = mean_y - slope * mean_x
        residual = max(abs(y - offset - slope * x) for x, y in zip(xs, ys, strict=True))
        # The line may be tilted: each end off by `end_ns`, in opposite directions.
        end_ns = min(s.rtt_ns for s in best) / 2 + residual
        span_ns = (max(ticks) - min(ticks)) * self._tick_ns
        drift_ppm = HOLD_OVER_PPM + 2 * end_ns / span_ns * 1e6
        return _Fit(tick0, host0 + round(offset), slope, 2 * end_ns, drift_ppm)

    def _acceptable(self, fit: _Fit) -> bool:
        if fit.drift_ppm == MAX_PPM:  # offset only: nothing to judge but its agreement with the last fit
            return self._fit is None or self._agrees(self._samples[-1])
        residual = fit.error_ns / 2 - min(s.rtt_ns for s in self._best()) / 2
        return abs(fit.ns_per_tick / self._tick_ns - 1) * 1e6 <= MAX_PPM and residual <= MAX_RESIDUAL_NS

    def _agrees(self, sample: _Sample) -> bool:
        tick = McuTicks(sample.tick)
        host_ns, error_ns = self.to_host(tick)
        return abs(sample.host_ns - host_ns) <= error_ns + sample.rtt_ns / 2 + MAX_RESIDUAL_NS
