// May a client sign in, and what is it answered? Each line of the input is one try, each line of the output its answer.
"use strict";
const readline = require("node:readline");
const { opcua, options, refusal, withSession } = require("./opcua_session");

const CLOCK = "ns=0;i=2258";

async function call(session, one) {
  const inputArguments = (one.arguments || []).map(([dataType, value]) => ({ dataType: opcua.DataType[dataType], value }));
  const result = await session.call({ objectId: one.object, methodId: one.method, inputArguments });
  return result.statusCode.name;
}

async function write(session, one) {
  try {
    const value = { value: { dataType: opcua.DataType[one.type], value: one.value } };
    return (await session.write({ nodeId: one.node, attributeId: opcua.AttributeIds.Value, value })).name;
  } catch (error) {
    return refusal(error).refused;
  }
}

// Sign in as asked; asked.calls and asked.writes name methods and variables to try.
function signIn(asked) {
  return withSession(
    async (session) => {
      const clock = await session.read({ nodeId: CLOCK, attributeId: opcua.AttributeIds.Value });
      const called = [];
      for (const one of asked.calls || []) called.push(await call(session, one));
      const written = [];
      for (const one of asked.writes || []) written.push(await write(session, one));
      return { signed_in: clock.statusCode.name, called, written };
    },
    {},
    asked,
  );
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = await signIn({ ...options, ...JSON.parse(line) }).catch(refusal);
    process.stdout.write(JSON.stringify(told) + "\n");
  }
  process.exit(0);
})();
