"""Write what a snapshot says into the variables; only what changed."""

from typing import Any

import msgspec
from asyncua import ua

from appliance.outputs.opcua import values
from appliance.outputs.opcua.messages import Served, Snapshot
from appliance.outputs.opcua.model import HIDDEN, STATION, VISION_SYSTEM, Model, camel
from appliance.outputs.opcua.states import NAMES, Machine, packml, packml_mode, system_state
from appliance.outputs.plc.registers import STATUS_COUNT, unpack_status
from appliance.outputs.plc.variables import variables
from appliance.schema.line import LineState

MACHINE = f"{VISION_SYSTEM}.VisionStateMachine"
AUTOMATIC = f"{MACHINE}.AutomaticModeStateMachine"
NOT_HEARD = ua.StatusCodes.BadNoCommunication
"""Status of every value of the line while nothing is heard of it: an old value is never shown as a live one."""

WORDS = variables()

Shown = tuple[Any, int]
"""A value with its status code."""


class Display:
    """Hold what every variable shows; lives in the server's event loop."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._shown: dict[str, Shown] = {}

    async def show(self, snapshot: Snapshot) -> None:
        """Bring every variable to what the snapshot says."""
        found = _machine(self._model, snapshot.machine) | _line(snapshot) | _handshake(snapshot)
        text = snapshot.line.cause if snapshot.line is not None else "nothing is heard of the line"
        state = int(system_state(snapshot.line))
        found[f"{VISION_SYSTEM}.SystemState"] = ((state, text), ua.StatusCodes.Good)
        found[f"{STATION}.PackML.StateCurrent"] = (int(packml(snapshot.line)), ua.StatusCodes.Good)
        found[f"{STATION}.PackML.ModeCurrent"] = (int(packml_mode(snapshot.line)), ua.StatusCodes.Good)
        found[f"{STATION}.Server.LastRefusal"] = (snapshot.refusal, ua.StatusCodes.Good)
        await self._write(found)

    async def count(self, served: Served) -> None:
        """Show what the server itself counts."""
        counts = {"EventsTold": served.events, "Overflowed": served.overflowed, "Dropped": served.dropped}
        await self._write({f"{STATION}.Server.{name}": (n, ua.StatusCodes.Good) for name, n in counts.items()})

    async def _write(self, found: dict[str, Shown]) -> None:
        for path, shown in found.items():
            if self._shown.get(path) == shown:
                continue
            self._shown[path] = shown
            value, status = shown
            if path.endswith(".SystemState"):
                value = values.system_state(*value)
            kind = self._model.kinds[path]
            told = ua.DataValue(ua.Variant(value, kind), ua.StatusCode(status))
            await self._model.server.write_attribute_value(self._model.variables[path].nodeid, told)


def _machine(model: Model, machine: Machine) -> dict[str, Shown]:
    good = ua.StatusCodes.Good
    found: dict[str, Shown] = {
        f"{MACHINE}.CurrentState": (ua.LocalizedText(NAMES[machine.vision], "en"), good),
        f"{MACHINE}.CurrentState.Id": (model.states[machine.vision], good),
    }
    inner = machine.automatic
    status = good if inner is not None else ua.StatusCodes.BadStateNotActive
    name = ua.LocalizedText(NAMES[inner], "en") if inner is not None else ua.LocalizedText()
    node = model.states[inner] if inner is not None else ua.NodeId()
    return found | {f"{AUTOMATIC}.CurrentState": (name, status), f"{AUTOMATIC}.CurrentState.Id": (node, status)}


def _line(snapshot: Snapshot) -> dict[str, Shown]:
    line = snapshot.line
    found: dict[str, Shown] = {}
    for path, kind in LINE_FIELDS.items():
        value = getattr(line, path) if line is not None else kind()
        told = str(value) if kind is str else value
        status = ua.StatusCodes.Good if line is not None else NOT_HEARD
        found[f"{STATION}.Line.{camel(path)}"] = (told, status)
    return found


def _handshake(snapshot: Snapshot) -> dict[str, Shown]:
    words = snapshot.line.words if snapshot.line is not None else ()
    is_heard = len(words) == STATUS_COUNT
    status = unpack_status(words if is_heard else (0,) * STATUS_COUNT)
    code = ua.StatusCodes.Good if is_heard else NOT_HEARD
    return {f"{STATION}.Handshake.{word.browse_name}": (word.value(status), code) for word in WORDS}


def _line_fields() -> dict[str, type]:
    kinds = {entry.name: entry.type for entry in msgspec.structs.fields(LineState) if entry.name not in HIDDEN}
    return {name: kind if kind in {bool, int} else str for name, kind in kinds.items()}


LINE_FIELDS = _line_fields()
