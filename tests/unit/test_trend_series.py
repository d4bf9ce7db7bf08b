"""Limits of a trend come from a stated baseline, which no drift moves and every change of model or recipe renews."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.monitoring.charts import Rule
from appliance.schema.clocks import UtcNs
from appliance.storage.database import open_writer
from appliance.storage.migrations import migrate
from hmi.screens.trends.series import BASELINE, HOUR, SPANS, Baseline, Series, read, trend

START = UtcNs(1_000_000 * HOUR)
PER_HOUR = 40


class Line:
    """Write parts hour by hour into a record database."""

    def __init__(self, path: Path) -> None:
        self.connection: sqlite3.Connection = open_writer(path)
        migrate(self.connection)
        self.connection.execute("PRAGMA synchronous=OFF")
        self.part, self.audited = 0, 0

    def run(self, hour: int, rejected: int, score: float = 0.3) -> None:
        self.connection.execute("BEGIN")
        for number in range(PER_HOUR):
            self.part += 1
            at = START + hour * HOUR + number * HOUR // PER_HOUR
            said = "reject" if number < rejected else "accept"
            part = self.part
            self.connection.execute("INSERT INTO parts VALUES (?, 1, ?)", (part, part))
            self.connection.execute(
                "INSERT INTO entered VALUES (?, ?, ?, 0, 0, 0, ?, '[]', 0, x'00')", (part, at, at, at)
            )
            self.connection.execute(
                "INSERT INTO verdicts (part, utc_ns, disposition, reasons, decided_ns, decide_by_ns, sequence, body)"
                " VALUES (?, ?, ?, '[]', ?, ?, ?, x'00')",
                (part, at, said, at + 40_000_000, at, part),
            )
            self.connection.execute(
                "INSERT INTO results (part, utc_ns, finished_ns, bundle, runtime, precision, transfer_ms, queue_ms,"
                " preprocess_ms, inference_ms, decide_ms, copies, score, views, body)"
                " VALUES (?, ?, ?, 'b', 'onnx', 'f32', 0, 0, 0, 0, 0, 0, ?, '[]', x'00')",
                (part, at, at, score + 0.001 * (number % 3) + 0.01 * (hour % 5)),
            )
        self.connection.execute("COMMIT")

    def note(self, hour: int, action: str) -> None:
        self.audited += 1
        at = START + hour * HOUR
        values = (self.audited, at, "q", action, "judge", "", "", "", str(self.audited))
        self.connection.execute(
            "INSERT INTO audit (sequence, utc_ns, actor, action, subject, before, after, previous, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def read(self, hour: int, known: Baseline | None = None) -> Series:
        return read(self.connection, "hour", START, UtcNs(START + hour * HOUR), known)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "record.db")
    yield line
    line.connection.close()


def test_a_slow_drift_does_not_move_its_own_limits(line: Line) -> None:
    """Days later the limits are still those of the first day, so that a creeping loss is seen."""
    for hour in range(120):
        line.run(hour, rejected=2 if hour < BASELINE else 2 + hour // 12)
    series = line.read(120)
    found = trend(series, "rejected")

    assert SPANS["hour"].points >= len(found.chart.points)
    assert (START, START + BASELINE * HOUR) == (series.baseline.buckets[0].begin, series.baseline.end)
    assert (0, BASELINE, 0.05) == (found.chart.baseline, found.behind, found.chart.centre)
    assert Rule.BEYOND in found.chart.points[-2].broken


@pytest.mark.parametrize("action", ["bundle_activated", "bundle_rolled_back", "recipe_changed", "recipe_activated"])
def test_another_model_or_recipe_has_limits_of_its_own(line: Line, action: str) -> None:
    """After a change the first points of the new state make the limits; other entries of the chain change nothing."""
    for hour in range(60):
        line.run(hour, rejected=2 if hour < 30 else 10)
    line.note(31, "service_started")
    line.note(32, "recipe_log_unreadable")
    before = line.read(60)
    line.note(30, action)
    after = line.read(60, before.baseline)

    assert 0.05 == trend(before, "rejected").chart.centre
    assert 0.25 == trend(after, "rejected").chart.centre
    assert START + 30 * HOUR == after.baseline.buckets[0].begin


def test_a_complete_baseline_is_read_once(line: Line) -> None:
    """What is complete is taken as it was; what is not grows with the parts."""
    for hour in range(10):
        line.run(hour, rejected=1)
    few = line.read(10)
    for hour in range(10, 30):
        line.run(hour, rejected=1)
    whole = line.read(30, few.baseline)

    assert (10, 0) == (len(few.baseline.buckets), trend(few, "rejected").behind)
    assert (BASELINE, True) == (len(whole.baseline.buckets), whole.baseline.complete)
    assert whole.baseline is line.read(30, whole.baseline).baseline


def test_hours_without_parts_are_gaps(line: Line) -> None:
    """A night without parts is a gap in the chart and no point of the baseline."""
    for hour in (*range(12), *range(20, 40)):
        line.run(hour, rejected=1)
    series = line.read(40)
    found = trend(series, "score")

    assert [None] * 8 == [point.value for point in found.chart.points[12:20]]
    assert BASELINE == len(series.baseline.buckets)
    assert START + 32 * HOUR == series.baseline.end
    assert 32 == found.chart.baseline


def test_no_part_at_all_is_an_empty_chart(line: Line) -> None:
    """Nothing recorded: no points, no limits, and nothing fails."""
    found = trend(line.read(5), "score")

    assert ((), 0, None) == (found.chart.points, found.behind, found.average)
