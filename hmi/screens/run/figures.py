"""Word what stands beside the picture: gauge, counters, notices, the line's own state. No Qt."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from appliance.config_people import Parallel
from appliance.decision.calibration import clopper_pearson
from appliance.decision.gauge import Gauge, zone
from appliance.governance.evidence import ParallelReport
from appliance.schema.line import JobMode, LineState
from appliance.schema.policy import Mode
from hmi.header import Speaks
from hmi.screens.run import wording
from hmi.state import StationState


def gauge_fields(gauge: Gauge | None, words: Speaks) -> dict[str, Any]:
    """Give where value, limits and captions stand, from the same numbers; `shown` False: nothing to show."""
    if gauge is None:
        return {
            "shown": False,
            "at": 0.0,
            "reject": 0.0,
            "accept": 0.0,
            "value": "",
            "rejectText": "",
            "acceptText": "",
        }
    below, above = ("<", ">") if gauge.is_confidence else (">", "\u2264")
    caption = words.tr("Confidence that it is good") if gauge.is_confidence else words.tr("Deviation from good parts")
    return {
        "shown": True,
        "at": gauge.place(gauge.value),
        "reject": gauge.place(gauge.reject),
        "accept": gauge.place(gauge.accept),
        "zone": zone(gauge).value,
        "value": words.number(gauge.value, 2),
        "caption": f"{caption} ({gauge.kind})" if gauge.kind else caption,
        "rejectText": words.tr("reject {sign} {limit}").format(sign=below, limit=words.number(gauge.reject, 2)),
        "acceptText": words.tr("accept {sign} {limit}").format(sign=above, limit=words.number(gauge.accept, 2)),
    }


def shift_fields(state: StationState, words: Speaks) -> dict[str, Any]:
    """Give the counters of the shift; yield: of the parts that met the gate, with its exact 95 % interval."""
    counts = state.counts
    low, high = _interval(counts.accepted, counts.parts)
    share = words.percent(counts.accepted / counts.parts) if counts.parts else "\u2013"
    since = words.tr("Shift since {time}").format(time=words.clock(counts.since))
    between = f"{words.percent(low)} \u2026 {words.percent(high)}" if counts.parts else "\u2013"
    return {
        "parts": words.number(counts.parts),
        "accepted": words.number(counts.accepted),
        "rejected": words.number(counts.rejected),
        "share": share,
        "interval": words.tr("95 %: {between}, n = {n}").format(between=between, n=words.number(counts.parts)),
        "since": words.tr("Line silent: old figures") if state.line_stale else since,
    }


def notices(state: StationState, first_cause: str, words: Speaks) -> Iterator[dict[str, str]]:
    """Yield what keeps the line from its work: silent services with what that means, then what the line says."""
    parallel = state.mode is Mode.PARALLEL
    for unit in state.absent:
        meaning = words.tr(wording.absence(unit, parallel=parallel))
        yield {
            "kind": "alarm",
            "text": words.tr("{unit} does not answer. {meaning}").format(unit=unit, meaning=meaning),
        }
    line = state.line
    if line is not None and not state.line_stale and line.cause:
        yield {"kind": "warning", "text": f"{line.cause}: {line.remedy}" if line.remedy else line.cause}
    if first_cause:
        yield {"kind": "warning", "text": first_cause}


def line_fields(state: StationState, words: Speaks) -> dict[str, Any]:
    """Give how the line stands and what may be asked of it."""
    line = state.line
    if line is None or "line" in state.absent:
        return {
            "mode": words.tr("No word from the line"),
            "cause": "",
            "start": False,
            "stop": False,
            "purge": False,
            "reset": False,
        }
    return {
        "mode": words.tr(wording.MODE_SAYS[line.mode]),
        "cause": f"{line.cause}: {line.remedy}" if line.cause and line.remedy else line.cause,
        "start": line.mode is JobMode.IDLE and not line.sync_lost,
        "stop": line.mode in {JobMode.SINGLE, JobMode.CONTINUOUS},
        "purge": line.sync_lost,
        "reset": _latched(line),
    }


def progress_fields(report: ParallelReport | None, wanted: Parallel, words: Speaks) -> dict[str, Any]:
    """Give hours and defects of parallel mode so far against what is required."""
    if report is None:
        return {"shown": False, "text": ""}
    hours, defects = report.table.hours, report.table.escapes.n
    text = words.tr("Compared so far: {hours} of {of_hours} h, {defects} of {of_defects} defects").format(
        hours=words.number(hours),
        of_hours=words.number(wanted.hours),
        defects=words.number(defects),
        of_defects=words.number(wanted.defects),
    )
    return {"shown": True, "text": text}


@lru_cache(maxsize=4)
def _interval(accepted: int, parts: int) -> tuple[float, float]:
    """Give the exact interval, found once for each count: it takes about a millisecond, and ten ticks a second ask."""
    return clopper_pearson(accepted, parts)


def _latched(line: LineState) -> bool:
    """Say whether a reset may have something to release; the line itself knows for certain."""
    return not line.sync_lost and (line.error != 0 or line.mode is JobMode.HALTED or bool(line.cause))
