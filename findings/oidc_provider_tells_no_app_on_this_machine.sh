#!/bin/sh
# oidc-provider delivers no back-channel logout to a loopback or other special-use address, unless it is given a `fetch` of its own. The user's
# sign-out goes on as if the app had been told; nothing is thrown or logged. Only a listener of the event `backchannel.error` learns of it.
#
# Signs a user in and out at the npm package, in a temporary folder, with an app beside it that counts what it is told.
set -eu
VERSION=9.13.3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log && npm install --silent --no-fund --no-audit "oidc-provider@$VERSION" >>npm.log
cat >run.mjs <<'EOF'
import { createServer } from "node:http";
import Provider from "oidc-provider";

const serve = async (handler) => {
    const server = createServer(handler);
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
};
let told = 0;
const app = await serve((request, response) => {
    told += request.url === "/logout" ? 1 : 0;
    response.end();
});
const home = `http://127.0.0.1:${app.address().port}`;

async function signOut(options) {
    const events = [];
    const server = await serve((request, response) => answer(request, response));
    const issuer = `http://127.0.0.1:${server.address().port}`;
    const provider = new Provider(issuer, {
        clients: [{ client_id: "web", client_secret: "secret", redirect_uris: [`${home}/callback`], backchannel_logout_uri: `${home}/logout` }],
        findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
        features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
        cookies: { keys: ["a key"] },
        jwks: { keys: [await key()] },
        pkce: { required: () => false },
        ...options,
    });
    provider.on("backchannel.success", () => events.push("success"));
    provider.on("backchannel.error", (_, error) => events.push(`error: ${error.cause?.message ?? error.message}`));
    const answer = provider.callback();

    // A browser: cookies, and redirects within the provider.
    const cookies = new Map();
    const visit = async (url, form) => {
        for (;;) {
            const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
            const body = form && new URLSearchParams(form);
            const response = await fetch(url, { method: form ? "POST" : "GET", body, headers: { cookie }, redirect: "manual" });
            for (const set of response.headers.getSetCookie()) {
                const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
                value ? cookies.set(name, value) : cookies.delete(name);
            }
            const to = response.headers.get("location");
            if (!to || to.startsWith(home)) return { url, page: await response.text() };
            url = new URL(to, url).href;
            form = undefined;
        }
    };
    const ask = new URLSearchParams({ client_id: "web", response_type: "code", scope: "openid", redirect_uri: `${home}/callback` });
    const login = await visit(`${issuer}/auth?${ask}`);
    const consent = await visit(login.url, { prompt: "login", login: "jane", password: "any" });
    await visit(consent.url, { prompt: "consent" });
    const leaving = await visit(`${issuer}/session/end`);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(leaving.page)[1];
    const before = told;
    const left = await visit(`${issuer}/session/end/confirm`, { xsrf, logout: "yes" });
    server.close();
    return `the user is told "${/<title>([^<]*)</.exec(left.page)[1]}", the app ${told - before} times; events: ${events.join(", ") || "none"}`;
}

async function key() {
    const { generateKeyPairSync } = await import("node:crypto");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "key" };
}

console.warn = console.info = () => {};
console.log(`by default: ${await signOut({})}`);
console.log(`with a fetch of its own: ${await signOut({ fetch: (url, { dispatcher, ...options }) => fetch(url, options) })}`);
app.close();
process.exit(0);
EOF
echo "oidc-provider $VERSION"
node run.mjs 2>errors.log >output.log || { cat output.log errors.log; exit 1; }
cat output.log
grep -q 'by default: .*the app 0 times; events: error: .*special-use' output.log && grep -q 'of its own: .*the app 1 times; events: success' output.log && exit 0
echo "oidc-provider $VERSION does something else now" >&2
exit 1
