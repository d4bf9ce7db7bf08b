"""Answer the methods of OPC 40100-1 that only read: recipes, configurations and the results held."""

from typing import Any

from asyncua import ua

from appliance.outputs.opcua import arguments as read
from appliance.outputs.opcua import values
from appliance.outputs.opcua.messages import Snapshot
from appliance.outputs.opcua.model import Model
from appliance.outputs.opcua.results import Results, Wanted
from appliance.outputs.opcua_security.roles import Caller
from appliance.outputs.part_report import Identity

_V = ua.VariantType
NO_HANDLE = 0
"""No result, recipe or configuration stays open for a transfer, so that there is nothing to release."""

NO_ERROR = 0
NOT_FOUND = -1
"""Error of a method that only reads: nothing of that id is held."""

COMPONENTS = (
    ("HasTransferableDataOnFile", _V.Boolean),
    ("ResultHandle", _V.UInt32),
    ("IsPartial", _V.Boolean),
    ("IsSimulated", _V.Boolean),
    ("ResultState", _V.Int32),
    ("MeasId", _V.ExtensionObject),
    ("PartId", _V.ExtensionObject),
    ("ExternalRecipeId", _V.ExtensionObject),
    ("InternalRecipeId", _V.ExtensionObject),
    ("ProductId", _V.ExtensionObject),
    ("ExternalConfigurationId", _V.ExtensionObject),
    ("InternalConfigurationId", _V.ExtensionObject),
    ("JobId", _V.ExtensionObject),
    ("CreationTime", _V.DateTime),
    ("ProcessingTimes", _V.ExtensionObject),
    ("ResultContent", _V.Variant),
    ("Error", _V.Int32),
)
"""Output arguments of GetResultComponentsById, in order."""


class Lookups:
    """Hold what can be asked for; lives in the server's event loop."""

    def __init__(self, model: Model, identity: Identity) -> None:
        self.results = Results()
        self.snapshot = Snapshot()
        """The newest one shown."""
        self._model = model
        self._identity = identity

    @property
    def recipe(self) -> str:
        """Name of the recipe in force."""
        line = self.snapshot.line
        return (line.recipe if line is not None else "") or self._identity.recipe

    @property
    def recipe_sha256(self) -> str:
        """Its digest."""
        line = self.snapshot.line
        return (line.recipe_sha256 if line is not None else "") or self._identity.recipe_sha256

    async def recipe_list(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Answer GetRecipeListFiltered: the recipe in force."""
        external, product, prepared, most, first, _timeout = read.exactly(given, 6)
        read.name_of(product)
        name = read.name_of(external)
        is_wanted = name in {"", self.recipe} and read.whole(prepared) != 0
        known = [values.recipe_id("Internal", self.recipe, self.recipe_sha256)] if is_wanted else []
        return _page(known, most, first)

    async def configuration_by_id(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Answer GetConfigurationById: the effective configuration."""
        wanted, _timeout = read.exactly(given, 2)
        is_it = read.name_of(wanted) in {"", self._identity.config_digest}
        return [
            ua.Variant(NO_HANDLE, _V.UInt32),
            ua.Variant(self._configuration() if is_it else None, _V.ExtensionObject),
            error(NO_ERROR if is_it else NOT_FOUND),
        ]

    async def configuration_list(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Answer GetConfigurationList."""
        most, first, _timeout = read.exactly(given, 3)
        return _page([self._configuration()], most, first)

    async def result_by_id(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Answer GetResultById."""
        wanted, _timeout = read.exactly(given, 2)
        found = self.results.find(read.name_of(wanted))
        told = values.result_structure(found, self._identity) if found is not None else None
        code = NO_ERROR if found is not None else NOT_FOUND
        return [ua.Variant(NO_HANDLE, _V.UInt32), ua.Variant(told, _V.ExtensionObject), error(code)]

    async def result_components(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Answer GetResultComponentsById."""
        wanted, _timeout = read.exactly(given, 2)
        found = self.results.find(read.name_of(wanted))
        if found is None:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadNotFound)
        fields = values.result_fields(found, self._identity) | {
            "HasTransferableDataOnFile": False,
            "ResultHandle": NO_HANDLE,
            "Error": NO_ERROR,
        }
        return [_component(fields[name], kind) for name, kind in COMPONENTS]

    async def result_list(self, _caller: Caller, given: Any) -> list[ua.Variant]:
        """Answer GetResultListFiltered: oldest first."""
        state, *ids, most, first, _timeout = read.exactly(given, 12)
        measurement, part, outer, inner, outer_configuration, inner_configuration, product, job = map(read.name_of, ids)
        wanted = Wanted(
            read.whole(state),
            measurement,
            part,
            outer or inner,
            outer_configuration or inner_configuration,
            product,
            job,
        )
        found = self.results.choose(wanted, self._identity.config_digest)
        return _page([values.result_structure(result, self._identity) for result in found], most, first)

    def _configuration(self) -> Any:
        return values.configuration(self._identity.config_digest, self._model.started)


def error(code: int = NO_ERROR) -> ua.Variant:
    """Give the output argument that ends every method of the specification."""
    return ua.Variant(code, _V.Int32)


def _component(value: Any, kind: ua.VariantType) -> ua.Variant:
    return ua.Variant(value, kind)


def _page(found: list[Any], most: Any, first: Any) -> list[ua.Variant]:
    """Give the outputs that all lists share: complete, count, handle, entries, error."""
    start = read.whole(first)
    shown = found[start : start + (read.whole(most) or read.LARGEST)]
    return [
        ua.Variant(start + len(shown) >= len(found), _V.Boolean),
        ua.Variant(len(shown), _V.UInt32),
        ua.Variant(NO_HANDLE, _V.UInt32),
        ua.Variant(shown, _V.ExtensionObject, is_array=True),
        error(),
    ]
