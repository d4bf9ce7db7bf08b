// Shared by the OPC UA programs: arguments, a client with its own certificate, one JSON object as the answer.
"use strict";
const opcua = require("node-opcua-client");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

// One JSON object is the only argument; url, folder (the client's certificates), user, password, policy, mode ...
const options = JSON.parse(process.argv[2]);

// Answer once and leave; an error is an answer too.
function answer(told) {
  process.stdout.write(JSON.stringify(told) + "\n", () => process.exit(0));
}

// Name the status code in an error, or say that it has none.
function refusal(error) {
  const text = String((error && error.message) || error);
  const names = text.match(/Bad[A-Z][A-Za-z]+/g) || [];
  return { refused: names[0] || "unnamed", text: text.slice(0, 400) };
}

// Run a program and answer with what it gives.
function run(program) {
  const limit = setTimeout(() => answer({ refused: "timeout" }), (options.limit_s || 20) * 1000);
  limit.unref();
  program().then(answer, (error) => answer(refusal(error)));
}

// One store of servers' certificates for all clients of a program: to make one costs a key.
let store;
async function certificates() {
  if (!store) {
    store = new OPCUACertificateManager({ rootFolder: options.folder, automaticallyAcceptUnknownCertificate: true });
    await store.initialize();
  }
  return store;
}

// Make a client that shows the certificate asked.certificate with asked.key.
async function makeClient(changes = {}, asked = options) {
  return opcua.OPCUAClient.create({
    applicationName: "foreign",
    applicationUri: asked.application_uri,
    securityMode: opcua.MessageSecurityMode[asked.mode || "SignAndEncrypt"],
    securityPolicy: opcua.SecurityPolicy[asked.policy || "Basic256Sha256"],
    certificateFile: asked.certificate,
    privateKeyFile: asked.key,
    clientCertificateManager: await certificates(),
    keepSessionAlive: false,
    requestedSessionTimeout: 60000,
    connectionStrategy: { initialDelay: 100, maxDelay: 500, maxRetry: 0 },
    ...changes,
  });
}

function identity(asked = options) {
  if (!asked.user) return { type: opcua.UserTokenType.Anonymous };
  return { type: opcua.UserTokenType.UserName, userName: asked.user, password: asked.password };
}

// Connect, sign in, do the work, and sign out whatever happens.
async function withSession(work, changes, asked = options) {
  const client = await makeClient(changes, asked);
  try {
    await client.connect(options.url);
    const session = await client.createSession(identity(asked));
    try {
      return await work(session, client);
    } finally {
      await session.close();
    }
  } finally {
    await client.disconnect();
  }
}

module.exports = { opcua, options, answer, refusal, run, makeClient, identity, withSession };
