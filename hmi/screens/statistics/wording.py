"""Put the figures of a shift into the words of the screen; every share with its count and its interval. No Qt."""

from collections.abc import Sequence
from typing import Any

from appliance.decision.escapes import Share
from appliance.monitoring.pareto import REST, Slice
from appliance.schema.actuation import Cause
from appliance.schema.clocks import S
from appliance.schema.label import GOOD
from appliance.schema.verdict import Reason
from appliance.storage.shift_queries import NO_FINDING
from hmi.screens.alarms.wording import Speaks
from hmi.screens.statistics.report import Report

WHY = {
    Reason.ABOVE_REJECT_LIMIT: "Above the reject limit",
    Reason.BETWEEN_LIMITS: "Between the limits",
    Reason.UNCALIBRATED: "Model without limits",
    Reason.RULE_BROKEN: "Rule broken",
    Reason.VIEW_MISSING: "Picture missing",
    Reason.FRAME_INCOMPLETE: "Picture incomplete",
    Reason.FRAME_OVERWRITTEN: "Picture overwritten",
    Reason.PAIRING_MISMATCH: "Picture of another part",
    Reason.PAIRING_UNPROVEN: "Picture unproven",
    Reason.TOO_LATE: "Verdict too late",
    Reason.MODEL_FAULT: "Model failed",
    Reason.NO_BUNDLE: "No model",
    Reason.UNKNOWN_DEFECT: "Unknown appearance",
    Reason.NOVELTY_MISSING: "Unknown parts cannot be told",
    Reason.BETWEEN_BANDS: "Model unsure",
    Reason.LOW_CONFIDENCE: "Model sure of a defect",
    Reason.NOT_CONFIRMED: "Not confirmed",
    Reason.PROMISE_EXPIRED: "Promise void",
    Cause.ACCEPTED: "Accepted",
    Cause.DECIDED_REJECT: "Rejected by the verdict",
    Cause.NO_VERDICT: "No verdict in time",
    Cause.LATE: "Verdict too late",
    Cause.HOST_LOST: "Computer not heard",
    Cause.OLD_SESSION: "Link restarted",
    Cause.FAULT: "Fault latched",
    Cause.NOT_ARMED: "Gate not armed",
    Cause.TOO_CLOSE: "Parts too close",
    Cause.GATE_LATE: "Gate too slow",
    Cause.OPERATOR: "Rejected by a person",
    Cause.PLC_NOT_READY: "PLC not ready",
    Cause.CHANGEOVER: "Recipe change",
    Cause.NO_JOB: "No job",
    NO_FINDING: "Without a finding",
}
"""Short names of why a part was rejected."""


def of(share: Share, words: Speaks) -> str:
    """Give a share in one line: 75.3 % (113 of 150; 67.6 to 82.0 %)."""
    if share.value is None:
        return words.tr("nothing counted yet")
    told = words.tr("{share} ({k} of {n}; {low} to {high})")
    return told.format(share=words.percent(share.value), **_ends(share, words))


def card(caption: str, share: Share, words: Speaks) -> dict[str, str]:
    """Give a figure with what it stands on."""
    if share.value is None:
        return {"caption": words.tr(caption), "value": "\u2013", "said": words.tr("nothing counted yet"), "range": ""}
    return {
        "caption": words.tr(caption),
        "value": words.percent(share.value),
        "said": words.tr("{k} of {n}").format(k=words.number(share.k), n=words.number(share.n)),
        "range": words.tr("95 %: {low} to {high}").format(low=words.percent(share.low), high=words.percent(share.high)),
    }


CAPTIONS = ("Accepted", "First-pass yield", "Rejected", "To review", "Unknown", "No verdict")
MODELS = frozenset(CAPTIONS) - {"Accepted", "Rejected"}
"""Figures that tell what the model said; the gate's lanes tell what people decided."""


def cards(report: Report, waiting: int | None, words: Speaks) -> list[dict[str, str]]:
    """Give the figures of the shift."""
    counts = report.counts
    shares = (
        report.accepted,
        report.first_pass,
        report.rejected,
        report.reviewed,
        report.unknown,
        report.no_verdict,
    )
    under_way = counts.lanes.get("", 0)
    hours = max(((counts.last or 0) - report.shift.begin) / (3600 * S), 1 / 60)
    rate = words.tr("{n} an hour").format(n=words.number(counts.parts / hours)) if counts.parts else ""
    parts = {
        "caption": words.tr("Parts"),
        "value": words.number(counts.parts),
        "said": rate,
        "range": words.tr("{n} under way").format(n=words.number(under_way)) if under_way else "",
    }
    load = {
        "caption": words.tr("Wait for a person now"),
        "value": words.number(waiting) if waiting is not None else "\u2013",
        "said": "",
        "range": "",
    }
    pairs = zip(CAPTIONS, shares, strict=True)
    found = [
        _sealed(caption, words) if report.is_sealed and caption in MODELS else card(caption, share, words)
        for caption, share in pairs
    ]
    return [parts, *found, load]


def _sealed(caption: str, words: Speaks) -> dict[str, str]:
    return {
        "caption": words.tr(caption),
        "value": "\u2013",
        "said": words.tr("sealed in parallel mode"),
        "range": "",
    }


def bars(slices: Sequence[Slice], words: Speaks) -> list[dict[str, Any]]:
    """Give the rows of a Pareto chart."""
    return [
        {
            "name": words.tr("{n} others").format(n=words.number(one.merged))
            if one.name == REST
            else words.tr(WHY[one.name]) if one.name in WHY else _kind(one.name, words),
            "share": one.share.value or 0.0,
            "low": one.share.low,
            "high": one.share.high,
            "cumulative": one.cumulative,
            "text": words.tr("{k}: {share} ({low} to {high}), sum {sum}").format(
                share=words.percent(one.share.value or 0.0),
                sum=words.percent(one.cumulative, 0),
                **_ends(one.share, words),
            ),
        }
        for one in slices
    ]  # fmt: skip


PEOPLE_HEAD = ("Person", "Decisions", "Labels", "Time per label", "Agrees with what stands")


def people(report: Report, words: Speaks) -> dict[str, Any]:
    """Give the table of people."""
    rows = [
        [
            one.counts.person,
            words.number(one.counts.decisions),
            words.number(one.counts.labels),
            words.tr("{n} s").format(n=words.number(one.counts.median_s, 1))
            if one.counts.median_s is not None
            else "\u2013",
            of(one.agreement, words) if one.agreement.n else "\u2013",
        ]
        for one in report.people
    ]
    return {"head": [words.tr(one) for one in PEOPLE_HEAD], "rows": rows, "wide": [4, 4, 3, 4, 8]}


SEED_HEAD = ("Known defect", "Accepted by the model", "Accepted by people")


def escapes(report: Report, words: Speaks) -> dict[str, Any]:
    """Give the estimate of escapes in sentences, and the table of known defects put on the line."""
    found = report.escapes
    if found is None:
        return {"lines": [words.tr("No model has judged a part yet")], "head": [], "rows": [], "wide": []}
    value = words.percent(found.value, 2) if found.value is not None else "\u2013"
    lines = [
        words.tr("Defective parts among those that the model accepts: {share}, between {low} and {high} (95 %)").format(
            share=value, low=words.percent(found.low, 2), high=words.percent(found.high, 2)
        ),
        words.tr(
            "Random sample: {found} defective of {n} inspected, {missing} not inspected yet, out of {parts}"
        ).format(
            found=words.number(found.found),
            n=words.number(found.inspected),
            missing=words.number(found.missing),
            parts=words.number(found.parts),
        ),
    ]
    rows = [[_kind(one.kind, words), of(one.model, words), of(one.people, words)] for one in report.seeds]
    return {"lines": lines, "head": [words.tr(one) for one in SEED_HEAD], "rows": rows, "wide": [3, 5, 5]}


PARALLEL_HEAD = ("Class by people", "Parts", "Accepted by the model")


def parallel(report: Report, words: Speaks) -> dict[str, Any]:
    """Give the comparison of people and model over the parts of parallel mode that people have decided."""
    table = report.parallel
    if table is None:
        return {"lines": [], "head": [], "rows": [], "wide": []}
    told = (
        ("Escapes", table.escapes),
        ("Good parts held back", table.overkill),
        ("To review", table.review),
        ("No verdict", table.no_verdict),
    )
    lines = [
        words.tr("{n} parts compared in {hours} hours").format(
            n=words.number(table.parts), hours=words.number(table.hours)
        ),
        *(f"{words.tr(name)}: {_count(one.k, one.n, one.low, one.high, words)}" for name, one in told),
    ]
    rows = [
        [
            _kind(row.kind, words),
            words.number(sum(row.model.values())),
            _count(row.accepted.k, row.accepted.n, row.accepted.low, row.accepted.high, words),
        ]
        for row in table.rows
    ]
    return {"lines": lines, "head": [words.tr(one) for one in PARALLEL_HEAD], "rows": rows, "wide": [3, 2, 6]}


def _kind(kind: str, words: Speaks) -> str:
    """Name a class as people read it; of the plant's own words few stand in the catalogue."""
    plain = kind.replace("_", " ")
    return words.tr("Good part") if kind == GOOD else words.tr(plain[:1].upper() + plain[1:])


def _count(k: int, n: int, low: float, high: float, words: Speaks) -> str:
    return of(Share(k / n if n else None, k, n, low, high), words)


def _ends(share: Share, words: Speaks) -> dict[str, str]:
    return {
        "k": words.number(share.k),
        "n": words.number(share.n),
        "low": words.percent(share.low),
        "high": words.percent(share.high),
    }
