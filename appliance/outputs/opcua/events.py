"""Tell events of OPC 40100-1 to whoever subscribed at the Server object or at the vision system.

asyncua 2.1.0 takes the type of an event's field from the value that its type node happens to hold; most hold none, and
the field is then sent as Null without a word. So the type of every field that is set here is named here.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.event_objects import BaseEvent
from asyncua.common.events import get_event_obj_from_type_node

from appliance.outputs.opcua import values
from appliance.outputs.opcua.conditions import (
    CONDITION_KINDS,
    INFORMATION,
    NOTICE,
    SERIOUS,
    WARNED,
    HeldCondition,
)
from appliance.outputs.opcua.messages import (
    AcquisitionDone,
    ConditionChanged,
    Event,
    JobEnded,
    JobStarted,
    Noted,
    RecipePrepared,
    ResultReady,
    StateChanged,
)
from appliance.outputs.opcua.model import VISION_SYSTEM, Model
from appliance.outputs.opcua.states import NAMES, Vision
from appliance.outputs.part_report import Identity

STATE_CHANGED, ERROR, ERROR_RESOLVED = 1018, 1019, 1020
JOB_STARTED, RECIPE_PREPARED, READY, RESULT_READY, ACQUISITION_DONE = 1013, 1022, 1023, 1024, 1025
DIAGNOSTIC_INFO = 1037

_V = ua.VariantType
_TYPES: dict[str, ua.VariantType] = {
    "CreationTime": _V.DateTime,
    "IsPartial": _V.Boolean,
    "IsSimulated": _V.Boolean,
    "ResultState": _V.Int32,
    "ResultContent": _V.Variant,
    "Transition/Id": _V.NodeId,
    "FromState/Id": _V.NodeId,
    "ToState/Id": _V.NodeId,
    "BlockReaction": _V.Boolean,
    "StopReaction": _V.Boolean,
    "CausePath": _V.String,
    "ErrorCode": _V.UInt64,
    "ErrorString": _V.String,
    "LastSeverity": _V.UInt16,
    "LastSeverity/SourceTimestamp": _V.DateTime,
    "Quality": _V.StatusCode,
    "Quality/SourceTimestamp": _V.DateTime,
    "Comment": _V.LocalizedText,
    "Comment/SourceTimestamp": _V.DateTime,
    "ClientUserId": _V.String,
    "NodeId": _V.NodeId,
}
_STRUCTURES = (
    "ResultId", "MeasId", "PartId", "ProductId", "JobId", "ProcessingTimes", "ExternalRecipeId", "InternalRecipeId",
    "ExternalConfigurationId", "InternalConfigurationId", "ExternalId", "InternalId",
)  # fmt: skip
_TYPES |= dict.fromkeys(_STRUCTURES, _V.ExtensionObject)


class Teller:
    """Tell events; lives in the server's event loop."""

    def __init__(self, model: Model, identity: Identity) -> None:
        self.told = 0
        self._model = model
        self._identity = identity
        self._blank: dict[int, Any] = {}
        self._held: dict[str, HeldCondition] = {}

    async def prepare(self) -> None:
        """Read the event types once."""
        for kind in (
            STATE_CHANGED, ERROR, ERROR_RESOLVED, JOB_STARTED, RECIPE_PREPARED, READY, RESULT_READY, ACQUISITION_DONE,
            DIAGNOSTIC_INFO,
        ):  # fmt: skip
            self._blank[kind] = await self._event_of(kind)
        for name, kind in CONDITION_KINDS.items():
            self._held[name] = HeldCondition(name, await self._event_of(kind), self._model)
            node = self._model.id(f"{VISION_SYSTEM}.{name}")
            parent = self._model.server.get_node(self._model.vision_system)
            await parent.add_object(node, ua.QualifiedName(name, self._model.ours))

    async def tell(self, event: Event) -> None:
        """Put an event into the queue of every subscriber that wants it."""
        match event:
            case StateChanged():
                await self._state_changed(event)
            case JobStarted():
                await self._say(JOB_STARTED, event, f"job {event.job} runs", JobId=values.job_id(event.job))
            case JobEnded():
                await self._say(READY, event, "ready for another job", JobId=values.job_id(event.job))
            case AcquisitionDone():
                text = f"every image of part {event.part} was taken"
                await self._say(ACQUISITION_DONE, event, text, JobId=values.job_id(event.job))
            case RecipePrepared():
                await self._recipe_prepared(event)
            case ResultReady():
                told = event.report
                text = f"part {told.part}: {told.disposition}, lane {told.lane}"
                await self._say(RESULT_READY, event, text, **values.result_fields(event, self._identity))
            case Noted():
                text = f"{event.unit}: {event.text}"
                await self._say(DIAGNOSTIC_INFO, event, text, severity=WARNED, CausePath=event.kind)
            case ConditionChanged():
                await self._fire(self._held[event.name].change(event), event, event.text)

    async def acknowledge(self, node: ua.NodeId, comment: ua.LocalizedText | None, user: str) -> bool:
        """Note that a person has seen a condition; False when there is none of that id that waits for it."""
        for condition in self._held.values():
            if condition.node == node and condition.is_open:
                await self._confirm(condition, comment, user)
                return True
        return False

    async def confirm_all(self, comment: ua.LocalizedText | None, user: str) -> int:
        """Note that a person has seen every condition; gives how many waited for it."""
        waiting = [condition for condition in self._held.values() if condition.is_open]
        for condition in waiting:
            await self._confirm(condition, comment, user)
        return len(waiting)

    async def refresh(self, subscription: int) -> None:
        """Send a subscription every condition that is retained, between the two events that mark a refresh."""
        retained = [held.event for held in self._held.values() if held.event.Retain]
        for kind, events in ((ua.ObjectIds.RefreshStartEventType, retained), (ua.ObjectIds.RefreshEndEventType, [])):
            mark = BaseEvent(ua.NodeId(ua.ObjectIds.Server), "condition refresh", INFORMATION)
            mark.EventType, mark.SourceName = ua.NodeId(kind), "Server"
            mark.EventId, mark.Time = uuid.uuid4().bytes, datetime.now(UTC)
            mark.ReceiveTime = mark.Time
            for event in (mark, *events):
                await self._send(event, subscription)

    async def _confirm(self, condition: HeldCondition, comment: ua.LocalizedText | None, user: str) -> None:
        last = condition.confirm(comment, user)
        await self._fire(condition.event, last, last.text)

    async def _state_changed(self, event: StateChanged) -> None:
        step, model = event.step, self._model
        fields = {
            "Transition": ua.LocalizedText(step.name, "en"),
            "Transition/Id": model.transitions[step.name],
            "FromState": ua.LocalizedText(NAMES[step.before], "en"),
            "FromState/Id": model.states[step.before],
            "ToState": ua.LocalizedText(NAMES[step.after], "en"),
            "ToState/Id": model.states[step.after],
        }
        text = event.text or f"{NAMES[step.before]} to {NAMES[step.after]}"
        await self._say(STATE_CHANGED, event, text, **fields)
        if step.after is Vision.ERROR:
            await self._say(ERROR, event, text, severity=SERIOUS, **fields)
        elif step.before is Vision.ERROR:
            await self._say(ERROR_RESOLVED, event, text, severity=NOTICE, **fields)

    async def _recipe_prepared(self, event: RecipePrepared) -> None:
        fields = {
            "ExternalId": values.recipe_id("External", event.recipe, event.sha256),
            "InternalId": values.recipe_id("Internal", event.recipe, event.sha256),
            "ProductId": ua.ProductIdDataType(Id=""),
        }
        await self._say(RECIPE_PREPARED, event, f"recipe {event.recipe} is in force", **fields)

    async def _say(self, kind: int, told: Event, text: str, severity: int = INFORMATION, **fields: Any) -> None:
        event = self._blank[kind]
        event.Severity = severity
        for name, value in fields.items():
            setattr(event, name, value)
        await self._fire(event, told, text)

    async def _fire(self, event: Any, told: Event, text: str) -> None:
        event.EventId = uuid.uuid4().bytes
        event.Time, event.ReceiveTime = values.instant(told.at), datetime.now(UTC)
        event.Message = ua.LocalizedText(text, "en")
        for subscription in list(self._model.server.iserver.subscription_service.subscriptions):
            await self._send(event, subscription)
        self.told += 1

    async def _send(self, event: Any, subscription: int) -> None:
        """Put an event into one subscription's queues, for those who listen at either object."""
        service = self._model.server.iserver.subscription_service
        for emitter in (ua.NodeId(ua.ObjectIds.Server), self._model.vision_system):
            event.emitting_node = emitter
            await service.trigger_event(event, subscription_id=subscription)

    async def _event_of(self, kind: int) -> Any:
        node = self._model.server.get_node(ua.NodeId(kind, self._model.spec))
        event = await get_event_obj_from_type_node(node)
        event.EventType = node.nodeid
        event.SourceNode, event.SourceName = self._model.vision_system, VISION_SYSTEM
        event.LocalTime = ua.TimeZoneDataType(Offset=0, DaylightSavingInOffset=False)
        event.data_types |= {name: kind_ for name, kind_ in _TYPES.items() if name in event.data_types}
        untyped = [name for name, kind_ in event.data_types.items() if not isinstance(kind_, ua.VariantType)]
        event.data_types |= dict.fromkeys(untyped, _V.DateTime)  # asyncua names UtcTime by its data type's node
        return event
