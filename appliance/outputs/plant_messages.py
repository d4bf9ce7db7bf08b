"""Write the messages the plant reads on MQTT: one per actuation, one per alarm, and the station's state."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from appliance.outputs.channels import Heard
from appliance.outputs.outbox import ALARM, RESULT, Entry
from appliance.outputs.part_report import Identity, PartReport
from appliance.schema.actuation import HandActuation
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.health import Alarm
from appliance.schema.line import LineState
from appliance.schema.review import ManualVerdict

SCHEMA = "firstshift.result.1"
MANUAL_SCHEMA = "firstshift.manual.1"
HAND_SCHEMA = "firstshift.hand.1"
ALARM_SCHEMA = "firstshift.alarm.1"
STATE_SCHEMA = "firstshift.state.1"

TEXT_LIMIT = 4000
"""Characters of an alarm's text: a message that no broker takes would hold up its topic for ever."""


def entries(identity: Identity, message: Struct, heard: Heard) -> Sequence[Entry]:
    """Give the rows of a fact; none for what the plant is not told here."""
    match message:
        case PartReport():
            return (result_entry(identity, message, heard.utc),)
        case ManualVerdict():
            return (manual_entry(identity, message, heard.utc, heard.now),)
        case HandActuation():
            return (hand_entry(identity, message, heard.utc, heard.now),)
        case Alarm():
            return (alarm_entry(identity, message, heard),)
    return ()


def state_payload(identity: Identity, line: LineState | None) -> dict[str, Any]:
    """Give the station's state while it is online; `line` is None where nothing is heard of the line: never ready."""
    head = {"schema": STATE_SCHEMA, "online": True, "station": identity.station}
    if line is None:
        cause = "nothing is heard of the line"
        recipe = {"recipe": identity.recipe, "recipe_sha256": identity.recipe_sha256}
        return {**head, "mode": None, "ready": False, "cause": cause, "remedy": "firstshift check", **recipe}
    return {
        **head,
        "mode": line.mode.value,
        "handshake": line.handshake,
        "ready": line.ready,
        "busy": line.busy,
        "job": line.job,
        "error": line.error,
        "cause": line.cause,
        "remedy": line.remedy,
        "sync_lost": line.sync_lost,
        "plc_alive": line.plc_alive,
        "recipe": line.recipe or identity.recipe,
        "recipe_sha256": line.recipe_sha256 or identity.recipe_sha256,
        "recipe_number": line.recipe_number,
        "recipe_hash": f"{line.recipe_hash:08x}",
    }


def offline_payload(identity: Identity) -> bytes:
    """Give the station's state once it is gone; also its last will."""
    return msgspec.json.encode(
        {"schema": STATE_SCHEMA, "online": False, "station": identity.station, "mode": None, "ready": False}
    )


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
        "job": told.job or None,
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


def alarm_entry(identity: Identity, alarm: Alarm, heard: Heard) -> Entry:
    """Give the message that tells an alarm."""
    place = f"{heard.source[1]}:{heard.source[2]}" if heard.source else f"at:{alarm.at}:{alarm.kind}:{alarm.part}"
    key = f"{heard.topic}:{place}"
    payload = {
        "schema": ALARM_SCHEMA,
        "alarm_id": key,
        "unit": alarm.unit,
        "kind": alarm.kind,
        "text": alarm.text[:TEXT_LIMIT],
        "part": alarm.part,
        "raised": _utc(alarm.at or heard.now, heard.utc, heard.now),
    }
    return Entry(key, ALARM, f"{identity.prefix}/alarm", payload, *_delivery(identity, ALARM_SCHEMA, heard.utc))


def _delivery(identity: Identity, schema: str, utc_now: UtcNs) -> tuple[tuple[tuple[str, str], ...], UtcNs]:
    properties = (("schema", schema), ("recipe_sha256", identity.recipe_sha256))
    return properties, UtcNs(utc_now + identity.expiry_s * S)


def _utc(at: HostNs | None, utc_now: UtcNs, now: HostNs) -> str | None:
    return None if at is None else _iso(UtcNs(utc_now - (now - at)))


def _iso(at: UtcNs | None) -> str | None:
    """Write an instant as ISO 8601 in UTC, to the microsecond."""
    return None if at is None else datetime.fromtimestamp(at // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
