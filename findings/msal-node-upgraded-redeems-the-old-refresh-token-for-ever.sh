#!/usr/bin/env bash
# An app keeps its users' MSAL cache and goes from MSAL for Node 3 to 7. One would guess that the newer version carries
# the entries on: it reads them, and lists the users. But between the two an entry's key lost a hyphen, and entries
# are replaced by key and looked for by fields. So a refresh stores the new refresh token beside the old one, and the
# next refresh finds the old one first, again and again: what the provider rotates is never used. Where a provider
# takes the second use of a refresh token for theft, or lets one live for a fixed time, the users are signed out. The
# ID tokens fare otherwise: two that match are too many, and the next listing of the accounts deletes both, so that a
# sign-out at the provider has no `id_token_hint`. Whoever reads such a cache meets two refresh tokens of one user and
# client, without a time beside either.
#
#     findings/msal-node-upgraded-redeems-the-old-refresh-token-for-ever.sh
#
# Needs node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried. No provider is asked:
# the HTTP client answers itself, and notes which refresh tokens it is sent.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts \
    old@npm:@azure/msal-node@3.8.10 new@npm:@azure/msal-node@7.2.3 || exit 2

cat >upgrade.mjs <<'EOF'
import * as newer from "new";
import * as older from "old";

const tenant = "aaaaaaaa-0000-4000-8000-00000000000a";
const user = "11111111-0000-4000-8000-000000000001";
const authority = `https://login.microsoftonline.com/${tenant}`;
const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

const redeemed = [];
let given = 0;
const networkClient = {
    async sendGetRequestAsync(url) {
        const body = url.includes("/discovery/instance")
            ? { tenant_discovery_endpoint: "unused", metadata: [] }
            : {
                  issuer: `${authority}/v2.0`, jwks_uri: `${authority}/k`, end_session_endpoint: `${authority}/l`,
                  authorization_endpoint: `${authority}/a`, token_endpoint: `${authority}/t`,
              };
        return { status: 200, headers: {}, body };
    },
    async sendPostRequestAsync(_, { body }) {
        const sent = new URLSearchParams(body).get("refresh_token");
        if (sent) redeemed.push(sent);
        given += 1;
        const now = Math.floor(Date.now() / 1000);
        const claims = {
            iss: `${authority}/v2.0`, aud: "web", sub: "s", oid: user, tid: tenant,
            preferred_username: "user@example.com", exp: now + 3600, iat: now,
        };
        return {
            status: 200, headers: {},
            body: {
                token_type: "Bearer", expires_in: 3600, scope: "User.Read", access_token: `AT-${given}`,
                refresh_token: `RT-${given}`, id_token: `${text({})}.${text(claims)}.x`,
                client_info: text({ uid: user, utid: tenant }),
            },
        };
    },
};

// What a process does between its start and its end, with a cache that outlives it.
let kept = "{}";
async function run({ ConfidentialClientApplication }, work) {
    const auth = { clientId: "web", clientSecret: "fake", authority };
    const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
    app.getTokenCache().deserialize(kept);
    const result = await work(app, app.getTokenCache());
    kept = app.getTokenCache().serialize();
    return result;
}
const signIn = (app) => app.acquireTokenByCode({ code: "c", scopes: ["User.Read"], redirectUri: "https://app.example" });
const refresh = async (app, cache) => {
    const [account] = await cache.getAllAccounts();
    await app.acquireTokenSilent({ account, scopes: ["User.Read"], forceRefresh: true });
};
const count = (kind) => Object.keys(JSON.parse(kept)[kind]).length;

async function life(first, second) {
    kept = "{}";
    given = redeemed.length = 0;
    await run(first, signIn);
    await run(second, refresh);
    const idTokens = [count("IdToken")];
    const hints = await run(second, async (_, cache) => (await cache.getAllAccounts()).map(({ idToken }) => Boolean(idToken)));
    idTokens.push(count("IdToken"));
    for (let more = 0; more < 2; more += 1) await run(second, refresh);
    return { redeemed: redeemed.join(" "), refreshTokens: count("RefreshToken"), idTokens: idTokens.join(" then "), hint: hints.join() };
}

const show = (what, seen) =>
    console.log(
        `${what}: redeemed ${seen.redeemed}; refresh tokens kept: ${seen.refreshTokens}; ` +
            `ID tokens before and after a listing: ${seen.idTokens}; the listed account has one: ${seen.hint}`,
    );
const alone = await life(newer, newer);
show(`${newer.version} alone`, alone);
const upgraded = await life(older, newer);
show(`${older.version}, then ${newer.version}`, upgraded);
const still =
    JSON.stringify(alone) === JSON.stringify({ redeemed: "RT-1 RT-2 RT-3", refreshTokens: 1, idTokens: "1 then 1", hint: "true" }) &&
    JSON.stringify(upgraded) === JSON.stringify({ redeemed: "RT-1 RT-1 RT-1", refreshTokens: 2, idTokens: "2 then 0", hint: "false" });
console.log(still ? "still so: after the upgrade the first refresh token is redeemed each time" : "this has changed");
process.exit(still ? 0 : 1);
EOF
node upgrade.mjs
