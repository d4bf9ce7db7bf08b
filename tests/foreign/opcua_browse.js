// Does the tree under the vision system follow OPC 40100-1? Paths are taken from the type, then looked for in the instance.
"use strict";
const { opcua, options, run, withSession } = require("./opcua_session");

const MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision";
const MANDATORY = 78; // ModellingRule_Mandatory

// Give every reference down from a node, with browse name, class and modelling rule.
async function children(session, nodeId) {
  const result = await session.browse({ nodeId, referenceTypeId: "HierarchicalReferences", includeSubtypes: true, browseDirection: opcua.BrowseDirection.Forward, resultMask: 63 });
  return (result.references || []).filter((one) => one.nodeClass !== opcua.NodeClass.ObjectType);
}

async function isMandatory(session, nodeId) {
  const result = await session.browse({ nodeId, referenceTypeId: "HasModellingRule", includeSubtypes: true, browseDirection: opcua.BrowseDirection.Forward, resultMask: 63 });
  return (result.references || []).some((one) => one.nodeId.value === MANDATORY);
}

// Walk the mandatory components of a type, supertypes included.
async function mandatory(session, typeId, depth) {
  const paths = [];
  for (let type = typeId; type; type = await superType(session, type)) {
    for (const child of await children(session, type)) {
      if (!(await isMandatory(session, child.nodeId))) continue;
      paths.push([child.browseName]);
      if (depth > 1) {
        for (const deeper of await mandatory(session, child.nodeId, depth - 1)) paths.push([child.browseName, ...deeper]);
      }
    }
  }
  return paths;
}

async function superType(session, nodeId) {
  const result = await session.browse({ nodeId, referenceTypeId: "HasSubtype", includeSubtypes: true, browseDirection: opcua.BrowseDirection.Inverse, resultMask: 63 });
  const [found] = result.references || [];
  return found && found.nodeId.toString();
}

async function lookUp(session, start, names) {
  const elements = names.map((targetName) => ({ referenceTypeId: "ns=0;i=33", isInverse: false, includeSubtypes: true, targetName }));
  const result = await session.translateBrowsePath({ startingNode: start, relativePath: { elements } });
  return result.statusCode.isGood() ? result.targets[0].targetId.toString() : null;
}

run(() =>
  withSession(async (session) => {
    const spaces = await session.readNamespaceArray();
    const space = spaces.indexOf(MACHINE_VISION);
    const type = `ns=${space};i=1003`;
    const system = await lookUp(session, "ns=0;i=85", [{ namespaceIndex: options.own_space || spaces.indexOf(options.own_uri), name: "VisionSystem" }]);
    const typed = await session.browse({ nodeId: system, referenceTypeId: "HasTypeDefinition", includeSubtypes: true, browseDirection: opcua.BrowseDirection.Forward, resultMask: 63 });
    const paths = await mandatory(session, type, options.depth || 4);
    const missing = [];
    for (const path of paths) {
      if (!(await lookUp(session, system, path))) missing.push(path.map((one) => one.name).join("/"));
    }
    const wanted = {};
    for (const path of options.paths || []) {
      wanted[path] = await lookUp(session, system, path.split("/").map((name) => ({ namespaceIndex: space, name })));
    }
    return { spaces, system, type_definition: typed.references[0].nodeId.toString(), is_vision_system: typed.references[0].nodeId.toString() === type, mandatory: paths.length, missing, wanted };
  }),
);
