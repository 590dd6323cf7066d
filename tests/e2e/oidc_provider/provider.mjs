// An OpenID provider for `main.rs`: the certified package `oidc-provider`, with clients of ours. Anybody signs in with any password.
//
//     node provider.mjs < pipe
//
// The first line on standard input says what it is to be: {"app": URL, "other": URL, "port": 0 or the one from before, "keys": how many,
// "state": FILE, "encryption": {client: the app's JWK Set}}. On standard output it says, a line each: {"port"} once it serves, {"asked": path} when its metadata or keys are fetched,
// and {"notified": client, "error"?} when it has told a client of a sign-out. At the end of the input it writes its state, and ends.

import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const input = createInterface({ input: process.stdin });
const told = JSON.parse(await new Promise((resolve) => input.once("line", resolve)));

// What outlives a restart: the signing keys, and all that the provider knows of sessions, grants and tokens.
const state = existsSync(told.state) ? JSON.parse(readFileSync(told.state, "utf8")) : { keys: [], rows: [] };
while (state.keys.length < told.keys) {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    state.keys.push({ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: `key-${state.keys.length}` });
}
const rows = new Map(state.rows);

class Rows {
    constructor(model) {
        this.model = model;
    }
    async upsert(id, payload) {
        rows.set(`${this.model}:${id}`, payload);
    }
    async find(id) {
        return rows.get(`${this.model}:${id}`);
    }
    async findByUid(uid) {
        return [...rows].find(([key, row]) => key.startsWith(`${this.model}:`) && row.uid === uid)?.[1];
    }
    async consume(id) {
        rows.get(`${this.model}:${id}`).consumed = Math.floor(Date.now() / 1000);
    }
    async destroy(id) {
        rows.delete(`${this.model}:${id}`);
    }
    async revokeByGrantId(grant) {
        [...rows].filter(([, row]) => row.grantId === grant).forEach(([key]) => rows.delete(key));
    }
}

const web = {
    client_secret: "not a very secret secret",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: [`${told.app}/callback`],
    post_logout_redirect_uris: [`${told.app}/`, `${told.app}/logout/done`],
    backchannel_logout_uri: `${told.app}/logout/back-channel`,
};
// Each of these has its ID tokens and logout tokens encrypted, by what its key says.
const encrypted = Object.entries(told.encryption ?? {}).map(([client_id, jwks]) => ({
    ...web,
    client_id,
    backchannel_logout_session_required: true,
    jwks,
    id_token_encrypted_response_alg: jwks.keys[0].alg,
    // One of the two families for each kind of key.
    id_token_encrypted_response_enc: jwks.keys[0].kty === "RSA" ? "A256GCM" : "A128CBC-HS256",
}));
const clients = [
    ...encrypted,
    // A logout token for this one has a `sid`, and so have its ID tokens.
    { ...web, client_id: "web", backchannel_logout_session_required: true },
    // Neither has one.
    { ...web, client_id: "web-by-subject", backchannel_logout_session_required: false },
    // Another app, that is told of no sign-out.
    {
        client_id: "other",
        client_secret: "nor is this",
        redirect_uris: [`${told.other}/callback`],
        post_logout_redirect_uris: [`${told.other}/`],
    },
    // The one of `examples/web_app`, that is.
    {
        client_id: "other-app",
        client_secret: "known-to-whoever-reads-this",
        redirect_uris: [`${told.other}/callback`],
        post_logout_redirect_uris: [`${told.other}/`],
        backchannel_logout_uri: `${told.other}/logout/back-channel`,
        backchannel_logout_session_required: true,
    },
];

const server = createServer();
await new Promise((resolve) => server.listen(told.port, "127.0.0.1", resolve));
const { port } = server.address();
const provider = new Provider(`http://127.0.0.1:${port}`, {
    adapter: Rows,
    clients,
    cookies: { keys: ["signs cookies, after a restart too"] },
    // A new key signs from when it is there; what an older one signed counts on.
    jwks: { keys: state.keys.toReversed() },
    scopes: ["openid", "offline_access", "api.read"],
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    // Without `offline_access` too; then it lives as long as the session.
    issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
    features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true }, encryption: { enabled: true } },
    // All that it can, as the app does.
    enabledJWA: { idTokenEncryptionAlgValues: ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"] },
    // Without the guard against hosts that are this one: the app is here.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
});
provider.on("backchannel.success", (_, client) => say({ notified: client.clientId }));
provider.on("backchannel.error", (_, error, client) => say({ notified: client.clientId, error: error.message }));
provider.on("server_error", (_, error) => console.error(error));

const answer = provider.callback();
server.on("request", (request, response) => {
    if (request.url === "/jwks" || request.url.startsWith("/.well-known/")) {
        say({ asked: request.url });
    }
    answer(request, response);
});
say({ port });

input.on("close", () => {
    writeFileSync(told.state, JSON.stringify({ keys: state.keys, rows: [...rows] }));
    process.exit(0);
});
