// Start a job and tell every event that follows, with all fields of its type, until options.until arrives.
"use strict";
const { opcua, options, run, withSession } = require("./opcua_session");

const MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision";
const TYPES = { 1013: "JobStarted", 1018: "StateChanged", 1019: "Error", 1020: "ErrorResolved", 1022: "RecipePrepared", 1023: "Ready", 1024: "ResultReady", 1025: "AcquisitionDone", 1034: "WarningCondition", 1036: "PersistentErrorCondition" };

// Name each field of an event type and its supertypes as a path of browse names.
async function fieldsOf(session, typeId) {
  const fields = [];
  for (let type = typeId; type; ) {
    const down = await session.browse({ nodeId: type, referenceTypeId: "Aggregates", includeSubtypes: true, browseDirection: opcua.BrowseDirection.Forward, nodeClassMask: opcua.NodeClassMask.Variable, resultMask: 63 });
    for (const one of down.references || []) fields.push(one.browseName.namespaceIndex ? `${one.browseName.namespaceIndex}:${one.browseName.name}` : one.browseName.name);
    const up = await session.browse({ nodeId: type, referenceTypeId: "HasSubtype", includeSubtypes: true, browseDirection: opcua.BrowseDirection.Inverse, resultMask: 63 });
    type = up.references && up.references[0] && up.references[0].nodeId.toString();
  }
  return [...new Set(fields)];
}

function plain(variant) {
  if (!variant || variant.dataType === opcua.DataType.Null || variant.value === null || variant.value === undefined) return null;
  const value = variant.value;
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (value instanceof opcua.ExtensionObject) return JSON.parse(JSON.stringify(value));
  if (value instanceof Array) return value.map((one) => (one && one.value !== undefined ? one.value : JSON.parse(JSON.stringify(one))));
  return value.toJSON ? value.toJSON() : JSON.parse(JSON.stringify(value));
}

run(() =>
  withSession(async (session) => {
    const spaces = await session.readNamespaceArray();
    const space = spaces.indexOf(MACHINE_VISION);
    const names = new Set();
    for (const number of Object.keys(TYPES)) for (const field of await fieldsOf(session, `ns=${space};i=${number}`)) names.add(field);
    const fields = [...names];
    const subscription = await session.createSubscription2({ requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 20, maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1 });
    const filter = opcua.constructEventFilter(fields);
    const item = await subscription.monitor({ nodeId: options.emitter || "ns=0;i=2253", attributeId: opcua.AttributeIds.EventNotifier }, { samplingInterval: 0, discardOldest: true, queueSize: 1000, filter }, opcua.TimestampsToReturn.Both);
    const events = [];
    let finish;
    const finished = new Promise((resolve) => { finish = resolve; });
    item.on("changed", (values) => {
      const told = {};
      values.forEach((value, index) => { told[fields[index].replace(/^\d+:/, "")] = plain(value); });
      const type = values[fields.indexOf("EventType")].value;
      told.type = (type.namespace === space && TYPES[type.value]) || type.toString();
      told.fields = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== null));
      events.push({ type: told.type, fields: told.fields });
      if (told.type === (options.until || "ResultReady")) setTimeout(finish, 200);
    });

    const method = `${options.machine}.StartSingleJob`;
    const definition = await session.getArgumentDefinition(method);
    const ids = { MeasId: options.measurement || "m-1", PartId: options.part || "p-1", RecipeId: options.recipe || "", ProductId: options.product || "" };
    const inputArguments = [];
    for (const one of definition.inputArguments) {
      const isList = one.valueRank === 1;
      const value = isList ? [] : await session.constructExtensionObject(one.dataType, { id: ids[one.name] });
      inputArguments.push({ dataType: opcua.DataType.ExtensionObject, arrayType: isList ? opcua.VariantArrayType.Array : opcua.VariantArrayType.Scalar, value });
    }
    const result = await session.call({ objectId: options.machine, methodId: method, inputArguments });
    const call = { status: result.statusCode.name, outputs: (result.outputArguments || []).map(plain), arguments: (result.inputArgumentResults || []).map((one) => one.name) };
    if (result.statusCode.isGood()) await finished;
    const defined = {};
    for (const [number, name] of Object.entries(TYPES)) defined[name] = (await fieldsOf(session, `ns=${space};i=${number}`)).map((field) => field.replace(/^\d+:/, ""));
    await subscription.terminate();
    return { call, events, defined };
  }),
);
