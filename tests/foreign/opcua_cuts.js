// Cut options.cuts connections: half closed properly, half by destroying the socket, some of these during the handshake.
"use strict";
const net = require("node:net");
const { opcua, options, run, makeClient, identity } = require("./opcua_session");

const url = new URL(options.url.replace("opc.tcp", "http"));
const counts = { closed: 0, destroyed: 0, half_open: 0, refused: 0 };

// The bytes of a Hello; a Hello cut at any place is a handshake that never ends.
function hello() {
  const endpoint = Buffer.from(options.url);
  const message = Buffer.alloc(32 + endpoint.length);
  message.write("HELF", 0, "latin1");
  message.writeUInt32LE(message.length, 4);
  [0, 65536, 65536, 0, 0].forEach((value, index) => message.writeUInt32LE(value, 8 + 4 * index));
  message.writeInt32LE(endpoint.length, 28);
  endpoint.copy(message, 32);
  return message;
}

// Connect, send the beginning of a handshake, and vanish without a word.
function halfOpen(number) {
  return new Promise((resolve) => {
    const socket = net.connect(Number(url.port), url.hostname, () => {
      const bytes = Buffer.concat([hello(), Buffer.from("OPNF\x84\x03\x00\x00\x00\x00\x00\x00", "latin1")]);
      socket.write(bytes.subarray(0, (number * 7) % (bytes.length + 1)), () => setTimeout(() => socket.resetAndDestroy(), number % 5));
    });
    socket.on("error", () => {});
    socket.on("close", () => { counts.half_open += 1; resolve(); });
  });
}

async function signedIn(number) {
  const client = await makeClient({ endpointMustExist: false, serverCertificate: options.server_certificate && Buffer.from(options.server_certificate, "base64"), requestedSessionTimeout: 5000 });
  client.on("backoff", () => {});
  try {
    await client.connect(options.url);
    const session = await client.createSession(identity());
    if (number % 4 < 2) {
      const subscription = await session.createSubscription2({ requestedPublishingInterval: 100, publishingEnabled: true, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, maxNotificationsPerPublish: 100, priority: 1 });
      await subscription.monitor({ nodeId: "ns=0;i=2258", attributeId: opcua.AttributeIds.Value }, { samplingInterval: 100, queueSize: 10, discardOldest: true }, opcua.TimestampsToReturn.Both);
    }
    if (number % 2 === 0) {
      await session.close();
      await client.disconnect();
      counts.closed += 1;
      return;
    }
    socketOf(client).destroy();
    counts.destroyed += 1;
  } catch (error) {
    counts.refused += 1;
    counts.last = String(error.message).slice(0, 200);
  }
  await client.disconnect().catch(() => {});
}

function socketOf(client) {
  const channel = client._secureChannel || client.secureChannel;
  const transport = channel._transport || (channel.getTransport && channel.getTransport());
  return transport._socket || transport.socket;
}

// Numbers 0, 2, 4 ... close properly; of the others every second is cut in the handshake.
run(async () => {
  let next = 0;
  async function worker() {
    while (next < options.cuts) {
      const number = next++;
      await (number % 4 === 3 ? halfOpen(number) : signedIn(number));
    }
  }
  await Promise.all(Array.from({ length: options.parallel || 4 }, worker));
  return counts;
});
