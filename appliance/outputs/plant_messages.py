"""Write the messages the plant reads: one per actuation, one per alarm."""

import math
from datetime import UTC, datetime

from appliance.outputs.outbox import ALARM, RESULT, Entry
from appliance.outputs.part_report import Identity, PartReport
from appliance.schema.actuation import HandActuation
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.health import Alarm
from appliance.schema.review import ManualVerdict

SCHEMA = "firstshift.result.1"
MANUAL_SCHEMA = "firstshift.manual.1"
HAND_SCHEMA = "firstshift.hand.1"
ALARM_SCHEMA = "firstshift.alarm.1"


def result_entry(identity: Identity, told: PartReport, utc_now: UtcNs) -> Entry:
    """Give the message that tells what became of a part; its id depends on station and part alone."""
    payload = {
        "schema": SCHEMA,
        "result_id": told.result_id,
        "station": identity.station,
        "part": str(told.part),
        "disposition": told.disposition.value,
        "lane": told.lane.value,
        "cause": told.cause.value,
        "verdict": told.verdict.value if told.verdict else None,
        "reasons": list(told.reasons),
        "bundle": told.bundle or None,
        "precision": told.precision or None,
        "recipe": told.recipe,
        "recipe_sha256": told.recipe_sha256,
        "latency_ms": None if math.isnan(told.latency_ms) else told.latency_ms,
        "entered": _iso(told.entered),
        "decided": _iso(told.decided),
        "actuated": _iso(told.actuated),
        "replayed": told.replayed,
    }
    key = f"result:{told.part}"
    return Entry(key, RESULT, f"{identity.prefix}/result", payload, *_delivery(identity, SCHEMA, utc_now))


def manual_entry(identity: Identity, verdict: ManualVerdict, utc_now: UtcNs, now: HostNs) -> Entry:
    """Give the message that tells what a person decided about a part; the person stays in the record."""
    payload = {
        "schema": MANUAL_SCHEMA,
        "verdict_id": verdict.verdict_id,
        "station": identity.station,
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
        "station": identity.station,
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
    return None if at is None else _iso(UtcNs(utc_now - (now - at)))


def _iso(at: UtcNs | None) -> str | None:
    """Write an instant as ISO 8601 in UTC, to the microsecond."""
    return None if at is None else datetime.fromtimestamp(at // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
