// Which endpoints, policies and ways to sign in does the server offer?
"use strict";
const { opcua, options, run, makeClient } = require("./opcua_session");

run(async () => {
  const client = await makeClient({ securityMode: opcua.MessageSecurityMode.None, securityPolicy: opcua.SecurityPolicy.None });
  await client.connect(options.url);
  const endpoints = await client.getEndpoints();
  await client.disconnect();
  return {
    endpoints: endpoints.map((one) => ({
      policy: one.securityPolicyUri.split("#")[1],
      mode: opcua.MessageSecurityMode[one.securityMode],
      tokens: one.userIdentityTokens.map((token) => opcua.UserTokenType[token.tokenType]),
      password_policy: one.userIdentityTokens.map((token) => (token.securityPolicyUri || "").split("#")[1]),
    })),
  };
});
