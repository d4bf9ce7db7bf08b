"""Build the address space: one vision system of OPC 40100-1, and beside it what the PLC's registers and PackML say."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from asyncua import ua

from appliance.outputs.opcua import values
from appliance.outputs.opcua.states import NAMES, Automatic, State, Vision
from appliance.outputs.part_report import Identity
from appliance.outputs.plc.variables import variables
from appliance.schema.line import LineState

NODESET = Path(__file__).with_name("Opc.Ua.MachineVision.NodeSet2.xml")
SPECIFICATION = "http://opcfoundation.org/UA/MachineVision"
OURS = "urn:firstshift:appliance"
"""Namespace of this appliance's own nodes; the same on every station, so that a PLC program fits all of them."""

VISION_SYSTEM = "VisionSystem"
STATION = "Station"
NO_SAFETY = "no safety function: this system judges quality; guards and stops belong to a safety controller"

VISION_SYSTEM_TYPE, STATE_MACHINE_TYPE, AUTOMATIC_TYPE = 1003, 1017, 1021

NOT_OFFERED = (
    "DiagnosticLevel",
    "ConfigurationManagement.AddConfiguration",
    "ConfigurationManagement.Configurations",
    "ConfigurationManagement.ConfigurationTransfer",
    "ConfigurationManagement.ReleaseConfigurationHandle",
    "ConfigurationManagement.RemoveConfiguration",
    "RecipeManagement.AddRecipe",
    "RecipeManagement.PrepareProduct",
    "RecipeManagement.Products",
    "RecipeManagement.Recipes",
    "RecipeManagement.RecipeTransfer",
    "RecipeManagement.ReleaseRecipeHandle",
    "RecipeManagement.RemoveRecipe",
    "RecipeManagement.UnlinkProduct",
    "RecipeManagement.UnprepareProduct",
    "ResultManagement.ReleaseResultHandle",
    "ResultManagement.Results",
    "ResultManagement.ResultTransfer",
    "VisionStateMachine.ErrorStepModel",
    "VisionStateMachine.HaltedStepModel",
    "VisionStateMachine.PreoperationalStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.ContinuousExecutionStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.InitializedStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.ReadyStepModel",
    "VisionStateMachine.AutomaticModeStateMachine.SingleExecutionStepModel",
)
"""Optional parts of the type that this appliance does not have: it leaves them out, as the specification wants."""

HIDDEN = frozenset({"at", "words"})
"""Fields of LineState that are no variables of their own."""

COUNTS = ("EventsTold", "Overflowed", "Dropped")


@dataclass
class Model:
    """Hold the nodes that change while the server runs."""

    server: Any
    spec: int
    """Index of the specification's namespace."""
    ours: int
    started: datetime
    states: dict[State, ua.NodeId] = field(default_factory=dict)
    transitions: dict[str, ua.NodeId] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    """Path below `Station` or `VisionSystem` -> node."""
    kinds: dict[str, ua.VariantType] = field(default_factory=dict)

    @property
    def vision_system(self) -> ua.NodeId:
        """Give the instance's node."""
        return self.id(VISION_SYSTEM)

    def id(self, path: str) -> ua.NodeId:
        """Give the id of one of our nodes by its path."""
        return ua.NodeId(path, self.ours)

    def node(self, path: str) -> Any:
        """Give one of our nodes by its path; it need not exist."""
        return self.server.get_node(self.id(path))


async def build_model(server: Any, identity: Identity, started: datetime) -> Model:
    """Read the specification into an initialised server and make this station's nodes; about 1 s."""
    await server.import_xml(NODESET)
    spec = await server.get_namespace_index(SPECIFICATION)
    values.register_ids(spec)
    await _define_ids(server, spec)
    model = Model(server, spec, await server.register_namespace(OURS), started)
    await _vision_system(model)
    await _state_nodes(model)
    await _station(model)
    await _constants(model, identity)
    return model


async def _define_ids(server: Any, spec: int) -> None:
    """State the inherited fields of the id structures too: clients make their types of what they read here."""
    base = ua.NodeId(values.BINARY_ID_BASE, spec)
    inherited = await server.get_node(base).read_data_type_definition()
    for data_type, encoding in values.BINARY_IDS.values():
        definition = ua.StructureDefinition(
            DefaultEncodingId=ua.NodeId(encoding, spec),
            BaseDataType=base,
            StructureType=inherited.StructureType,
            Fields=inherited.Fields,
        )
        told = ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
        node = server.get_node(ua.NodeId(data_type, spec))
        await node.write_attribute(ua.AttributeIds.DataTypeDefinition, told)


async def _vision_system(model: Model) -> None:
    server = model.server
    name = ua.QualifiedName(VISION_SYSTEM, model.ours)
    kind = ua.NodeId(VISION_SYSTEM_TYPE, model.spec)
    system = await server.nodes.objects.add_object(model.vision_system, name, objecttype=kind)
    unwanted = [model.node(f"{VISION_SYSTEM}.{path}") for path in NOT_OFFERED]
    await server.delete_nodes(unwanted, recursive=True)
    await system.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
    await server.nodes.server.add_reference(system, ua.ObjectIds.HasNotifier)
    machine = f"{VISION_SYSTEM}.VisionStateMachine"
    for path, kind_ in (
        (f"{VISION_SYSTEM}.SystemState", ua.VariantType.ExtensionObject),
        (f"{VISION_SYSTEM}.ConfigurationManagement.ActiveConfiguration", ua.VariantType.ExtensionObject),
        (f"{VISION_SYSTEM}.SafetyStateManagement.VisionSafetyTriggered", ua.VariantType.Boolean),
        (f"{VISION_SYSTEM}.SafetyStateManagement.VisionSafetyInformation", ua.VariantType.String),
        (f"{machine}.CurrentState", ua.VariantType.LocalizedText),
        (f"{machine}.CurrentState.Id", ua.VariantType.NodeId),
        (f"{machine}.AutomaticModeStateMachine.CurrentState", ua.VariantType.LocalizedText),
        (f"{machine}.AutomaticModeStateMachine.CurrentState.Id", ua.VariantType.NodeId),
    ):
        model.variables[path] = model.node(path)
        model.kinds[path] = kind_


async def _state_nodes(model: Model) -> None:
    """Find the type's state and transition nodes, to which CurrentState.Id and the events point."""
    for kind, states in ((STATE_MACHINE_TYPE, Vision), (AUTOMATIC_TYPE, Automatic)):
        found = await model.server.get_node(ua.NodeId(kind, model.spec)).get_children_descriptions()
        by_name = {entry.BrowseName.Name: entry.NodeId for entry in found}
        model.states |= {state: by_name[NAMES[state]] for state in states}
        model.transitions |= {name: node for name, node in by_name.items() if "To" in name}


async def _station(model: Model) -> None:
    """Make `Station`: the PLC's status words, the line's state, PackML, and counts of this server."""
    objects = model.server.nodes.objects
    station = await objects.add_object(model.id(STATION), ua.QualifiedName(STATION, model.ours))
    handshake = await _folder(model, station, "Handshake")
    for word in variables():
        kind = ua.VariantType[word.ua_type]
        await _variable(model, handshake, f"{STATION}.Handshake", word.browse_name, kind, word.doc)
    line = await _folder(model, station, "Line")
    for entry in msgspec.structs.fields(LineState):
        if entry.name not in HIDDEN:
            await _variable(model, line, f"{STATION}.Line", camel(entry.name), _kind_of(entry.type))
    packml = await _folder(model, station, "PackML")
    for name in ("StateCurrent", "ModeCurrent"):
        await _variable(model, packml, f"{STATION}.PackML", name, ua.VariantType.Int32)
    events = await _folder(model, station, "Server")
    for name in COUNTS:
        await _variable(model, events, f"{STATION}.Server", name, ua.VariantType.UInt32)
    await _variable(model, events, f"{STATION}.Server", "LastRefusal", ua.VariantType.String)


async def _constants(model: Model, identity: Identity) -> None:
    machine = f"{VISION_SYSTEM}.ConfigurationManagement.ActiveConfiguration"
    safety = f"{VISION_SYSTEM}.SafetyStateManagement"
    for path, value in (
        (machine, values.configuration(identity.config_digest, model.started)),
        (f"{safety}.VisionSafetyTriggered", False),
        (f"{safety}.VisionSafetyInformation", NO_SAFETY),
    ):
        await model.variables[path].write_value(ua.Variant(value, model.kinds[path]))


async def _folder(model: Model, parent: Any, name: str) -> Any:
    return await parent.add_folder(model.id(f"{STATION}.{name}"), ua.QualifiedName(name, model.ours))


async def _variable(model: Model, parent: Any, folder: str, name: str, kind: ua.VariantType, doc: str = "") -> None:
    path = f"{folder}.{name}"
    nothing = ua.Variant(ua.get_default_value(kind), kind)
    node = await parent.add_variable(model.id(path), ua.QualifiedName(name, model.ours), nothing)
    if doc:
        text = ua.DataValue(ua.Variant(ua.LocalizedText(doc, "en"), ua.VariantType.LocalizedText))
        await node.write_attribute(ua.AttributeIds.Description, text)
    model.variables[path], model.kinds[path] = node, kind


def camel(name: str) -> str:
    """Write a field's name as OPC UA writes browse names."""
    return "".join(part.capitalize() for part in name.split("_"))


def _kind_of(kind: Any) -> ua.VariantType:
    if kind is bool:
        return ua.VariantType.Boolean
    return ua.VariantType.UInt32 if kind is int else ua.VariantType.String
