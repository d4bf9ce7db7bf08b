"""Write the messages the plant reads: one per actuation, one per alarm."""

from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import Struct

from appliance.outputs.outbox import ALARM, RESULT, Entry
from appliance.schema.actuation import Actuation, HandActuation
from appliance.schema.clocks import MS, HostNs, S, UtcNs
from appliance.schema.health import Alarm
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import InspectionResult, Verdict

SCHEMA = "firstshift.result.1"
MANUAL_SCHEMA = "firstshift.manual.1"
HAND_SCHEMA = "firstshift.hand.1"
ALARM_SCHEMA = "firstshift.alarm.1"


@dataclass
class PartFacts:
    """Hold what is known of a part until its actuation is told."""

    entered: HostNs | None = None
    exposed: HostNs | None = None
    """Its last camera trigger."""
    result: InspectionResult | None = None
    verdict: Verdict | None = None


class Identity(Struct, frozen=True):
    """Name the station and what it inspects, for every message."""

    prefix: str
    """`insp/v1/<site>/<line>/<station>`."""
    recipe: str
    recipe_sha256: str
    config_digest: str
    expiry_s: int
    pid: int


def result_entry(identity: Identity, actuation: Actuation, part: PartFacts, utc_now: UtcNs, now: HostNs) -> Entry:
    """Give the message that tells what became of a part; its id depends on station and part alone."""
    result, verdict = part.result, part.verdict
    trigger = part.exposed if part.exposed is not None else part.entered
    station = identity.prefix.removeprefix("insp/v1/")
    payload = {
        "schema": SCHEMA,
        "result_id": f"{station}/{actuation.part}",
        "station": station,
        "part": str(actuation.part),
        "disposition": actuation.disposition.value,
        "lane": actuation.lane.value,
        "cause": actuation.cause.value,
        "verdict": verdict.disposition.value if verdict else None,
        "reasons": [reason.value for reason in verdict.reasons] if verdict else [],
        "bundle": result.bundle if result else None,
        "precision": result.precision if result else None,
        "recipe": identity.recipe,
        "recipe_sha256": identity.recipe_sha256,
        "latency_ms": (verdict.decided - trigger) / MS if verdict and trigger is not None else None,
        "entered": _utc(part.entered, utc_now, now),
        "decided": _utc(verdict.decided if verdict else None, utc_now, now),
        "actuated": _utc(actuation.at, utc_now, now),
        "replayed": actuation.replayed,
    }
    key = f"result:{actuation.part}"
    return Entry(key, RESULT, f"{identity.prefix}/result", payload, *_delivery(identity, SCHEMA, utc_now))


def manual_entry(identity: Identity, verdict: ManualVerdict, utc_now: UtcNs, now: HostNs) -> Entry:
    """Give the message that tells what a person decided about a part; the person stays in the record."""
    payload = {
        "schema": MANUAL_SCHEMA,
        "verdict_id": verdict.verdict_id,
        "station": identity.prefix.removeprefix("insp/v1/"),
        "part": str(verdict.part),
        "accept": verdict.accept,
        "kind": verdict.kind,
        "occasion": verdict.occasion.value,
        "decided": _utc(verdict.decided, utc_now, now),
    }
    key = f"manual:{verdict.verdict_id}"
    return Entry(key, RESULT, f"{identity.prefix}/manual", payload, *_delivery(identity, MANUAL_SCHEMA, utc_now))


def hand_entry(identity: Identity, hand: HandActuation, utc_now: UtcNs, now: HostNs) -> Entry:
    """Give the message that tells where a person put a part after the gate."""
    payload = {
        "schema": HAND_SCHEMA,
        "verdict_id": hand.verdict_id,
        "station": identity.prefix.removeprefix("insp/v1/"),
        "part": str(hand.part),
        "lane": hand.lane.value,
        "moved": _utc(hand.at, utc_now, now),
    }
    key = f"hand:{hand.verdict_id}"
    return Entry(key, RESULT, f"{identity.prefix}/hand", payload, *_delivery(identity, HAND_SCHEMA, utc_now))


def alarm_entry(
    identity: Identity, topic: str, source: tuple[str, int, int] | None, alarm: Alarm, utc_now: UtcNs, now: HostNs
) -> Entry:
    """Give the message that tells an alarm."""
    place = f"{source[1]}:{source[2]}" if source else f"at:{alarm.at}:{alarm.kind}:{alarm.part}"
    payload = {
        "schema": ALARM_SCHEMA,
        "alarm_id": f"{topic}:{place}",
        "unit": alarm.unit,
        "kind": alarm.kind,
        "text": alarm.text,
        "part": alarm.part,
        "raised": _utc(alarm.at or now, utc_now, now),
    }
    key = f"{topic}:{place}"
    return Entry(key, ALARM, f"{identity.prefix}/alarm", payload, *_delivery(identity, ALARM_SCHEMA, utc_now))


def _delivery(identity: Identity, schema: str, utc_now: UtcNs) -> tuple[tuple[tuple[str, str], ...], UtcNs]:
    properties = (("schema", schema), ("recipe_sha256", identity.recipe_sha256))
    return properties, UtcNs(utc_now + identity.expiry_s * S)


def _utc(at: HostNs | None, utc_now: UtcNs, now: HostNs) -> str | None:
    """Write an instant as ISO 8601 in UTC, to the microsecond."""
    if at is None:
        return None
    return datetime.fromtimestamp((utc_now - (now - at)) // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
