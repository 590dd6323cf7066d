// Writes msal-node.json: the cache of the real MSAL for Node, fed by a token endpoint that is made up here.
//
//     node generate.mjs DIRECTORY
//
// No network: the network module is a stub. Same bytes every time: the clock goes on by a second with each sign-in and not else, and
// all tokens are made from their names. Needs the package of package.json in node_modules.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfidentialClientApplication, PublicClientApplication } from "@azure/msal-node";

const NOW = 1795132800; // 2026-11-20T00:00:00Z
let now = NOW;
globalThis.Date = class extends Date {
    constructor(...parts) {
        super(...(parts.length ? parts : [now * 1000]));
    }
    static now() {
        return now * 1000;
    }
};

const HOST = "login.microsoftonline.com";
const B2C_HOST = "example.b2clogin.com";
const TENANT_A = "aaaaaaaa-0000-4000-8000-00000000000a";
const TENANT_B = "bbbbbbbb-0000-4000-8000-00000000000b";
const TENANT_B2C = "b2c00000-0000-4000-8000-0000000000b2";
const WEB = "c1000000-0000-4000-8000-000000000001";
const DESKTOP = "c2000000-0000-4000-8000-000000000002";

// User id, home tenant, name to sign in with.
const USERS = {
    "user-1": ["11111111-0000-4000-8000-000000000001", TENANT_A, "user-1@example.com"],
    "user-2": ["22222222-0000-4000-8000-000000000002", TENANT_A, "user-2@example.com"],
    "user-3": ["33333333-0000-4000-8000-000000000003", TENANT_B, "user-3@example.org"],
    "user-b2c": ["b2b2b2b2-0000-4000-8000-000000000004", TENANT_B2C, "user-b2c@example.net"],
};

const base64url = (data) => Buffer.from(JSON.stringify(data)).toString("base64url");

function idToken(who, client, path, host) {
    const [uid, utid, name] = USERS[who];
    const [tenant, policy] = path.split("/");
    const claims = { aud: client, iss: `https://${host}/${path}/v2.0`, iat: now, nbf: now, exp: now + 3600 };
    claims.sub = `fake-subject-of-${who}-for-${client.slice(0, 2)}`;
    // In another tenant than its own a guest has another object id.
    claims.oid = tenant === utid || policy ? uid : uid.replace("0000", "9999");
    claims.sid = `fake-session-of-${who}`;
    if (policy) {
        Object.assign(claims, { emails: [name], tfp: policy });
    } else {
        Object.assign(claims, { preferred_username: name, tid: tenant, auth_time: NOW - 600, ver: "2.0" });
    }
    return [base64url({ typ: "JWT", alg: "none" }), base64url(claims), "FAKE-SIGNATURE"].join(".");
}

// A network module that is its own provider.
let issued = 0;
const provider = {
    async sendGetRequestAsync(url) {
        const { host, pathname } = new URL(url);
        if (pathname.endsWith("/discovery/instance")) {
            return { status: 200, headers: {}, body: { tenant_discovery_endpoint: "unused", metadata: [] } };
        }
        const path = pathname.replace(/(\/v2\.0)?\/\.well-known\/openid-configuration$/, "").slice(1);
        const base = `https://${host}/${path}/oauth2/v2.0`;
        const body = {
            issuer: `https://${host}/${path}/v2.0`,
            authorization_endpoint: `${base}/authorize`,
            token_endpoint: `${base}/token`,
            end_session_endpoint: `${base}/logout`,
            jwks_uri: `https://${host}/${path}/discovery/v2.0/keys`,
        };
        return { status: 200, headers: {}, body };
    },

    async sendPostRequestAsync(url, options) {
        const { host, pathname } = new URL(url);
        const path = pathname.replace(/\/oauth2\/v2\.0\/token$/, "").slice(1);
        const asked = new URLSearchParams(options.body);
        const mark = String(++issued).padStart(2, "0");
        const body = { token_type: "Bearer", expires_in: 3600, ext_expires_in: 7200 };
        if (asked.get("grant_type") === "client_credentials") {
            body.access_token = `FAKE-ACCESS-TOKEN-${mark}-of-the-app`;
            return { status: 200, headers: {}, body };
        }
        // The made-up codes and assertions begin with the name of the user.
        const who = (asked.get("code") ?? asked.get("assertion")).split(".")[0];
        const [uid, utid] = USERS[who];
        const policy = host === B2C_HOST ? `-${path.split("/")[1].toLowerCase()}` : "";
        Object.assign(body, {
            access_token: `FAKE-ACCESS-TOKEN-${mark}-of-${who}`,
            refresh_token: `FAKE-REFRESH-TOKEN-${mark}-of-${who}`,
            id_token: idToken(who, asked.get("client_id"), path, host),
            client_info: base64url({ uid: uid + policy, utid }),
            scope: asked.get("scope"),
        });
        if (asked.get("client_id") === DESKTOP) body.foci = "1";
        if (who === "user-1") body.refresh_in = 1800;
        return { status: 200, headers: {}, body };
    },
};

// All apps share one file, as apps that set a cache plugin do.
let file = "";
const cachePlugin = {
    async beforeCacheAccess(context) {
        context.tokenCache.deserialize(file);
    },
    async afterCacheAccess(context) {
        if (context.cacheHasChanged) file = context.tokenCache.serialize();
    },
};

function app(Kind, clientId, authority) {
    const auth = { clientId, authority: `https://${authority}`, knownAuthorities: [B2C_HOST] };
    if (Kind === ConfidentialClientApplication) auth.clientSecret = "fake-secret";
    return new Kind({ auth, cache: { cachePlugin }, system: { networkClient: provider } });
}

const web = (authority) => app(ConfidentialClientApplication, WEB, authority);
const signIn = async (client, who, ...scopes) => {
    await client.acquireTokenByCode({ code: `${who}.code`, scopes, redirectUri: "https://app.example.com/back" });
    now += 1;
};

const inA = web(`${HOST}/${TENANT_A}`);
const inB = web(`${HOST}/${TENANT_B}`);
await signIn(inA, "user-1", "User.Read", "Mail.Read");
await signIn(inA, "user-1", "https://api.example.com/Files.Read", "https://api.example.com/Files.Write");
await signIn(inB, "user-1", "User.Read"); // a guest there
await signIn(inA, "user-2", "User.Read");
await signIn(inB, "user-3", "User.Read");
const b2c = web(`${B2C_HOST}/example.onmicrosoft.com/B2C_1_Sign_In`);
await signIn(b2c, "user-b2c", "https://example.onmicrosoft.com/api/read");
await inA.acquireTokenOnBehalfOf({ oboAssertion: "user-2.assertion", scopes: ["https://other.example.com/Data.Read"] });
now += 1;
await inA.acquireTokenOnBehalfOf({ oboAssertion: "user-2.second-assertion", scopes: ["https://third.example.com/Data.Read"] });
now += 1;
await inA.acquireTokenByClientCredential({ scopes: ["https://api.example.com/.default"] });
await inB.acquireTokenByClientCredential({ scopes: ["https://api.example.com/.default"] });
await signIn(app(PublicClientApplication, DESKTOP, `${HOST}/${TENANT_A}`), "user-1", "User.Read");

writeFileSync(join(process.argv[2], "msal-node.json"), `${JSON.stringify(JSON.parse(file), null, 4)}\n`);
