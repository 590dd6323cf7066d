"""Speaks the line protocol for MSAL for Python: `driver.py memory` or `driver.py file`.

One token cache holds all users. `memory` is MSAL's TokenCache. `file` is PersistedTokenCache of msal-extensions over a plain file,
with an fsync after each save, so that it is as durable as the others. A sign-out is `ClientApplication.remove_account`. With a file,
threads take turns: else one that looks whether the file is newer may read it while another has just emptied it to write it
anew, and the cache writes that emptiness back.
"""

import contextlib
import json
import os
import random
import sys
import threading
import time
from importlib.metadata import version

import msal
import msal_extensions

CLIENT = "00000000-0000-0000-0000-00000000c11e"
HOST = "login.microsoftonline.com"
REALM = "organizations"
AUTHORITY = f"https://{HOST}/{REALM}"


class Response:
    """What a provider would answer; nothing is sent anywhere."""

    status_code, headers = 200, {}
    text = json.dumps({"issuer": AUTHORITY, "authorization_endpoint": AUTHORITY + "/authorize", "token_endpoint": AUTHORITY + "/token"})

    def raise_for_status(self):
        pass


class NoNetwork:
    def get(self, *_, **__):
        return Response()

    post = get

    def close(self):
        pass


class SyncedFile(msal_extensions.FilePersistence):
    def save(self, content):
        super().save(content)
        with open(self._location, "r+b") as file:
            os.fsync(file.fileno())


class Peer:
    def __init__(self, is_file, folder):
        os.makedirs(folder, exist_ok=True)
        self.file = SyncedFile(os.path.join(folder, "cache.json")) if is_file else None
        self.cache = msal_extensions.PersistedTokenCache(self.file) if is_file else msal.TokenCache()
        if is_file and os.path.exists(self.file.get_location()):
            self.cache._reload_if_necessary()
        self.turn = threading.Lock() if is_file else contextlib.nullcontext()
        self.app = msal.PublicClientApplication(
            CLIENT, authority=AUTHORITY, token_cache=self.cache, http_client=NoNetwork(), instance_discovery=False)

    def entries(self, account, token, text):
        """The rows that MSAL's own `add` would write."""
        home = f"{account:032x}.{account % 40:032x}"
        of_account = {"home_account_id": home, "environment": HOST}
        now = int(time.time())
        kind = msal.TokenCache.CredentialType
        yield kind.ACCESS_TOKEN, dict(
            of_account, credential_type="AccessToken", secret=text, client_id=CLIENT, target=f"api://service-{token}/Files.Read",
            realm=REALM, token_type="Bearer", cached_at=str(now), expires_on=str(now + 10**6), extended_expires_on=str(now + 10**6))
        if token == 0:
            yield kind.ACCOUNT, dict(of_account, realm=REALM, local_account_id=f"{account:032x}", username="", authority_type="MSSTS")

    def load(self, first, count, tokens, size):
        loading = msal.SerializableTokenCache()
        loading._cache = self.cache._cache
        for account in range(first, first + count):
            for token in range(tokens):
                text = random.Random(account << 20 | token).randbytes(size // 2).hex()
                for kind, entry in self.entries(account, token, text):
                    loading.modify(kind, entry, entry)
        if self.file:
            # All at once: the cache itself would write the whole file once for each entry.
            self.file.save(loading.serialize())
            self.cache._reload_if_necessary()

    def account(self, account):
        return {"home_account_id": f"{account:032x}.{account % 40:032x}", "environment": HOST, "realm": REALM}

    def get(self, account, token):
        result = self.app.acquire_token_silent([f"api://service-{token}/Files.Read"], self.account(account))
        return result and result["access_token"]

    def put(self, account, token, text):
        for kind, entry in self.entries(account, token, text):
            if kind == msal.TokenCache.CredentialType.ACCESS_TOKEN:
                self.cache.modify(kind, entry, entry)

    def sign_out(self, account):
        with self.turn:
            self.app.remove_account(self.account(account))


def timed(work, *args):
    start = time.perf_counter_ns()
    result = work(*args)
    return time.perf_counter_ns() - start, result


def burst(peer, accounts, threads):
    each, starts = [], []
    barrier = threading.Barrier(threads)

    def run(mine):
        barrier.wait()
        starts.append(time.perf_counter_ns())
        each.extend([timed(peer.sign_out, account)[0] for account in mine])

    running = [threading.Thread(target=run, args=(accounts[share::threads],)) for share in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    ns = time.perf_counter_ns() - min(starts)
    return {"ns": ns, "settled": ns, "each": each}


def answer(peer, r):
    op = r["op"]
    accounts = range(r["first"], r["first"] + r["count"]) if "first" in r else ()
    if op == "load":
        return {"ns": timed(peer.load, r["first"], r["count"], r["tokens"], r["bytes"])[0]}
    if op == "sign_out":
        times = [timed(peer.sign_out, account)[0] for account in accounts]
        return {"ns": times, "settled": times}
    if op == "burst":
        return burst(peer, list(accounts), min(r["threads"], len(accounts)))
    if op == "count":
        return {"found": sum(peer.get(account, 0) is not None for account in accounts)}
    rand, times = random.Random(r["seed"]), []
    for _ in range(r["count"]):
        account, token = rand.randrange(r["live"]), rand.randrange(r["tokens"])
        if op == "put":
            ns, _ = timed(peer.put, account, token, rand.randbytes(r["bytes"] // 2).hex())
        else:
            ns, text = timed(peer.get, account, token)
            assert len(text) == r["bytes"]
        times.append(ns)
    return {"ns": times}


def main():
    peer = None
    for line in sys.stdin:
        r = json.loads(line)
        if r["op"] == "open":
            ns, peer = timed(Peer, sys.argv[1] == "file", r["dir"])
            about = f"msal {version('msal')}, msal-extensions {version('msal-extensions')}, Python {sys.version.split()[0]}"
            result = {"ns": ns, "about": about, "servers": []}
        elif r["op"] == "close":
            ns, peer = timed(lambda: None)
            result = {"ns": ns}
        elif r["op"] == "memory":
            with open("/proc/self/status") as status:
                result = {"bytes": next(int(s.split()[1]) * 1024 for s in status if s.startswith("VmHWM:"))}
        else:
            result = answer(peer, r)
        print(json.dumps(result), flush=True)


main()
