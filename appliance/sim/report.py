"""Write the report of a run as one HTML file: what was promised, what held, and pictures to judge it by."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from msgspec import Struct

from appliance.config import Loaded
from appliance.decision.calibration import clopper_pearson
from appliance.governance import audit_chain
from appliance.schema.actuation import Cause, Lane
from appliance.schema.bundle import GoodOnlyCalibration
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.services._wiring import bundle_folder
from appliance.sim import report_figures, report_pictures
from appliance.sim.collector import Collector
from appliance.sim.processes import Exit
from appliance.sim.report_figures import Event
from appliance.sim.report_outcomes import CAUGHT, ESCAPE, OVERKILL, Shown, plain, shown
from appliance.sim.report_pictures import Card
from appliance.sim.station import PITCH_MM, Layout
from appliance.sim.summary import Summary, percentiles
from appliance.storage import bundle, database, queries
from appliance.storage.record_store import DATABASE, IMAGES

STAGES = {
    "transfer": "exposure, and the frame's way into memory",
    "queue": "waiting for the judge",
    "preprocess": "raw pixels to the model's input",
    "inference": "the model",
    "decide": "limits, views joined, verdict sent",
}


class Rate(Struct, frozen=True):
    """Give a share with its count and exact two-sided 95 % interval (Clopper-Pearson)."""

    hits: int
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "0 of 0"
        low, high = clopper_pearson(self.hits, self.count)
        return f"{self.hits} of {self.count}: {_percent(self.hits / self.count)} ({_percent(low)} to {_percent(high)})"


class Stage(Struct, frozen=True):
    """Give the times of one stage, ms."""

    name: str
    meaning: str
    count: int
    p50: float
    p99: float
    max: float


class KindRow(Struct, frozen=True):
    """Count one kind of defect."""

    kind: str
    caught: Rate
    escapes: int


class AlarmRow(Struct, frozen=True):
    """Count the alarms of one unit and kind, with the words of the first."""

    unit: str
    kind: str
    count: int
    text: str


class Chain(Struct, frozen=True):
    """State the audit chain."""

    entries: int
    head: str
    broken_at: int | None


def write(
    layout: Layout,
    loaded: Loaded,
    collector: Collector,
    summary: Summary,
    done: dict[str, object],
    broken: list[str],
    restarts: dict[str, int],
    ends: Sequence[Exit] = (),
) -> Path:
    """Write `report.html` into the state folder and give its path; `ends` places the restarts in the timeline."""
    parts = [shown(truth, row) for truth, row in summary.pairs]
    calibration = _calibration(loaded)
    margins = [row.latency_ms + row.margin_ms for row in summary.inspections if row.latency_ms and row.margin_ms]
    deadline_ms = min(margins, default=None)
    limits = (calibration.accept_below, calibration.reject_above) if calibration else (None, None)
    html = _template().render(
        loaded=loaded,
        summary=summary,
        facts=_facts(loaded, summary, done),
        promises=_promises(summary, broken),
        broken=broken,
        truth=summary.truth(),
        confusion=_confusion(parts),
        kinds=_kinds(parts),
        causes=_causes(parts),
        dispositions=[item.value for item in Disposition],
        stages=_stages(summary),
        deadline_ms=deadline_ms,
        histogram=report_figures.latency_histogram(summary.latencies_ms, deadline_ms),
        timeline=report_figures.timeline(parts, deadline_ms, _events(summary, collector, ends)),
        scores=report_figures.score_distribution(parts, *limits),
        gallery=_gallery(loaded, parts),
        calibration=calibration,
        over_limit=_over_limit(parts, calibration),
        health=sorted(collector.health.values(), key=lambda item: item.unit),
        alarms=_alarms(collector),
        restarts=restarts,
        photographs=any(part.source for part in parts),
        chain=_chain(loaded),
        plain=plain,
        percent=_percent,
    )
    path = layout.state / "report.html"
    path.write_text(html, "utf-8")
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _facts(loaded: Loaded, summary: Summary, done: dict[str, object]) -> list[tuple[str, str]]:
    begun = [row.entered_utc_ns for row in summary.inspections if row.entered_utc_ns]
    when = (
        datetime.fromtimestamp(min(begun) / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if begun else "no part entered"
    )
    frames = summary.frames
    lost = frames.underrun + frames.missed
    return [
        ("station", loaded.config.station.name),
        ("recipe", loaded.recipe.name),
        ("first part", when),
        *([("seed", str(done["seed"]))] if "seed" in done else []),
        ("parts", f"{summary.parts} at {loaded.config.mcu.belt_mm_s / PITCH_MM:g} per second"),
        ("bundle", summary.bundle.removeprefix("sha256:")[:12] or "none"),
        ("model runs on", f"{summary.runtime} {summary.precision}".strip() or "nothing ran"),
        ("calibration", summary.uncalibrated or "holds in this precision"),
        (
            "frames",
            f"{frames.good} good, {frames.incomplete} incomplete, {lost} lost ({frames.underrun} without a slot)",
        ),
        ("copies per frame", f"{summary.copies:g}"),
        ("PLC", f"took {summary.plc['acked']} of {summary.plc['results']} results"),
        ("review", f"{summary.review.opened} parts came in, {summary.review.decided} decided by a person"),
        ("broker", f"took {summary.mqtt['acked']} of {summary.mqtt['published']} messages"),
        ("kept", f"{len(summary.inspections)} records, {summary.images} images"),
    ]


def _promises(summary: Summary, broken: list[str]) -> list[tuple[bool, str]]:
    """Say each promise in plain words, with whether it held; what a scenario expected comes last."""
    differing = sum(row is not None and row.lane not in {None, truth.lane} for truth, row in summary.pairs)
    late, lost = summary.accepted_without_verdict, summary.unaccounted
    whose = "an ACCEPT" if summary.parallel is None else "a person's accept"
    scenario = [line for line in broken if line not in summary.broken]
    return [
        (not late, f"No part reached the accept lane without {whose} of its own in time ({late} did)."),
        (not lost, f"Every part that passed the sensor has a record of what the gate did with it ({lost} have none)."),
        (not differing, f"Every part lies in the lane that its record names ({differing} do not)."),
        *((False, f"{line}.") for line in scenario),
    ]


def _confusion(parts: Sequence[Shown]) -> list[tuple[str, Rate, Rate, str]]:
    """Give truth, share in the accept lane, share in the reject lane, and which of the two is the mistake."""
    rows = []
    for name, defective, mistake in (("good", False, OVERKILL), ("defective", True, ESCAPE)):
        of_kind = [part for part in parts if part.defective is defective]
        accepted = sum(part.lane == Lane.ACCEPT for part in of_kind)
        rows.append((name, Rate(accepted, len(of_kind)), Rate(len(of_kind) - accepted, len(of_kind)), mistake))
    return rows


def _kinds(parts: Sequence[Shown]) -> list[KindRow]:
    count = Counter(part.kind for part in parts if part.defective)
    caught = Counter(part.kind for part in parts if part.outcome == CAUGHT)
    return [KindRow(kind, Rate(caught[kind], n), n - caught[kind]) for kind, n in sorted(count.items())]


def _causes(parts: Sequence[Shown]) -> list[tuple[str, int, int]]:
    """Count what lies in the reject lane by its cause, a verdict or what kept one away: good parts, defective parts."""
    rejected = [part for part in parts if part.lane != Lane.ACCEPT]
    count = Counter((_why(part), part.defective) for part in rejected)
    return [(cause, count[cause, False], count[cause, True]) for cause in sorted({cause for cause, _ in count})]


def _why(part: Shown) -> str:
    if part.row is not None and part.row.cause == Cause.DECIDED_REJECT:
        return f"{part.verdict}: {part.reasons}"
    return part.cause or ("no record of the gate" if part.row else "never seen by the station")


def _over_limit(parts: Sequence[Shown], calibration: GoodOnlyCalibration | None) -> Rate:
    """Count what the calibration promises: good parts over the accept limit, or without a number, of those scored."""
    scores = [part.score for part in parts if not part.defective and part.score is not None]
    limit = calibration.accept_below if calibration else float("inf")
    return Rate(sum(not score <= limit for score in scores), len(scores))


def _stages(summary: Summary) -> list[Stage]:
    named = [(name, STAGES.get(name, ""), values) for name, values in summary.stages.items()]
    named.append(("whole", "camera trigger to verdict", summary.latencies_ms))
    return [Stage(name, meaning, len(values), **percentiles(values)) for name, meaning, values in named]


def _events(summary: Summary, collector: Collector, ends: Sequence[Exit]) -> list[Event]:
    """Place alarms and restarts on the belt: at the part they name, else at the newest part of their time."""
    numbers = {row.part: truth.number for truth, row in summary.pairs if row is not None}
    entered = [(row.entered_ns, truth.number) for truth, row in summary.pairs if row is not None and row.entered_ns]

    def newest(at_ns: int) -> int:
        return max((number for entered_ns, number in entered if entered_ns <= at_ns), default=1)

    found = [
        Event(
            numbers.get(alarm.part) or newest(alarm.at),
            "alarm",
            f"alarm of {alarm.unit}: {plain(alarm.kind)}: {alarm.text}",
        )
        for alarm in collector.alarms
    ]
    return found + [
        Event(newest(end.at), "restart", f"{end.name} ended with {end.code} and was started again") for end in ends
    ]


def _alarms(collector: Collector) -> list[AlarmRow]:
    count = Counter((alarm.unit, alarm.kind) for alarm in collector.alarms)
    first = {(alarm.unit, alarm.kind): alarm.text for alarm in reversed(collector.alarms)}
    return [AlarmRow(unit, plain(kind), n, first[unit, kind]) for (unit, kind), n in sorted(count.items())]


def _gallery(loaded: Loaded, parts: Sequence[Shown]) -> dict[str, list[Card]]:
    with closing(database.open_reader(loaded.state / DATABASE)) as connection:

        def card(part: Shown) -> Card:
            stored = queries.images(connection, PartId(part.row.boot, part.row.number)) if part.row else []
            return report_pictures.card(part, loaded.state / IMAGES, stored)

        return {outcome: [card(part) for part in some] for outcome, some in report_pictures.chosen(parts).items()}


def _calibration(loaded: Loaded) -> GoodOnlyCalibration | None:
    folder = bundle_folder(loaded)
    return bundle.read(folder).manifest.calibration if folder.exists() else None


def _chain(loaded: Loaded) -> Chain:
    with closing(database.open_reader(loaded.state / DATABASE)) as connection:
        entries = list(queries.audit_entries(connection))
    head = entries[-1].digest if entries else audit_chain.ORIGIN
    return Chain(len(entries), head, audit_chain.verify(entries))


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
