"""Lay parts on the simulated belt ahead of the sensor, and say in which lane the gate stood when each one met it.

A part is put on the belt only after its picture stands in the plant file, and always ahead of the sensor: a camera can
see no part, but never the wrong one. When pictures come too slowly the belt stops, as a line does that runs empty.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final, TextIO

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.sim.parts.truth import GOOD, PartTruth
from appliance.sim.plant import Plant
from appliance.sim.plant_layout import LANE_ACCEPT, LANE_REJECT, SCENES

COUNTS_PER_MM: Final = 10
PITCH_COUNTS: Final = 100 * COUNTS_PER_MM
"""Mean distance of two parts; with the rate it gives the belt's speed."""
PART_COUNTS: Final = 60 * COUNTS_PER_MM
SPACING: Final = 0.10
"""Parts lie within this share of the pitch from where they should: an ordinary feeder."""
LOOK_AHEAD: Final = 12
"""Parts painted before they come; three scenes stay for those that just passed the camera."""
MARGIN_NS: Final = 200 * MS
"""The belt stops when an unpainted part is this near: ten times what a picture takes ..."""
MARGIN_PITCHES: Final = 4
"""... but no further off than this, or a fast line would never have looked far enough ahead."""
SETTLE_NS: Final = 100 * MS
"""Time for the gate's last move to reach the log."""


class Station(Struct, frozen=True):
    """Fix where things stand along the belt, in counts after the part sensor, and how fast parts come."""

    parts: int
    rate_hz: float
    camera_counts: tuple[int, ...] = (300,)
    half_window: int = 300
    """A camera sees a part from this far before its own place to this far after it."""
    gate_counts: int = 2000
    gate_sensor_counts: int = 0
    """The gate's own sensor; 0: there is none."""


class LineReport(Struct):
    """Count what the line went through."""

    parts: int = 0
    line_stops: int = 0
    line_stopped_ms: float = 0.0
    moved_parts: int = 0
    """Parts laid later than planned because their picture was late although the belt had not stopped in time."""
    least_ahead: int = LOOK_AHEAD
    """Fewest painted parts still to come while more were due."""
    gate_events_lost: int = 0


class Line:
    """Run the belt of one plant; one thread, all instants from `clock`."""

    def __init__(
        self,
        plant: Plant,
        station: Station,
        pictures: Iterator[tuple[PartTruth, NDArray[np.uint8]]],
        clock: Callable[[], HostNs],
        truth_file: TextIO,
        rng: np.random.Generator,
    ) -> None:
        """Take parts and their pictures, in the cameras' format, from an iterator that renders on demand."""
        self.report = LineReport()
        self.lanes = GateLanes()
        self.speed_factor = 1.0
        self.held = True
        """True while somebody wants the belt to stand."""
        self.to_take = 0
        """So many of the next parts a hand takes from the belt before the gate."""
        self._taken: set[int] = set()
        self._plant, self._station, self._pictures = plant, station, pictures
        self._clock, self._truth_file, self._rng = clock, truth_file, rng
        self._entered: list[int] = []
        self._next_enter = self._run_up()
        self._starved_since: HostNs | None = None
        self._all_passed_at: HostNs | None = None

    @property
    def enter_counts(self) -> list[int]:
        """Give where each part so far enters the sensor."""
        return self._entered

    @property
    def all_laid(self) -> bool:
        """Tell whether every part is on the belt."""
        return len(self._entered) == self._station.parts

    def has_room(self) -> bool:
        """Tell whether one more part can be painted now."""
        return not self.all_laid and self._ahead() < LOOK_AHEAD

    def lay_next_part(self) -> None:
        """Paint the next part and put it on the belt; takes as long as its picture takes."""
        truth, image = next(self._pictures)
        slot = 1 + len(self._entered) % (SCENES - 1)
        enter = self._next_enter
        soonest = self._plant.counts(self._clock()) + self._margin() // 10
        if enter < soonest:
            enter = soonest
            self.report.moved_parts += 1
        half = self._station.half_window
        for camera, place in enumerate(self._station.camera_counts):
            middle = enter + place
            self._plant.write_scene(camera, slot, image, middle - half, middle + half, truth.number)
        self._write_truth(truth, enter)
        if self.to_take:
            self.to_take -= 1
            self._taken.add(truth.number)
            self._plant.take(truth.number)
        self._plant.schedule_part(truth.number, enter, enter + PART_COUNTS)
        self._entered.append(enter)
        self.report.parts = len(self._entered)
        self._next_enter = enter + round(PITCH_COUNTS * (1.0 + self._rng.uniform(-SPACING, SPACING)))

    def pause(self, span_ns: int) -> None:
        """Let no part come for a time of a running belt, after those that lie on it."""
        self._next_enter += self.full_speed() * span_ns // S

    def lay_extra(self) -> None:
        """Put a part on the belt just before the gate's own sensor, between two others: nobody saw it enter."""
        here = self._plant.counts(self._clock()) + self._margin() // 10
        place = self._station.gate_sensor_counts
        clear = PITCH_COUNTS // 5  # parts that touch look like one
        after = [at for enter in self._entered if (at := enter + place - clear) > here]
        at = after[0] if after else here
        self._plant.place_extra(at, at + clear // 2)

    def tend(self) -> None:
        """Read the gate's log and start, stop or change the belt; call it every 20 ms or so."""
        now = self._clock()
        self.report.gate_events_lost += self.lanes.read(self._plant)
        self._watch_supply(now)
        speed = 0 if self.held or self._starved_since is not None else self.full_speed()
        if speed != self._plant.counts_per_s:
            self._plant.run_belt(speed, now)
        if self._all_passed_at is None and self.all_laid and self._plant.counts(now) > self._end():
            self._all_passed_at = now

    def full_speed(self) -> int:
        """Give the belt's speed when nothing holds it, in counts/s."""
        return max(1, round(PITCH_COUNTS * self._station.rate_hz * self.speed_factor))

    def is_done(self) -> bool:
        """Tell whether every part has passed the gate and the gate's log had time to say so."""
        return self._all_passed_at is not None and self._clock() - self._all_passed_at >= SETTLE_NS

    def outcome(self) -> Iterator[tuple[int, str]]:
        """Give number and lane of each part that has met the gate, in order; a taken one is in no good lane."""
        here = self._plant.counts(self._clock())
        for number, enter in enumerate(self._entered, 1):
            gate = enter + self._station.gate_counts
            if gate <= here:
                open_ = self.lanes.at(gate) == LANE_ACCEPT and number not in self._taken
                yield number, "accept" if open_ else "reject"

    def _ahead(self) -> int:
        """Count parts whose scenes some camera still needs."""
        here = self._plant.counts(self._clock())
        last = max(self._station.camera_counts) + self._station.half_window
        return len(self._entered) - bisect_right(self._entered, here - last)

    def _watch_supply(self, now: HostNs) -> None:
        due = self._next_enter - self._plant.counts(now)
        if not self.all_laid and not self.held:
            self.report.least_ahead = min(self.report.least_ahead, self._ahead())
        if self._starved_since is None:
            if not self.all_laid and not self.held and due < self._margin():
                self._starved_since = now
                self.report.line_stops += 1
        elif self.all_laid or due >= self._margin() + 2 * PITCH_COUNTS or not self.has_room():
            self.report.line_stopped_ms += (now - self._starved_since) / MS
            self._starved_since = None

    def _run_up(self) -> int:
        """Give the first part's place: far enough for all to start, never inside a camera's window."""
        return self._plant.counts(self._clock()) + 2 * self._margin() + PITCH_COUNTS

    def _margin(self) -> int:
        return min(self.full_speed() * MARGIN_NS // S, MARGIN_PITCHES * PITCH_COUNTS)

    def _end(self) -> int:
        return (self._entered[-1] if self._entered else 0) + self._station.gate_counts + PART_COUNTS

    def _write_truth(self, truth: PartTruth, enter: int) -> None:
        line = {
            "number": truth.number,
            "truth": truth.defect or GOOD,
            "source": truth.source,
            "enter_counts": enter,
            "seed": truth.seed,
        }
        self._truth_file.write(json.dumps(line) + "\n")
        self._truth_file.flush()


class GateLanes:
    """Follow the gate's log and tell where the gate stood at each place of the belt."""

    def __init__(self) -> None:
        """Start with the gate in its spring position."""
        self._next = 0
        self._counts: list[int] = []
        self._lanes: list[int] = []

    def read(self, plant: Plant) -> int:
        """Take in what is new; gives how many events were overwritten unread."""
        news = plant.gate_events(self._next)
        for event in news.events:
            self._move(event.counts, event.lane)
        self._next = news.next_index
        return news.lost

    def spring_back(self, counts: EncoderCounts) -> None:
        """Note that the gate lost its power: a killed microcontroller cannot log it."""
        self._move(counts, LANE_REJECT)

    def at(self, counts: int) -> int:
        """Give the lane at a belt position: the last move at or before it counts."""
        index = bisect_right(self._counts, counts)
        return self._lanes[index - 1] if index else LANE_REJECT

    def _move(self, counts: int, lane: int) -> None:
        # The belt never runs back, so a smaller position is an old stamp read late: it cannot undo a later move.
        place = bisect_right(self._counts, counts)
        self._counts.insert(place, counts)
        self._lanes.insert(place, lane)
