"""Protect the OPC UA methods: who may call them, what they ask of the line, and what they answer."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asyncua import ua

from appliance.outputs.opcua.messages import (
    Answered,
    Wish,
)
from appliance.outputs.opcua.server import PENDING_LIMIT, OpcuaServer
from appliance.outputs.opcua_security.roles import Role
from appliance.schema.command import AbortJob, HaltLine, PrepareRecipe, ResetFault, StartJob, StopJob
from tests.unit.opcua_rig import (
    AUTOMATIC,
    GRANTED,
    IDENTITY,
    MACHINE,
    NOW,
    REFUSED,
    OpenSecurity,
    Plant,
    Test,
    be_client,
    client,
    result,
    served,
    start_arguments,
)

QUEUE = 20
SECURITY = OpenSecurity()


@pytest.fixture(scope="module")
def server() -> Iterator[OpcuaServer]:
    with served(SECURITY, queue=QUEUE) as found:
        yield found


@pytest.fixture
def plant(server: OpcuaServer) -> Callable[[Test], None]:
    """Run a test as a client of the server."""
    SECURITY.role = Role.ENGINEER
    return partial(be_client, server)


def test_a_start_asks_the_line_and_answers_with_its_job(plant: Any) -> None:
    """The client gets the job's id after `line` granted it, and the wish names who asked."""

    async def test(plant: Plant) -> None:
        names = {"meas": "m", "part": "p", "recipe": "gear", "product": "q"}
        for method, single in (("StartSingleJob", True), ("StartContinuous", False)):
            outputs, wish = await plant.call(f"{AUTOMATIC}.{method}", *start_arguments(**names), answer=GRANTED)

            assert ("job-9", 0) == (outputs[0].Id, outputs[1])
            assert wish is not None
            assert StartJob(single, "opcua:olga", "m", "p", "gear", "q") == wish.command

    plant(test)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{AUTOMATIC}.Stop", StopJob("opcua:olga")),
        (f"{AUTOMATIC}.Abort", AbortJob("opcua:olga")),
        (f"{MACHINE}.Halt", HaltLine("opcua:olga")),
        (f"{MACHINE}.Reset", ResetFault("opcua:olga")),
    ],
)
def test_each_method_asks_for_its_own_wish(plant: Any, path: str, expected: Any) -> None:
    """Stop, Abort, Halt and Reset are what they say; a refusal is no Good."""

    async def test(plant: Plant) -> None:
        cause = (ua.Variant(3, ua.VariantType.Int32), "tool change")
        outputs, wish = await plant.call(path, *cause, answer=GRANTED)

        assert (0, expected) == (outputs, wish.command if wish else None)
        with pytest.raises(ua.uaerrors.BadInvalidState):
            await plant.call(path, *cause, answer=REFUSED)

    plant(test)


def test_a_recipe_is_asked_for_by_number_or_name(plant: Any) -> None:
    """The active recipe is known by its name, others by their number; anything else is refused."""

    async def test(plant: Plant) -> None:
        await plant.show()
        path = "VisionSystem.RecipeManagement.PrepareRecipe"
        for name, number, in_force in (("gear", 7, True), ("12", 12, False)):
            ids = ua.RecipeIdExternalDataType(Id=name), ua.RecipeIdInternalDataType(Id="")
            outputs, wish = await plant.call(path, *ids, answer=GRANTED)

            assert PrepareRecipe(number, "opcua:olga") == (wish.command if wish else None)
            assert (name, in_force, 0) == (outputs[0].Id, *outputs[1:])
        with pytest.raises(ua.uaerrors.BadInvalidArgument):
            await plant.call(path, ua.RecipeIdExternalDataType(Id="cog"), ua.RecipeIdInternalDataType(Id=""))

    plant(test)


def test_silence_of_the_node_is_a_timeout(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client never waits for ever."""
    monkeypatch.setattr("appliance.outputs.opcua.server.ANSWER_LIMIT_S", 0.05)

    async def test(plant: Plant) -> None:
        with pytest.raises(ua.uaerrors.BadTimeout):
            await plant.call(f"{AUTOMATIC}.StartContinuous", *start_arguments())

    plant(test)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [(Role.OBSERVER, set()), (Role.OPERATOR, {"StartContinuous", "Stop"}),
     (Role.ENGINEER, {"StartContinuous", "Stop", "Abort", "Halt", "Reset"})],
)  # fmt: skip
def test_a_role_is_asked_for_inside_each_method(plant: Any, role: Role, allowed: set[str]) -> None:
    """Nobody calls what their role does not cover, and the wish never leaves the server."""

    async def test(plant: Plant) -> None:
        SECURITY.role = role
        cause = (ua.Variant(0, ua.VariantType.Int32), "")
        calls = {f"{AUTOMATIC}.StartContinuous": start_arguments(), f"{AUTOMATIC}.Stop": cause,
                 f"{AUTOMATIC}.Abort": cause, f"{MACHINE}.Halt": cause, f"{MACHINE}.Reset": cause}  # fmt: skip
        done = set()
        for path, given in calls.items():
            if path.rpartition(".")[2] in allowed:
                await plant.call(path, *given, answer=GRANTED)
                done.add(path.rpartition(".")[2])
                continue
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await plant.call(path, *given)

        assert allowed == done
        assert [] == [message for message in plant.server.read(NOW) if isinstance(message, Wish)]

    plant(test)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ua.uaerrors.BadArgumentsMissing),
        (["a", "b", "c", "d", "e"], ua.uaerrors.BadInvalidArgument),
        ([1, 2, 3, 4, 5], ua.uaerrors.BadInvalidArgument),
        ([None] * 4 + [["x"]], ua.uaerrors.BadInvalidArgument),
        ([None] * 6, ua.uaerrors.BadTooManyArguments),
        ([ua.ExtensionObject(ua.NodeId(9, 9), b"?"), None, None, None, None], ua.uaerrors.BadInvalidArgument),
    ],
)
def test_odd_arguments_are_refused(plant: Any, given: list[Any], expected: type[Exception]) -> None:
    """A client may send anything; what is no argument of the method never reaches the line."""

    async def test(plant: Plant) -> None:
        with pytest.raises(expected):
            await plant.call(f"{AUTOMATIC}.StartSingleJob", *given)

        assert [] == [message for message in plant.server.read(NOW) if isinstance(message, Wish)]

    plant(test)


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x00"])
def test_long_and_unprintable_names_are_refused(plant: Any, name: str) -> None:
    """Names of clients are shown, logged and audited; they hold no line breaks and end somewhere."""

    async def test(plant: Plant) -> None:
        with pytest.raises(ua.uaerrors.BadInvalidArgument):
            await plant.call(f"{AUTOMATIC}.StartSingleJob", *start_arguments(part=name))

    plant(test)


def test_absent_names_are_empty(plant: Any) -> None:
    """A client that names nothing gets a job all the same."""

    async def test(plant: Plant) -> None:
        _, wish = await plant.call(f"{AUTOMATIC}.StartSingleJob", None, None, None, None, None, answer=GRANTED)

        assert StartJob(True, "opcua:olga") == (wish.command if wish else None)

    plant(test)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (f"{AUTOMATIC}.SimulationMode", [True, ua.Variant(0, ua.VariantType.Int32), ""]),
        ("VisionSystem.RecipeManagement.UnprepareRecipe", [None, None]),
        ("VisionSystem.ConfigurationManagement.ActivateConfiguration", [None]),
        ("VisionSystem.SafetyStateManagement.ReportSafetyState", [True, "door open"]),
    ],
)
def test_what_is_not_offered_is_refused(plant: Any, path: str, given: list[Any]) -> None:
    """No simulation, no safety function: such a method says so, before and when it is called."""

    async def test(plant: Plant) -> None:
        executable = await plant.node(path).read_attribute(ua.AttributeIds.Executable)

        assert executable.Value.Value is False
        with pytest.raises(ua.uaerrors.BadNotSupported):
            await plant.call(path, *given)

    plant(test)


def test_results_are_found_by_filter_and_page(plant: Any) -> None:
    """The list holds what passes the filter, oldest first, and says whether there is more."""

    async def test(plant: Plant) -> None:
        names = {1: "a", 2: "b", 3: "b", 4: "b"}
        plant.write(*(result(100 + number, job=job) for number, job in names.items()))
        await plant.settled()
        empty = [None] * 8
        path = "VisionSystem.ResultManagement.GetResultListFiltered"
        limits = [ua.Variant(2, ua.VariantType.UInt32), ua.Variant(1, ua.VariantType.UInt32), 0]
        state = ua.Variant(0, ua.VariantType.Int32)
        (complete, count, _, found, error), _wish = await plant.call(
            path, state, *empty[:7], ua.JobIdDataType(Id="b"), *limits
        )

        assert (True, 2, 0) == (complete, count, error)
        assert ["00c0ffee-000103", "00c0ffee-000104"] == [entry.PartId.Id for entry in found]

    plant(test)


def test_too_many_calls_at_once_are_refused(plant: Any) -> None:
    """A client cannot pile up wishes: further calls are refused while sixteen wait for the line."""

    async def test(plant: Plant) -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(plant.server)) for _ in range(PENDING_LIMIT + 1)]
            path = ua.NodeId(AUTOMATIC, plant.ours)
            given = start_arguments()
            calls = [
                asyncio.create_task(one.get_node(path).call_method(f"{plant.spec}:StartContinuous", *given))
                for one in clients
            ]
            wishes = [await arrived_in(plant.server) for _ in range(PENDING_LIMIT)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            plant.write(*(Answered(wish.ticket, True, "job-9") for wish in wishes))
            answers = await asyncio.gather(*calls, return_exceptions=True)

        assert ["BadTooManyOperations"] == [type(call.exception()).__name__ for call in done]
        assert PENDING_LIMIT == sum(not isinstance(answer, Exception) for answer in answers)

    waiting: list[Wish] = []

    async def arrived_in(server: OpcuaServer) -> Wish:
        while not waiting:
            waiting.extend(message for message in server.read(NOW) if isinstance(message, Wish))
            await asyncio.sleep(0.005)
        return waiting.pop(0)

    plant(test)


def test_recipes_and_configurations_can_be_asked_for(plant: Any) -> None:
    """The recipe and the configuration in force have an id with their hash; another configuration is not found."""

    async def test(plant: Plant) -> None:
        await plant.show()
        limits = [ua.Variant(0, ua.VariantType.UInt32)] * 2
        recipes, _ = await plant.call(
            "VisionSystem.RecipeManagement.GetRecipeListFiltered", None, None, ua.Variant(2, ua.VariantType.Int32),
            *limits, 0,
        )  # fmt: skip
        path = "VisionSystem.ConfigurationManagement"
        configurations, _ = await plant.call(f"{path}.GetConfigurationList", *limits, 0)
        own = configurations[3][0].InternalId
        (_, found, code), _ = await plant.call(f"{path}.GetConfigurationById", own, 0)
        (_, other, missing), _ = await plant.call(
            f"{path}.GetConfigurationById", ua.ConfigurationIdDataType(Id="another"), 0
        )
        active = await plant.node(f"{path}.ActiveConfiguration").read_value()

        assert ("gear", bytes.fromhex("ab" * 32), "SHA-256") == (
            recipes[3][0].Id, recipes[3][0].Hash, recipes[3][0].HashAlgorithm
        )  # fmt: skip
        assert (IDENTITY.config_digest, IDENTITY.config_digest, 0) == (own.Id, found.InternalId.Id, code)
        assert (None, -1, own) == (other.Body, missing, active.InternalId)

    plant(test)


def test_a_results_components_are_those_of_its_event(plant: Any) -> None:
    """GetResultComponentsById gives the seventeen outputs of the specification; an unknown id is not found."""

    async def test(plant: Plant) -> None:
        plant.write(result(70))
        await plant.settled()
        path = "VisionSystem.ResultManagement.GetResultComponentsById"
        outputs, _ = await plant.call(path, ua.ResultIdDataType(Id=f"{IDENTITY.station}/00c0ffee-000070"), 0)

        assert (17, "00c0ffee-000070", 1, 0) == (len(outputs), outputs[6].Id, outputs[4], outputs[16])
        with pytest.raises(ua.uaerrors.BadNotFound):
            await plant.call(path, ua.ResultIdDataType(Id="nothing"), 0)

    plant(test)
