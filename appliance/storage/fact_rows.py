"""Turn fact messages into table rows; nothing here touches a database."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from appliance.schema.actuation import Actuation, HandActuation, PlcAcknowledged
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.health import Alarm, AlarmStep
from appliance.schema.label import Label
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.person import Person
from appliance.schema.review import ManualVerdict, ReviewStep, Seeded, SeededAnswer
from appliance.schema.verdict import InspectionResult, SealedVerdict, ShadowResult, Verdict

Fact = (
    PartEntered
    | PartExposed
    | InspectionResult
    | Verdict
    | SealedVerdict
    | ShadowResult
    | Actuation
    | HandActuation
    | PlcAcknowledged
    | ManualVerdict
    | Seeded
    | ReviewStep
    | Label
    | SeededAnswer
    | Alarm
    | AlarmStep
    | Person
)

KEYS: Mapping[str, tuple[str, ...]] = {
    "entered": ("part",),
    "exposures": ("part", "camera", "trigger_index"),
    "results": ("part",),
    "verdicts": ("part",),
    "sealed_verdicts": ("part",),
    "shadow_results": ("part", "bundle"),
    "actuations": ("part",),
    "hand_actuations": ("verdict_id",),
    "manual_verdicts": ("verdict_id",),
    "seeds": ("part",),
    "review_steps": ("part", "number"),
    "plc_acknowledgements": ("part",),
    "labels": ("label_id",),
    "seeded_answers": ("label_id",),
    "people": ("event_id",),
    "alarm_steps": ("step_id",),
    "alarms": ("source_topic", "source_epoch", "source_sequence"),
}
"""What names one fact in its table."""


class Row(Struct, frozen=True):
    """Give a fact as a row."""

    table: str
    part: PartId | None
    """Part the fact is about; the store puts its row id into column `part`."""
    at: HostNs | None
    """Instant of the fact; None when the row brings its own UTC."""
    columns: dict[str, Any]


def row_of(fact: Fact) -> Row:  # noqa: C901, PLR0912  one case per fact, one line each
    """Give the row that holds a fact."""
    match fact:
        case PartEntered():
            return Row("entered", fact.part, fact.at, _entered(fact))
        case PartExposed():
            return Row("exposures", fact.part, fact.at, _exposed(fact))
        case InspectionResult():
            return Row("results", fact.part, fact.finished, _result(fact))
        case Verdict():
            return Row("verdicts", fact.part, fact.decided, _verdict(fact))
        case ShadowResult():
            return Row("shadow_results", fact.part, fact.finished, _shadow(fact))
        case SealedVerdict():
            return Row("sealed_verdicts", fact.part, fact.decided, _sealed(fact))
        case Actuation():
            return Row("actuations", fact.part, fact.at, _actuation(fact))
        case HandActuation():
            return Row("hand_actuations", fact.part, fact.at, _hand(fact))
        case ManualVerdict():
            return Row("manual_verdicts", fact.part, None, _manual(fact))
        case Seeded():
            return Row("seeds", fact.part, None, _seeded(fact))
        case ReviewStep():
            return Row("review_steps", fact.part, None, _step(fact))
        case PlcAcknowledged():
            return Row("plc_acknowledgements", fact.part, fact.acknowledged, _acknowledged(fact))
        case Label():
            return Row("labels", fact.part, None, _label(fact))
        case SeededAnswer():
            return Row("seeded_answers", fact.label.part, None, _seeded_answer(fact))
        case Person():
            return Row("people", None, None, _person(fact))
        case AlarmStep():
            return Row("alarm_steps", None, None, _alarm_step(fact))
        case Alarm():
            return Row("alarms", None, fact.at or None, _alarm(fact))


def utc_of(at: HostNs, host_now: HostNs, utc_now: UtcNs) -> UtcNs:
    """Carry an instant of this boot to UTC."""
    return UtcNs(utc_now - (host_now - at))


def same(held: Fact, other: Fact) -> bool:
    """Say whether two facts state the same.

    A fact read again from the microcontroller's memory has its host times worked out anew, so there its own stamps
    count: tick, counts and lane.
    """
    if isinstance(held, Actuation) and isinstance(other, Actuation) and (held.replayed or other.replayed):
        return (held.lane, held.at_tick, held.at_counts) == (other.lane, other.at_tick, other.at_counts)
    if isinstance(held, PartEntered) and isinstance(other, PartEntered) and (held.replayed or other.replayed):
        return (held.at_tick, held.at_counts) == (other.at_tick, other.at_counts)
    if isinstance(held, PartExposed) and isinstance(other, PartExposed):
        stamps = (other.trigger_index, other.at_tick, other.at_counts)
        return (held.trigger_index, held.at_tick, held.at_counts) == stamps
    if isinstance(held, HandActuation) and isinstance(other, HandActuation):  # told again by a line that restarted
        return (held.part, held.lane) == (other.part, other.lane)
    return held == other


def _entered(fact: PartEntered) -> dict[str, Any]:
    return {
        "at_ns": fact.at,
        "at_uncertainty_ns": fact.at_uncertainty_ns,
        "at_tick": fact.at_tick,
        "at_counts": fact.at_counts,
        "decide_by_ns": fact.decide_by,
        "cameras": _json(fact.cameras),
        "replayed": int(fact.replayed),
        "body": _body(fact),
    }


def _exposed(fact: PartExposed) -> dict[str, Any]:
    return {
        "camera": fact.camera,
        "trigger_index": fact.trigger_index,
        "at_ns": fact.at,
        "at_uncertainty_ns": fact.at_uncertainty_ns,
        "at_tick": fact.at_tick,
        "at_counts": fact.at_counts,
        "body": _body(fact),
    }


def _result(fact: InspectionResult) -> dict[str, Any]:
    return {
        "finished_ns": fact.finished,
        "bundle": fact.bundle,
        "runtime": fact.runtime,
        "precision": fact.precision,
        **msgspec.structs.asdict(fact.stages),
        "copies": fact.copies,
        "score": max((view.score for view in fact.views), default=None),
        "views": _json(fact.views),
        "body": _body(fact),
    }


def _verdict(fact: Verdict) -> dict[str, Any]:
    return {
        "disposition": fact.disposition.value,
        "reasons": _json(fact.reasons),
        "decided_ns": fact.decided,
        "decide_by_ns": fact.decide_by,
        "sequence": fact.sequence,
        "sampling": fact.sampling,
        "body": _body(fact),
    }


def _sealed(fact: SealedVerdict) -> dict[str, Any]:
    result = fact.result
    return {
        "disposition": fact.disposition.value,
        "reasons": _json(fact.reasons),
        "decided_ns": fact.decided,
        "decide_by_ns": fact.decide_by,
        "bundle": result.bundle,
        "runtime": result.runtime,
        "precision": result.precision,
        "score": max((view.score for view in result.views), default=None),
        "views": _json(result.views),
        "body": _body(fact),
    }


def _shadow(fact: ShadowResult) -> dict[str, Any]:
    return {
        "finished_ns": fact.finished,
        "bundle": fact.bundle,
        "runtime": fact.runtime,
        "precision": fact.precision,
        "disposition": fact.disposition.value,
        "reasons": _json(fact.reasons),
        "active": fact.active,
        "active_disposition": fact.active_disposition.value,
        "agrees": int(fact.agrees),
        "score": max((view.score for view in fact.views), default=None),
        "views": _json(fact.views),
        "body": _body(fact),
    }


def _actuation(fact: Actuation) -> dict[str, Any]:
    return {
        "lane": fact.lane.value,
        "cause": fact.cause.value,
        "disposition": fact.disposition.value,
        "verdict_sequence": fact.verdict_sequence,
        "at_ns": fact.at,
        "at_tick": fact.at_tick,
        "at_counts": fact.at_counts,
        "replayed": int(fact.replayed),
        "body": _body(fact),
    }


def _hand(fact: HandActuation) -> dict[str, Any]:
    return {
        "lane": fact.lane.value,
        "cause": fact.cause.value,
        "verdict_id": fact.verdict_id,
        "person": fact.person,
        "at_ns": fact.at,
        "body": _body(fact),
    }


def _manual(fact: ManualVerdict) -> dict[str, Any]:
    return {
        "verdict_id": fact.verdict_id,
        "utc_ns": fact.at,
        "accept": int(fact.accept),
        "kind": fact.kind,
        "person": fact.person,
        "occasion": fact.occasion.value,
        "seconds": fact.seconds,
        "prediction_shown": int(fact.prediction_shown),
        "decided_ns": fact.decided,
        "body": _body(fact),
    }


def _seeded(fact: Seeded) -> dict[str, Any]:
    return {"utc_ns": fact.at, "kind": fact.kind, "person": fact.person, "body": _body(fact)}


def _step(fact: ReviewStep) -> dict[str, Any]:
    return {
        "number": fact.number,
        "utc_ns": fact.at,
        "change": fact.change.value,
        "occasion": fact.occasion.value,
        "person": fact.person,
        "why": fact.why,
        "body": _body(fact),
    }


def _acknowledged(fact: PlcAcknowledged) -> dict[str, Any]:
    return {
        "result_sequence": fact.result_sequence,
        "posted_ns": fact.posted,
        "acknowledged_ns": fact.acknowledged,
        "body": _body(fact),
    }


def _label(fact: Label) -> dict[str, Any]:
    return {
        "label_id": fact.label_id,
        "utc_ns": fact.at,
        "level": int(fact.level),
        "person": fact.person,
        "kind": fact.kind,
        "seconds": fact.seconds,
        "prediction_shown": int(fact.prediction_shown),
        "purpose": fact.purpose.value,
        "previous": fact.previous,
        "old": fact.old,
        "reason": fact.reason,
        "body": _body(fact),
    }


def _seeded_answer(fact: SeededAnswer) -> dict[str, Any]:
    label = fact.label
    columns = {"label_id": label.label_id, "utc_ns": label.at, "person": label.person, "kind": label.kind}
    return {**columns, "body": _body(fact)}


def _person(fact: Person) -> dict[str, Any]:
    return {
        "event_id": fact.event_id,
        "person": fact.person,
        "utc_ns": fact.at,
        "role": fact.role.value,
        "level": int(fact.level),
        "badge_sha256": fact.badge_sha256,
        "active": int(fact.active),
        "changed_by": fact.by,
        "body": _body(fact),
    }


def _alarm_step(fact: AlarmStep) -> dict[str, Any]:
    return {
        "step_id": fact.step_id,
        "unit": fact.unit,
        "kind": fact.kind,
        "deed": fact.deed.value,
        "person": fact.person,
        "utc_ns": fact.at,
        "until_ns": fact.until,
        "why": fact.why,
        "body": _body(fact),
    }


def _alarm(fact: Alarm) -> dict[str, Any]:
    return {"unit": fact.unit, "kind": fact.kind, "text": fact.text, "part": fact.part, "body": _body(fact)}


def _body(fact: Struct) -> bytes:
    return msgspec.msgpack.encode(fact)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
