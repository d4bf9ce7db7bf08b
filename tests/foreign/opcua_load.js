// Receive results as fast as they come: how many, how old on arrival, in which order. Each line of the input asks for a summary.
"use strict";
const readline = require("node:readline");
const { opcua, options, run, withSession, answer } = require("./opcua_session");

// The library reads types in the background and throws where nobody can catch it when the session ends before that.
process.on("uncaughtException", () => process.exit(1));

const FIELDS = ["Time", "EventType", "ResultId", "JobId", "PartId", "ResultState", "IsPartial", "ResultContent"];

run(() =>
  withSession(async (session) => {
    const spaces = await session.readNamespaceArray();
    const space = spaces.indexOf("http://opcfoundation.org/UA/MachineVision");
    const fields = FIELDS.map((name) => (["Time", "EventType"].includes(name) ? name : `${space}:${name}`));
    const subscription = await session.createSubscription2({ requestedPublishingInterval: options.interval_ms || 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 20, maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1 });
    const filter = opcua.constructEventFilter(fields, opcua.ofType(`ns=${space};i=1024`));
    const item = await subscription.monitor({ nodeId: "ns=0;i=2253", attributeId: opcua.AttributeIds.EventNotifier }, { samplingInterval: 0, discardOldest: true, queueSize: options.queue || 1000, filter }, opcua.TimestampsToReturn.Both);
    let ages = [];
    let disorder = 0;
    let nulls = 0;
    let last = -1;
    let began = process.cpuUsage();
    item.on("changed", (values) => {
      if (values[1].value.value !== 1024) return;
      ages.push(Date.now() - values[0].value.getTime());
      nulls += values.filter((value) => value.dataType === opcua.DataType.Null).length;
      const number = Number((values[2].value.id || "").split("-").pop());
      if (number <= last) disorder += 1;
      last = number;
    });
    process.stdout.write(JSON.stringify({ ready: true }) + "\n");
    for await (const line of readline.createInterface({ input: process.stdin })) {
      if (line === "stop") break;
      ages.sort((one, other) => one - other);
      const at = (share) => (ages.length ? ages[Math.min(ages.length - 1, Math.floor(share * ages.length))] : null);
      const used = process.cpuUsage(began);
      process.stdout.write(JSON.stringify({ received: ages.length, disorder, nulls, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1), client_cpu_s: (used.user + used.system) / 1e6 }) + "\n");
      ages = [];
      disorder = 0;
      nulls = 0;
      began = process.cpuUsage();
    }
    await subscription.terminate();
    return { done: true };
  }),
);
