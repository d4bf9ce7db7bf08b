"""Turn facts into the outbox's rows and back; pure. One row is one NDATA or DDATA."""

from typing import Any

import msgspec
from msgspec import Struct

from appliance.outputs.channels import Heard
from appliance.outputs.outbox import ALARM, RESULT, Entry, Waiting
from appliance.outputs.part_report import PartReport
from appliance.outputs.sparkplug.metrics import alarm_values, result_values
from appliance.outputs.sparkplug.payload import Value
from appliance.schema.clocks import MS, UtcNs
from appliance.schema.health import Alarm

NDATA, DDATA = "NDATA", "DDATA"
"""Rows have the message kind for their topic: alarms are the node's, results the device's."""

NEVER = UtcNs((1 << 63) - 1)
"""Stored values do not expire; `sparkplug.limit` bounds them."""


class _Row(Struct, frozen=True):
    values: dict[str, Any]
    at_ms: int
    told_ms: int


def entries(message: Struct, heard: Heard) -> tuple[Entry, ...]:
    """Give the rows of a fact: one per part's result and one per alarm."""
    match message:
        case PartReport():
            row = _Row(result_values(message), message.actuated // MS, heard.utc // MS)
            return (Entry(f"result:{message.result_id}", RESULT, DDATA, msgspec.to_builtins(row), (), NEVER),)
        case Alarm():
            raised = heard.utc - (heard.now - message.at) if message.at else heard.utc
            place = heard.source or (heard.topic, 0, raised)
            row = _Row(alarm_values(message), raised // MS, heard.utc // MS)
            key = f"alarm:{place[0]}:{place[1]}:{place[2]}:{message.kind}"
            return (Entry(key, ALARM, NDATA, msgspec.to_builtins(row), (), NEVER),)
    return ()


def read(row: Waiting) -> tuple[dict[str, Value], int, int]:
    """Give a row's values, when they were so, and when they were told here: both in ms since 1970-01-01 UTC."""
    stored = msgspec.json.decode(row.payload, type=_Row)
    values: dict[str, Value] = dict(stored.values)
    if row.topic == DDATA:
        values["Result/Sequence"] = row.sequence
    return values, stored.at_ms, stored.told_ms
