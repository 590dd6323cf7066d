#!/usr/bin/env bash
# Processes that share one MSAL cache file take turns by a lock file beside it; @azure/msal-node-extensions (npm)
# and msal-extensions (PyPI) mean the same file, and hold the lock by its existence. One would guess that only the
# process that made it takes it away. But the plugin for Node remembers that it once had a lock, and each access to
# the cache ends with the deletion of the lock file, though that access took no lock: it reads from memory where the
# file has not changed. So one `getAllAccounts` ends the lock of whichever process is at its turn.
#
# Here Python stores what a sign-in of one user brought, on a slow disk, and holds the lock. Node lists the accounts
# and the lock is gone; Node signs the other user out, which succeeds and is in the file; then Python's write ends, of
# what it had read before, and that user's tokens are back. Without the listing Node waits for its turn. Whoever
# shares such a file has to read it again after a sign-out, or to keep what was signed out elsewhere.
#
#     findings/msal-node-reads-and-the-lock-of-another-process-is-gone.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked: the entries are made here.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 msal-extensions==1.3.1 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts \
    @azure/msal-node@7.2.3 @azure/msal-node-extensions@5.6.1 || exit 2
# The package loads a binding to the desktop's keyring, which a plain file does not need: an empty one stands in.
echo 'module.exports = {};' >node_modules/keytar/lib/keytar.js

# Adds one user to cache.json. With "slowly", says so when it is about to write, and waits for a line first.
cat >add.py <<'EOF'
import base64
import json
import sys
import time

import msal_extensions

HOST, TENANT = "login.microsoftonline.com", "aaaaaaaa-0000-4000-8000-00000000000a"


class Disk(msal_extensions.FilePersistence):
    slow = "slowly" in sys.argv

    def save(self, content):
        if self.slow:
            print("holding the lock", flush=True)
            sys.stdin.readline()
            self.slow = False
        super().save(content)


def text(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


user, now = sys.argv[1], int(time.time())
claims = {"iss": f"https://{HOST}/{TENANT}/v2.0", "aud": "web", "sub": user, "oid": user, "tid": TENANT,
          "preferred_username": f"{user}@example.com", "exp": now + 3600, "iat": now}
msal_extensions.PersistedTokenCache(Disk("cache.json")).add({
    "client_id": "web", "scope": ["User.Read"], "token_endpoint": f"https://{HOST}/{TENANT}/oauth2/v2.0/token",
    "response": {
        "token_type": "Bearer", "expires_in": 3600, "access_token": f"FAKE-AT-{user}",
        "refresh_token": f"FAKE-RT-{user}", "id_token": f"{text({})}.{text(claims)}.x",
        "client_info": text({"uid": user, "utid": TENANT}),
    },
})
EOF

cat >share.mjs <<'EOF'
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { PublicClientApplication, version } from "@azure/msal-node";
import { FilePersistence, PersistenceCachePlugin } from "@azure/msal-node-extensions";

const locked = () => existsSync("cache.json.lockfile");
const tokensOf = (user) => {
    const { AccessToken, RefreshToken } = JSON.parse(readFileSync("cache.json", "utf8"));
    const secrets = [AccessToken, RefreshToken].flatMap((kind) => Object.values(kind).map((entry) => entry.secret));
    return secrets.filter((secret) => secret.endsWith(`-${user}`)).length;
};

async function share(listing) {
    rmSync("cache.json", { force: true });
    spawnSync("venv/bin/python", ["add.py", "ann"], { stdio: "inherit" });
    const cachePlugin = new PersistenceCachePlugin(await FilePersistence.create("cache.json"));
    const app = new PublicClientApplication({ auth: { clientId: "web" }, cache: { cachePlugin } });
    const cache = app.getTokenCache();
    const [ann] = await cache.getAllAccounts();

    const python = spawn("venv/bin/python", ["add.py", "bob", "slowly"], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(python, "exit");
    await once(python.stdout, "data");
    const seen = { before: locked() };
    if (listing) await cache.getAllAccounts();
    seen.after = locked();

    const signedOut = cache.removeAccount(ann).then(() => true);
    seen.atOnce = await Promise.race([signedOut, sleep(2000, false)]);
    seen.then = tokensOf("ann");
    python.stdin.end("go\n");
    await Promise.all([ended, signedOut]);
    seen.atLast = tokensOf("ann");
    return seen;
}

console.log(`MSAL for Node ${version}; Python holds the lock, and Node signs ann out`);
const say = (seen) =>
    `lock before and after: ${seen.before}, ${seen.after}; the sign-out ends at once: ${seen.atOnce}; ` +
    `ann's tokens in the file then: ${seen.then}`;
const without = await share(false);
console.log(`without a listing: ${say(without)}`);
const listed = await share(true);
console.log(`after a listing:   ${say(listed)}, and when Python's write has ended: ${listed.atLast}`);
const waits = without.before && without.after && !without.atOnce;
const comesBack = listed.before && !listed.after && listed.atOnce && listed.then === 0 && listed.atLast === 2;
console.log(waits && comesBack ? "still so: a read takes the lock of another process away" : "this has changed");
process.exit(waits && comesBack ? 0 : 1);
EOF

node share.mjs
