"""Hold the conditions of OPC 40100-1: each stays in sight while it holds, and until a person has confirmed it."""

from typing import Any

from asyncua import ua

from appliance.outputs.opcua.messages import ConditionChanged
from appliance.outputs.opcua.model import VISION_SYSTEM, Model
from appliance.outputs.opcua.narration import LATCHED_ERROR, LINE_SILENT, NOT_READY, SYNC_LOST

WARNING_CONDITION, ERROR_CONDITION, PERSISTENT_ERROR_CONDITION = 1034, 1035, 1036

INFORMATION, NOTICE, WARNED, SERIOUS = 100, 300, 500, 800
"""Severities out of 1 to 1000 (OPC 10000-5 section 6.4.2)."""

CONDITION_KINDS = {
    LATCHED_ERROR: ERROR_CONDITION,
    SYNC_LOST: PERSISTENT_ERROR_CONDITION,
    LINE_SILENT: ERROR_CONDITION,
    NOT_READY: WARNING_CONDITION,
}


class HeldCondition:
    """Hold one condition: it is retained while it holds, and after that until a person has confirmed it."""

    def __init__(self, name: str, event: Any, model: Model) -> None:
        self.node = model.id(f"{VISION_SYSTEM}.{name}")
        self.event = event
        self._is_warning = name == NOT_READY
        self._last: ConditionChanged | None = None
        event.add_property("NodeId", self.node, ua.VariantType.NodeId)
        event.ConditionName = name
        event.ConditionClassId = ua.NodeId(ua.ObjectIds.ProcessConditionClassType)
        event.ConditionClassName = ua.LocalizedText("ProcessConditionClassType")
        event.BranchId = ua.NodeId()
        event.Quality = ua.StatusCode(ua.StatusCodes.Good)
        event.Comment, event.ClientUserId = ua.LocalizedText(""), ""
        event.CausePath = VISION_SYSTEM
        setattr(event, "EnabledState/Id", True)
        event.EnabledState = ua.LocalizedText("Enabled", "en")
        event.LastSeverity, event.Retain = 0, False

    @property
    def is_open(self) -> bool:
        """Whether it waits for a person."""
        return self._last is not None and not getattr(self.event, "ConfirmedState/Id")

    def change(self, told: ConditionChanged) -> Any:
        """Let it come or go; gives the event to tell."""
        event, self._last = self.event, told
        event.LastSeverity = event.Severity
        event.Severity = (WARNED if self._is_warning else SERIOUS) if told.is_active else NOTICE
        event.ErrorCode, event.ErrorString = told.code, told.text
        event.StopReaction = event.BlockReaction = told.is_active and not self._is_warning
        if told.is_active:
            self._set(is_confirmed=False)
            event.Comment, event.ClientUserId = ua.LocalizedText(""), ""
        event.Retain = told.is_active or self.is_open
        return event

    def confirm(self, comment: ua.LocalizedText | None, user: str) -> ConditionChanged:
        """Note that a person has seen it; gives what it last told."""
        assert self._last is not None  # noqa: S101
        self._set(is_confirmed=True)
        self.event.Comment = comment or ua.LocalizedText("")
        self.event.ClientUserId = user
        self.event.Retain = self._last.is_active
        return self._last

    def _set(self, *, is_confirmed: bool) -> None:
        for state, yes, no in (
            ("AckedState", "Acknowledged", "Unacknowledged"),
            ("ConfirmedState", "Confirmed", "Unconfirmed"),
        ):
            setattr(self.event, f"{state}/Id", is_confirmed)
            setattr(self.event, state, ua.LocalizedText(yes if is_confirmed else no, "en"))
