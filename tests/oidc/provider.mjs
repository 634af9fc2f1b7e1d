// An OpenID Connect issuer with one client. It knows everybody: whoever types a name is that person, with any password.
//
//   CLIENT_SECRET=… node provider.mjs KEY CERTIFICATE REDIRECT
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const [key, certificate, redirect] = process.argv.slice(2);
const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) });
await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
const issuer = `https://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "orchestra-console",
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  cookies: { keys: [process.env.CLIENT_SECRET] },
  claims: { openid: ["sub"], email: ["email"], profile: ["name"] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, email: `${id}@orchestra.example` }),
  }),
  pkce: { required: () => true },
  ttl: { IdToken: 600 },
});
server.on("request", provider.callback());
console.log(issuer);
