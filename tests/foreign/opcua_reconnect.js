// Does a client that subscribed come back by itself after the server was away? It says "ready", and ends at the second value.
"use strict";
const { opcua, options, run, withSession } = require("./opcua_session");

run(() =>
  withSession(
    async (session, client) => {
      let cuts = 0;
      let restored = 0;
      client.on("connection_lost", () => { cuts += 1; });
      client.on("connection_reestablished", () => { restored += 1; });
      const subscription = await session.createSubscription2({ requestedPublishingInterval: 100, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1 });
      const item = await subscription.monitor({ nodeId: "ns=0;i=2258", attributeId: opcua.AttributeIds.Value }, { samplingInterval: 100, discardOldest: true, queueSize: 10 }, opcua.TimestampsToReturn.Both);
      let values = 0;
      await new Promise((resolve) => {
        item.on("changed", () => {
          values += 1;
          if (values === 1) process.stdout.write(JSON.stringify({ ready: true }) + "\n");
          if (restored && values > 2) resolve();
        });
      });
      return { cuts, restored, values: values > 2 };
    },
    { connectionStrategy: { initialDelay: 200, maxDelay: 1000, maxRetry: 100 }, keepSessionAlive: true },
  ),
);
