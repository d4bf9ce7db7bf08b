"""Write plain facts as the structures of OPC 40100-1.

asyncua makes the classes of a specification when it reads its nodeset, so they are found by name and never imported.
"""

from dataclasses import make_dataclass
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from appliance.outputs.opcua.messages import ResultReady
from appliance.outputs.opcua.results import content, created, result_state
from appliance.outputs.part_report import Identity
from appliance.schema.clocks import MS, UtcNs

SHA256 = "SHA-256"

BINARY_ID_BASE = 3019
BINARY_IDS = {
    "RecipeIdExternalDataType": (3002, 5002),
    "RecipeIdInternalDataType": (3013, 5268),
    "ConfigurationIdDataType": (3008, 5090),
}
"""Data type and binary encoding of the three ids that add nothing to the abstract BinaryIdBaseDataType."""


def register_ids(namespace: int) -> None:
    """Give each id structure a class of its own.

    asyncua 2.1.0 makes one class for all subtypes that add no field, and encodes them with the id of the abstract base:
    a foreign client cannot decode them, and theirs arrive here undecoded.
    """
    for name, (data_type, encoding) in BINARY_IDS.items():
        node = ua.NodeId(data_type, namespace)
        if getattr(ua, name).data_type == node:
            continue
        made = make_dataclass(name, [], bases=(ua.BinaryIdBaseDataType,))
        made.data_type = node  # type: ignore[attr-defined]
        setattr(ua, name, made)
        ua.register_extension_object(name, ua.NodeId(encoding, namespace), made, node)


def instant(at: UtcNs) -> datetime:
    """Give an instant as asyncua wants it, to the microsecond."""
    return datetime.fromtimestamp(at // 1000 / 1e6, UTC)


def job_id(job: str) -> Any:
    """Give a JobIdDataType."""
    return ua.JobIdDataType(Id=job)


def recipe_id(kind: str, recipe: str, sha256: str) -> Any:
    """Give a RecipeIdInternalDataType or RecipeIdExternalDataType with its hash."""
    return _binary_id(f"RecipeId{kind}DataType", recipe, sha256)


def configuration_id(digest: str) -> Any:
    """Give the ConfigurationIdDataType of the effective configuration."""
    return _binary_id("ConfigurationIdDataType", digest, digest)


def configuration(digest: str, modified: datetime) -> Any:
    """Give the ConfigurationDataType of the effective configuration."""
    return ua.ConfigurationDataType(
        HasTransferableDataOnFile=False, InternalId=configuration_id(digest), LastModified=modified
    )


def system_state(state: int, description: str) -> Any:
    """Give a SystemStateDescriptionDataType."""
    number = ua.SystemStateDataType(state)
    return ua.SystemStateDescriptionDataType(State=number, StateDescription=description or None)


def result_fields(result: ResultReady, identity: Identity) -> dict[str, Any]:
    """Give the fields that ResultDataType and ResultReadyEventType share, all of them set."""
    told = result.report
    return {
        "ResultId": ua.ResultIdDataType(Id=told.result_id),
        "IsPartial": False,
        "IsSimulated": False,
        "ResultState": int(result_state(told)),
        "MeasId": ua.MeasIdDataType(Id=result.measurement),
        "PartId": ua.PartIdDataType(
            Id=str(told.part), Description=ua.LocalizedText(result.part_name) if result.part_name else None
        ),
        "ExternalRecipeId": recipe_id("External", told.recipe, told.recipe_sha256),
        "InternalRecipeId": recipe_id("Internal", told.recipe, told.recipe_sha256),
        "ProductId": ua.ProductIdDataType(Id=result.product),
        "ExternalConfigurationId": configuration_id(identity.config_digest),
        "InternalConfigurationId": configuration_id(identity.config_digest),
        "JobId": job_id(result.job),
        "CreationTime": instant(created(result)),
        "ProcessingTimes": _times(result),
        "ResultContent": [ua.Variant(content(told), ua.VariantType.String)],
    }


def result_structure(result: ResultReady, identity: Identity) -> Any:
    """Give a ResultDataType."""
    return ua.ResultDataType(HasTransferableDataOnFile=False, **result_fields(result, identity))


def _times(result: ResultReady) -> Any:
    told = result.report
    start = told.entered or told.actuated
    end = told.decided or told.actuated
    return ua.ProcessingTimesDataType(
        StartTime=instant(start), EndTime=instant(end), ProcessingDuration=max(0, end - start) / MS
    )


def _binary_id(kind: str, name: str, sha256: str) -> Any:
    digest = sha256.removeprefix("sha256:")
    try:
        raw: bytes | None = bytes.fromhex(digest) or None
    except ValueError:
        raw = None
    return getattr(ua, kind)(Id=name, Hash=raw, HashAlgorithm=SHA256 if raw else None)
