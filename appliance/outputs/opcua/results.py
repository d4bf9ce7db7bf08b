"""Keep the last results in memory for GetResultById and GetResultListFiltered; pure."""

import math
from collections import OrderedDict
from enum import IntEnum

import msgspec
from msgspec import Struct

from appliance.outputs.opcua.messages import ResultReady
from appliance.outputs.part_report import PartReport
from appliance.schema.actuation import Cause
from appliance.schema.clocks import UtcNs
from appliance.schema.verdict import Disposition

HELD = 100
"""Results held; a client that was away for longer reads the record database."""

SCHEMA = "firstshift.content.1"
"""Names the JSON of ResultContent; what it shares with MQTT's result message has the same name there."""


class ResultState(IntEnum):
    """Number the values of ResultStateDataType of OPC 40100-1."""

    UNDEFINED = 0
    COMPLETED = 1
    PROCESSING = 2
    ABORTED = 3
    FAILED = 4


_CARRIED_OUT = frozenset({Cause.ACCEPTED, Cause.DECIDED_REJECT, Cause.OPERATOR})
_BROKEN_OFF = frozenset({Cause.FAULT, Cause.OLD_SESSION, Cause.NOT_ARMED, Cause.HOST_LOST})


class Wanted(Struct, frozen=True):
    """Filter results; an empty text and UNDEFINED let everything pass."""

    state: int = ResultState.UNDEFINED
    measurement: str = ""
    part: str = ""
    """The part's id, or the client's own name of it."""
    recipe: str = ""
    configuration: str = ""
    product: str = ""
    job: str = ""


class Results:
    """Hold the last results, oldest first, one for each part."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, ResultReady] = OrderedDict()

    def keep(self, result: ResultReady) -> None:
        """Keep a result; the oldest goes when there are too many."""
        self._held[result.report.result_id] = result
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def find(self, result_id: str) -> ResultReady | None:
        """Give the result of that id; None when it is not held, or not any more."""
        return self._held.get(result_id)

    def choose(self, wanted: Wanted, configuration: str) -> list[ResultReady]:
        """Give the results that pass the filter, oldest first."""
        if wanted.configuration not in {"", configuration}:
            return []
        return [result for result in self._held.values() if _passes(result, wanted)]


def _passes(result: ResultReady, wanted: Wanted) -> bool:
    told = result.report
    return (
        wanted.state in {ResultState.UNDEFINED, result_state(told)}
        and wanted.measurement in {"", result.measurement}
        and wanted.part in {"", str(told.part), result.part_name}
        and wanted.recipe in {"", told.recipe}
        and wanted.product in {"", result.product}
        and wanted.job in {"", result.job}
    )


def result_state(told: PartReport) -> ResultState:
    """Say how far the inspection came; it says nothing about good or bad."""
    if told.cause in _CARRIED_OUT and told.disposition is not Disposition.NO_VERDICT:
        return ResultState.COMPLETED
    return ResultState.ABORTED if told.cause in _BROKEN_OFF else ResultState.FAILED


def content(told: PartReport) -> str:
    """Write the result as JSON, the first and only entry of ResultContent. `good` alone opens a lane for a part."""
    return msgspec.json.encode({
        "schema": SCHEMA,
        "result_id": told.result_id,
        "part": str(told.part),
        "good": told.good,
        "disposition": told.disposition.value,
        "lane": told.lane.value,
        "cause": told.cause.value,
        "verdict": told.verdict.value if told.verdict else None,
        "reasons": list(told.reasons),
        "bundle": told.bundle or None,
        "precision": told.precision or None,
        "recipe": told.recipe,
        "recipe_sha256": told.recipe_sha256,
        "score": _number(told.score),
        "latency_ms": _number(told.latency_ms),
        "replayed": told.replayed,
    }).decode()  # fmt: skip


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def created(result: ResultReady) -> UtcNs:
    """Give the instant at which the part met the gate."""
    return result.report.actuated
