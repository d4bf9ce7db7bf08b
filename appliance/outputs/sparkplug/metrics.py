"""List every metric of the edge node and its device once, and say what each is worth; pure."""

import math
from collections.abc import Iterable, Mapping

from msgspec import Struct

from appliance.outputs.part_report import PartReport
from appliance.outputs.sparkplug.payload import DataType, Value
from appliance.schema.clocks import HostNs, S
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.line import JobMode, LineState

SILENCE = 5 * S
"""A unit speaks once a second; silent for so long it is told as failed."""

REBIRTH = "Node Control/Rebirth"
BDSEQ = "bdSeq"


class Definition(Struct, frozen=True):
    """Name one metric."""

    name: str
    datatype: DataType
    alias: int
    """Unique over node and device."""


_NODE = (
    ("Health/Condition", DataType.STRING),
    ("Health/Cause", DataType.STRING),
    ("Alarm/Unit", DataType.STRING),
    ("Alarm/Kind", DataType.STRING),
    ("Alarm/Text", DataType.STRING),
    ("Alarm/Part", DataType.STRING),
    ("Store/Dropped", DataType.INT64),
    ("Store/Repeated", DataType.INT64),
    ("Store/Doubtful", DataType.INT64),
    ("Commands/Ignored", DataType.INT64),
)
_DEVICE = (
    ("Result/Id", DataType.STRING),
    ("Result/Sequence", DataType.INT64),
    ("Result/Part", DataType.STRING),
    ("Result/Good", DataType.BOOLEAN),
    ("Result/Disposition", DataType.STRING),
    ("Result/Lane", DataType.STRING),
    ("Result/Cause", DataType.STRING),
    ("Result/Score", DataType.DOUBLE),
    ("Result/Latency ms", DataType.DOUBLE),
    ("Result/Bundle", DataType.STRING),
    ("Result/Recipe", DataType.STRING),
    ("Result/Recipe SHA-256", DataType.STRING),
    ("Count/Parts", DataType.INT64),
    ("Count/Accepted", DataType.INT64),
    ("Count/Rejected", DataType.INT64),
    ("Count/Late", DataType.INT64),
    ("Line/Ready", DataType.BOOLEAN),
    ("Line/Mode", DataType.STRING),
    ("Line/State", DataType.STRING),
    ("Line/Error", DataType.INT32),
    ("Line/Cause", DataType.STRING),
    ("Line/Job", DataType.STRING),
    ("Line/Synchronised", DataType.BOOLEAN),
)

NODE = tuple(Definition(name, kind, alias) for alias, (name, kind) in enumerate(_NODE, 1))
"""Metrics of the edge node itself, beside bdSeq and Node Control/Rebirth, which have no alias."""

DEVICE = tuple(Definition(name, kind, alias) for alias, (name, kind) in enumerate(_DEVICE, 1 + len(_NODE)))

BY_NAME = {definition.name: definition for definition in NODE + DEVICE}
ON_DEVICE = frozenset(definition.name for definition in DEVICE)


def result_values(told: PartReport) -> dict[str, Value]:
    """Give what one part's result is worth; `Result/Sequence` is the outbox's to add."""
    return {
        "Result/Id": told.result_id,
        "Result/Part": str(told.part),
        "Result/Good": told.good,
        "Result/Disposition": told.disposition.value,
        "Result/Lane": told.lane.value,
        "Result/Cause": told.cause.value,
        "Result/Score": _number(told.score),
        "Result/Latency ms": _number(told.latency_ms),
        "Result/Bundle": told.bundle or None,
        "Result/Recipe": told.recipe,
        "Result/Recipe SHA-256": told.recipe_sha256,
    }


def line_values(state: LineState) -> dict[str, Value]:
    """Give what the line's condition is worth."""
    return {
        "Count/Parts": state.parts,
        "Count/Accepted": state.accepted,
        "Count/Rejected": state.rejected,
        "Count/Late": state.late,
        "Line/Ready": state.ready,
        "Line/Mode": state.mode.value,
        "Line/State": packml_state(state),
        "Line/Error": state.error,
        "Line/Cause": state.cause,
        "Line/Job": state.job,
        "Line/Synchronised": not state.sync_lost,
    }


def alarm_values(alarm: Alarm) -> dict[str, Value]:
    """Give what an alarm is worth."""
    return {"Alarm/Unit": alarm.unit, "Alarm/Kind": alarm.kind, "Alarm/Text": alarm.text, "Alarm/Part": alarm.part}


def health_values(reports: Iterable[Health], now: HostNs) -> dict[str, Value]:
    """Give the worst condition of all units and its cause; no cause while all is well. A silent unit has failed."""
    order = list(Condition)
    heard = [health if now < health.at + SILENCE else _silent(health.unit) for health in reports]
    worst = max(heard, key=lambda health: order.index(health.condition), default=None)
    if worst is None:
        return {"Health/Condition": None, "Health/Cause": None}
    if worst.condition is Condition.OK:
        return {"Health/Condition": worst.condition.value, "Health/Cause": ""}
    part = max(worst.components, key=lambda component: order.index(component.condition), default=None)
    cause = f"{worst.unit} / {part.name}: {part.cause}" if part else worst.unit
    return {"Health/Condition": worst.condition.value, "Health/Cause": cause}


def packml_state(state: LineState) -> str:
    """Name the PackML state (ISA-TR88.00.02) that the line's condition comes nearest to; nothing acts on it."""
    if state.error or state.sync_lost:
        return "Aborted"
    if state.mode is JobMode.HALTED:
        return "Stopped"
    if state.mode is JobMode.IDLE:
        return "Idle"
    return "Execute" if state.ready else "Suspended"


def known(values: Mapping[str, Value]) -> dict[str, Value]:
    """Leave out what no definition names, as a row of an older version may hold."""
    return {name: value for name, value in values.items() if name in BY_NAME}


def _silent(unit: str) -> Health:
    return Health(unit, Condition.FAILED, (Component("service", Condition.FAILED, "silent"),), 0, HostNs(0))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
