"""Answer the methods of OPC 40100-1: what moves the line is asked of `line`, what only reads is answered here.

Good means that `line` has granted the wish; Error is 0 then. A wish that it refuses is BadInvalidState, and
`Station.Server.LastRefusal` says why; one that is not answered in time is BadTimeout, and may still be obeyed. A method
that this appliance does not have is not executable, and BadNotSupported.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asyncua import ua

from appliance.outputs.opcua import arguments as read
from appliance.outputs.opcua import values
from appliance.outputs.opcua.events import Teller
from appliance.outputs.opcua.lookups import Lookups, error
from appliance.outputs.opcua.messages import Answered, Wished
from appliance.outputs.opcua.model import VISION_SYSTEM, Model
from appliance.outputs.opcua.seam import Security
from appliance.outputs.opcua.states import Vision
from appliance.outputs.opcua_security.roles import Caller, Role
from appliance.schema.command import AbortJob, HaltLine, PrepareRecipe, ResetFault, StartJob, StopJob

_V = ua.VariantType
Ask = Callable[[Wished], Awaitable[Answered]]
Body = Callable[..., Awaitable[list[ua.Variant]]]

MACHINE = f"{VISION_SYSTEM}.VisionStateMachine"
AUTOMATIC = f"{MACHINE}.AutomaticModeStateMachine"
RECIPES, RESULTS = f"{VISION_SYSTEM}.RecipeManagement", f"{VISION_SYSTEM}.ResultManagement"
CONFIGURATIONS = f"{VISION_SYSTEM}.ConfigurationManagement"

NOT_SUPPORTED = (
    f"{AUTOMATIC}.SimulationMode",
    f"{RECIPES}.UnprepareRecipe",
    f"{CONFIGURATIONS}.ActivateConfiguration",
    f"{VISION_SYSTEM}.SafetyStateManagement.ReportSafetyState",
)


class Methods:
    """Hold what the methods need; lives in the server's event loop."""

    def __init__(self, model: Model, lookups: Lookups, security: Security, teller: Teller, ask: Ask) -> None:
        self._model = model
        self._lookups = lookups
        self._security = security
        self._teller = teller
        self._ask = ask

    async def link(self) -> None:
        """Bind every method node of the vision system."""
        lookups = self._lookups
        offered: dict[str, tuple[Role, Body]] = {
            f"{AUTOMATIC}.StartSingleJob": (Role.OPERATOR, partial(self._start, single=True)),
            f"{AUTOMATIC}.StartContinuous": (Role.OPERATOR, partial(self._start, single=False)),
            f"{AUTOMATIC}.Stop": (Role.OPERATOR, partial(self._caused, StopJob)),
            f"{AUTOMATIC}.Abort": (Role.ENGINEER, partial(self._caused, AbortJob)),
            f"{MACHINE}.Halt": (Role.ENGINEER, partial(self._caused, HaltLine)),
            f"{MACHINE}.Reset": (Role.ENGINEER, partial(self._caused, ResetFault)),
            f"{MACHINE}.SelectModeAutomatic": (Role.OPERATOR, self._select_automatic),
            f"{MACHINE}.ConfirmAll": (Role.OPERATOR, self._confirm_all),
            f"{RECIPES}.PrepareRecipe": (Role.ENGINEER, self._prepare_recipe),
            f"{RECIPES}.GetRecipeListFiltered": (Role.OBSERVER, lookups.recipe_list),
            f"{CONFIGURATIONS}.GetConfigurationById": (Role.OBSERVER, lookups.configuration_by_id),
            f"{CONFIGURATIONS}.GetConfigurationList": (Role.OBSERVER, lookups.configuration_list),
            f"{RESULTS}.GetResultById": (Role.OBSERVER, lookups.result_by_id),
            f"{RESULTS}.GetResultComponentsById": (Role.OBSERVER, lookups.result_components),
            f"{RESULTS}.GetResultListFiltered": (Role.OBSERVER, lookups.result_list),
        }
        server = self._model.server
        for path, (role, body) in offered.items():
            server.link_method(self._model.node(path), self._guarded(role, body))
        for path in NOT_SUPPORTED:
            node = self._model.node(path)
            server.link_method(node, _not_supported)
            for attribute in (ua.AttributeIds.Executable, ua.AttributeIds.UserExecutable):
                await node.write_attribute(attribute, ua.DataValue(ua.Variant(False, _V.Boolean)))
        for number in (
            ua.ObjectIds.AcknowledgeableConditionType_Acknowledge,
            ua.ObjectIds.AcknowledgeableConditionType_Confirm,
        ):
            server.link_method(server.get_node(ua.NodeId(number)), self._acknowledge)
        for number, count in (
            (ua.ObjectIds.ConditionType_ConditionRefresh, 1),
            (ua.ObjectIds.ConditionType_ConditionRefresh2, 2),
        ):
            body = self._guarded(Role.OBSERVER, partial(self._refresh, count=count))
            server.link_method(server.get_node(ua.NodeId(number)), body)

    def _guarded(self, role: Role, body: Body) -> Callable[..., Awaitable[Any]]:
        async def called(_parent: ua.NodeId, *given: Any) -> Any:
            try:
                caller = self._security.require(role)
                return await body(caller, given)
            except ua.UaStatusCodeError as refusal:
                return ua.StatusCode(refusal.code)

        return called

    async def _acknowledge(self, parent: ua.NodeId, *given: Any) -> Any:
        try:
            caller = self._security.require(Role.OPERATOR)
            _event, comment = read.exactly(given, 2)
            read.text(comment)
            if not await self._teller.acknowledge(parent, comment, caller.user):
                return ua.StatusCode(ua.StatusCodes.BadConditionBranchAlreadyAcked)
        except ua.UaStatusCodeError as refusal:
            return ua.StatusCode(refusal.code)
        return []

    async def _refresh(self, _caller: Caller, given: Any, *, count: int) -> list[ua.Variant]:
        subscription, *_ = read.exactly(given, count)
        number = read.whole(subscription, high=(1 << 32) - 1)
        if number not in self._model.server.iserver.subscription_service.subscriptions:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadSubscriptionIdInvalid)
        await self._teller.refresh(number)
        return []

    async def _start(self, caller: Caller, given: Any, *, single: bool) -> list[ua.Variant]:
        measurement, part, recipe, product, parameters = read.exactly(given, 5)
        read.nothing(parameters)
        names = [read.name_of(value) for value in (measurement, part, recipe, product)]
        answer = await self._granted(StartJob(single, caller.actor, *names))
        return [ua.Variant(values.job_id(answer.detail), _V.ExtensionObject), error()]

    async def _caused(self, command: Callable[[str], Wished], caller: Caller, given: Any) -> list[ua.Variant]:
        """Ask for what has a Cause and its description as arguments; the audit names who asked."""
        cause, description = read.exactly(given, 2)
        read.whole(cause, low=-(1 << 31), high=1 << 31)
        read.text(description)
        await self._granted(command(caller.actor))
        return [error()]

    async def _select_automatic(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Automatic is the only mode there is: granted wherever a mode can be chosen."""
        read.exactly(given, 0)
        if self._lookups.snapshot.machine.vision is not Vision.OPERATIONAL:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadInvalidState)
        return [error()]

    async def _confirm_all(self, caller: Caller, given: Any) -> list[ua.Variant]:
        (comment,) = read.exactly(given, 1)
        read.text(comment)
        await self._teller.confirm_all(comment, caller.user)
        return []

    async def _prepare_recipe(self, caller: Caller, given: Any) -> list[ua.Variant]:
        external, internal = read.exactly(given, 2)
        name = read.name_of(external) or read.name_of(internal)
        line = self._lookups.snapshot.line
        number = _recipe_number(name, self._lookups.recipe, line.recipe_number if line is not None else 0)
        await self._granted(PrepareRecipe(number, caller.actor))
        is_in_force = line is not None and number == line.recipe_number
        told = values.recipe_id("Internal", name, self._lookups.recipe_sha256 if is_in_force else "")
        return [ua.Variant(told, _V.ExtensionObject), ua.Variant(is_in_force, _V.Boolean), error()]

    async def _granted(self, wish: Wished) -> Answered:
        answer = await self._ask(wish)
        if not answer.granted:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadInvalidState)
        return answer


async def _not_supported(_parent: ua.NodeId, *_given: Any) -> ua.StatusCode:
    return ua.StatusCode(ua.StatusCodes.BadNotSupported)


def _recipe_number(name: str, active: str, number: int) -> int:
    """Find the number a client means; a recipe is known by its number, the active one by its name too."""
    if name == active and number:
        return number
    if name.isascii() and name.isdigit() and 0 < int(name) <= 0xFFFF:
        return int(name)
    raise ua.UaStatusCodeError(ua.StatusCodes.BadInvalidArgument)
