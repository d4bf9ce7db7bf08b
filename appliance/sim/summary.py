"""Sum a run up from its records and hold it against the plant's own truth."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing

import msgspec
from msgspec import Struct

from appliance.config import Loaded
from appliance.decision.calibration import clopper_pearson
from appliance.decision.escapes import EscapeEstimate, estimate
from appliance.decision.parallel import Table, compare
from appliance.decision.review_queue import WAITS, Item
from appliance.decision.standing import uncalibrated
from appliance.outputs import outbox
from appliance.schema.actuation import Cause, Lane
from appliance.schema.errors import StoreError
from appliance.schema.frame import FrameCounts
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition, InspectionResult
from appliance.services._wiring import bundle_folder
from appliance.sim.collector import Collector
from appliance.sim.plant_line import PART_COUNTS
from appliance.sim.station import Layout
from appliance.storage import bundle, database, queries, review_queries
from appliance.storage.queries import Inspection
from appliance.storage.record_store import DATABASE
from appliance.storage.review_queries import Tally

MATCH_COUNTS = 5
"""The microcontroller latches the sensor's edge to the count; a few counts cover rounding. One that starts while a part
is under the sensor sees that part begin late."""


class Truth(Struct, frozen=True):
    """Hold what the plant knows of a part."""

    number: int
    truth: str
    enter_counts: int
    lane: str
    source: str | None = None

    @property
    def defective(self) -> bool:
        """Whether the part has a defect."""
        return self.truth != "good"


class Summary(Struct, frozen=True):
    """Hold the figures of a run; `to_json` lays them out as interface.md fixes them."""

    parts: int
    inspections: Sequence[Inspection]
    pairs: Sequence[tuple[Truth, Inspection | None]]
    frames: FrameCounts
    verdicts: Mapping[str, int]
    actuations: Mapping[str, int]
    latencies_ms: Sequence[float]
    stages: Mapping[str, Sequence[float]]
    copies: float
    images: int
    plc: Mapping[str, int]
    mqtt: Mapping[str, int]
    runtime: str
    precision: str
    bundle: str
    seconds: float
    review: Tally = Tally(0, 0, 0, 0)
    sampled: EscapeEstimate | None = None
    """What the random sample of the whole record says of escapes; None: nothing was drawn."""
    parallel: Table | None = None
    """People's decisions of the whole record beside the model's sealed verdicts; None in primary mode."""
    uncalibrated: str = ""
    """Why the bundle's numbers mean nothing; empty: they do."""

    @property
    def unaccounted(self) -> int:
        """Parts that passed the sensor and have no actuation."""
        return sum(found is None or found.lane is None for _, found in self.pairs) - self.unseen

    @property
    def unseen(self) -> int:
        """Parts in the reject lane that passed the sensor while the microcontroller had no power.

        Only those count that lie between the last part of one of its boots and the first of the next.
        """
        boots = [found.boot if found is not None else None for _, found in self.pairs]
        count = 0
        for index, (truth, found) in enumerate(self.pairs):
            if found is not None or truth.lane == Lane.ACCEPT:
                continue
            before = next((boot for boot in reversed(boots[:index]) if boot is not None), None)
            after = next((boot for boot in boots[index:] if boot is not None), None)
            count += before != after and None not in {before, after}
        return count

    @property
    def accepted_without_verdict(self) -> int:
        """Parts that physically went to the accept lane without an ACCEPT of their own in time, of model or person."""
        return sum(truth.lane == Lane.ACCEPT and not _accepted_rightly(found) for truth, found in self.pairs)

    @property
    def broken(self) -> list[str]:
        """Name the promises that did not hold; empty when all did."""
        found = []
        if self.unaccounted:
            found.append(f"{self.unaccounted} of {self.parts} parts have no actuation")
        if self.accepted_without_verdict:
            found.append(f"{self.accepted_without_verdict} parts were accepted without a verdict")
        differing = sum(
            row is not None and row.lane is not None and row.lane != truth.lane for truth, row in self.pairs
        )
        if differing:
            found.append(f"{differing} parts lie in another lane than their actuation says")
        return found

    def truth(self) -> dict[str, int]:
        """Count the parts against the plant's truth, by the lane they physically went to."""
        good = [truth for truth, _ in self.pairs if not truth.defective]
        bad = [truth for truth, _ in self.pairs if truth.defective]
        return {
            "good": len(good),
            "defective": len(bad),
            "escapes": sum(truth.lane == Lane.ACCEPT for truth in bad),
            "overkill": sum(truth.lane != Lane.ACCEPT for truth in good),
        }

    def to_json(self) -> dict[str, object]:
        """Lay the summary out for machines."""
        inspected = [row for row in self.inspections if row.lane is not None]
        parallel = {"parallel": _parallel(self.parallel)} if self.parallel is not None else {}
        return {
            "parts": self.parts,
            "triggers": len(self.inspections),
            "frames": {
                "good": self.frames.good,
                "incomplete": self.frames.incomplete,
                "underrun": self.frames.underrun,
                "missed": self.frames.missed,
            },
            "verdicts": {item.value: self.verdicts.get(item.value, 0) for item in Disposition},
            "actuations": {item.value: self.actuations.get(item.value, 0) for item in Lane},
            "unaccounted": self.unaccounted,
            "accepted_without_verdict": self.accepted_without_verdict,
            "truth": self.truth(),
            "latency_ms": {
                "trigger_to_verdict": percentiles(self.latencies_ms),
                "stages": {name: percentiles(values) for name, values in self.stages.items()},
            },
            "copies_per_frame": self.copies,
            "rows": {"inspections": len(inspected), "images": self.images},
            "plc": dict(self.plc),
            "mqtt": dict(self.mqtt),
            "review": msgspec.to_builtins(self.review),
            **parallel,
            "runtime": self.runtime,
            "precision": self.precision,
            "bundle": self.bundle,
            "uncalibrated": self.uncalibrated,
            "seconds": round(self.seconds, 1),
        }

    def lines(self) -> list[str]:
        """Say the summary in a few lines for a person; every share with its count and exact 95 % interval."""
        truth = self.truth()
        latency = percentiles(self.latencies_ms)
        unseen = [f"{self.unseen} parts passed while the microcontroller was off; the gate's spring rejected them"]
        return [
            (
                f"{self.parts} parts: {self.actuations.get('accept', 0)} accepted, "
                f"{self.actuations.get('reject', 0)} rejected, {self.unaccounted} unaccounted, "
                f"{self.accepted_without_verdict} accepted without a verdict"
            ),
            *(unseen if self.unseen else []),
            f"escapes {share(truth['escapes'], truth['defective'])}",
            f"overkill {share(truth['overkill'], truth['good'])}",
            (
                f"trigger to verdict {latency['p50']} ms p50, {latency['p99']} ms p99, {latency['max']} ms max; "
                f"{self.copies:g} copies per frame; {self.runtime} {self.precision}"
            ),
            *([f"bundle {self.uncalibrated}"] if self.uncalibrated else []),
            (
                f"PLC took {self.plc['acked']} of {self.plc['results']} results; broker took {self.mqtt['acked']} of "
                f"{self.mqtt['published']} messages; {len(self.inspections)} rows, {self.images} images"
            ),
            *self.review_lines(),
        ]

    def review_lines(self) -> list[str]:
        """Say what people had to decide, and what follows from it; every share with its count."""
        review, found = self.review, self.sampled
        lines = [
            (
                f"review: {review.opened} parts came in, {review.decided} decided, {review.quarantined} in quarantine, "
                f"{review.waiting} wait"
            )
        ]
        if self.parallel is not None:
            table = self.parallel
            lines.append(
                f"parallel mode: {table.parts} parts compared; the model would have accepted "
                f"{share(table.escapes.k, table.escapes.n)} of those that the person rejected and held back "
                f"{share(table.overkill.k, table.overkill.n)} of those accepted"
            )
        elif found is not None and found.value is not None:
            lines.append(
                f"random sample: {share(found.found, found.inspected)} defective, {found.missing} wait; escapes of the "
                f"model {found.value:.1%} (95 % interval {found.low:.1%} to {found.high:.1%})"
            )
        return lines


def summarise(
    loaded: Loaded, layout: Layout, collector: Collector, before: outbox.Counts, parts: int, seconds: float
) -> Summary:
    """Sum a finished run up from database, outbox (with its counts before it), the plant's files and what was heard."""
    with closing(database.open_reader(loaded.state / DATABASE)) as connection:
        rows = [row for row in queries.newest(connection, 1_000_000)[::-1] if row.boot in collector.boots]
        kept = queries.images_kept(connection, collector.boots)
        review = review_queries.tally(connection, collector.boots)
        sampled = estimate(review_queries.strata(connection))
        pairs = review_queries.pairs(connection)
        entered = dict(connection.execute("SELECT part, at_counts FROM entered").fetchall())
    messages = messages_of(loaded)
    stages = collector.stages()
    frames = max(1, sum(collector.frame_ids.values()))
    is_parallel = loaded.recipe.mode is Mode.PARALLEL
    judged: list[Inspection | InspectionResult] = [row for row in rows if row.bundle]
    judged += [item.sealed.result for item in collector.parts.values() if item.sealed and item.sealed.result.bundle]
    copies = collector.frame_copies + sum(item.copies or 0 for item in judged)
    latencies = [item.latency_ms for item in collector.parts.values()] if is_parallel else [r.latency_ms for r in rows]
    return Summary(
        parts=parts,
        inspections=rows,
        pairs=_match(_truths(layout), rows, entered),
        frames=_account(collector, len(rows) * len(loaded.recipe.views)),
        verdicts=Counter(row.disposition for row in rows),
        actuations=Counter(row.lane for row in rows if row.lane is not None),
        latencies_ms=[latency for latency in latencies if latency is not None],
        stages={
            "transfer": [item.transfer_ms for item in stages],
            "queue": [item.queue_ms for item in stages],
            "preprocess": [item.preprocess_ms for item in stages],
            "inference": [item.inference_ms for item in stages],
            "decide": [item.decide_ms for item in stages],
        },
        copies=copies / frames,
        images=kept,
        plc={"results": len([row for row in rows if row.lane is not None]), "acked": sum(row.acked for row in rows)},
        mqtt={"published": messages.put - before.put, "acked": messages.acked - before.acked},
        runtime=judged[-1].runtime or "" if judged else "",
        precision=judged[-1].precision or "" if judged else "",
        bundle=judged[-1].bundle or "" if judged else "",
        seconds=seconds,
        review=review,
        sampled=sampled if sampled.drawn else None,
        parallel=compare(pairs) if is_parallel else None,
        uncalibrated=_uncalibrated(loaded),
    )


def _uncalibrated(loaded: Loaded) -> str:
    folder = bundle_folder(loaded)
    return uncalibrated(bundle.read(folder).manifest, loaded.config.judge.precision) if folder.exists() else ""


def outstanding(loaded: Loaded, boots: Collection[int], parts: int) -> tuple[int, int, int]:
    """Count what is still to come: parts without a row, results the PLC has not taken, messages of the broker."""
    try:
        with closing(database.open_reader(loaded.state / DATABASE)) as connection:
            rows = [row for row in queries.newest(connection, 2 * parts) if row.boot in boots]
        messages = messages_of(loaded)
    except StoreError:
        return parts, parts, parts
    actuated = [row for row in rows if row.lane is not None]
    return max(0, parts - len(actuated)), sum(not row.acked for row in actuated), messages.pending


def waiting_of(loaded: Loaded, boots: Collection[int]) -> list[Item]:
    """Give the parts of some boots of the microcontroller that wait for a person; none while the record is closed."""
    try:
        with closing(database.open_reader(loaded.state / DATABASE)) as connection:
            return [item for item in review_queries.items(connection, WAITS) if item.part.boot in boots]
    except StoreError:
        return []


def messages_of(loaded: Loaded) -> outbox.Counts:
    """Give the outbox's account; all zero before there is one."""
    path = loaded.state / outbox.FILE
    return outbox.read_counts(path) if path.exists() else outbox.Counts()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Give p50, p99 and max by rank (no interpolation), rounded to 0.01; empty samples give zeros."""
    if not values:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    ordered = sorted(values)

    def rank(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"p50": rank(0.5), "p99": rank(0.99), "max": round(ordered[-1], 2)}


def share(hits: int, count: int) -> str:
    """Write a share with its count and exact two-sided 95 % interval (Clopper-Pearson)."""
    if not count:
        return "0 of 0"
    low, high = clopper_pearson(hits, count)
    return f"{hits} of {count} ({hits / count:.1%}, 95 % interval {low:.1%} to {high:.1%})"


def _parallel(table: Table) -> dict[str, object]:
    """Lay the comparison out for machines: per class that people named, what the model said of it."""
    named = {"escapes": table.escapes, "overkill": table.overkill, "review": table.review}
    rates = {
        name: {"value": count.k / count.n if count.n else None, **msgspec.to_builtins(count)}
        for name, count in named.items()
    }
    return {"parts": table.parts, "table": {row.kind: row.model for row in table.rows}, **rates}


def _accepted_rightly(found: Inspection | None) -> bool:
    if found is not None and found.cause == Cause.OPERATOR:
        return found.manual_margin_ms is not None and found.manual_margin_ms >= 0
    return (
        found is not None
        and found.disposition == Disposition.ACCEPT
        and found.held_disposition == Disposition.ACCEPT
        and found.margin_ms is not None
        and found.margin_ms >= 0
    )


def _truths(layout: Layout) -> list[Truth]:
    lanes = {item["number"]: item["lane"] for item in map(json.loads, layout.physical.read_text("utf-8").splitlines())}
    return [
        Truth(item["number"], item["truth"], item["enter_counts"], lanes.get(item["number"], "reject"), item["source"])
        for item in map(json.loads, layout.truth.read_text("utf-8").splitlines())
    ]


def _match(
    truths: Sequence[Truth], rows: Sequence[Inspection], entered: Mapping[int, int]
) -> list[tuple[Truth, Inspection | None]]:
    """Join the plant's parts with the recorded ones by the place on the belt at which they entered."""
    by_place = {entered[row.id]: row for row in rows if row.id in entered}
    found = []
    for truth in truths:
        begin = truth.enter_counts
        near = [*range(begin - MATCH_COUNTS, begin + MATCH_COUNTS + 1), *range(begin, begin + PART_COUNTS)]
        found.append((truth, next((by_place[place] for place in near if place in by_place), None)))
    return found


def _account(collector: Collector, wanted: int) -> FrameCounts:
    """Give the cameras' account of the `wanted` views.

    Missed are also those that no acquire process lived to account for, and parts whose camera line was not fired.
    """
    counts = collector.frame_counts
    known = counts.good + counts.incomplete + counts.underrun + counts.missed
    triggers = max(wanted, sum(item.exposed is not None for item in collector.parts.values()))
    return FrameCounts(counts.good, counts.incomplete, counts.underrun, counts.missed + max(0, triggers - known))
