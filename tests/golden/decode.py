#!/usr/bin/env python3
"""Reads the known answers by docs/format.md alone, and says what is in them. Fails if one byte is not as described there."""

import base64
import hmac
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

FOLDER = Path(__file__).parent
# Given on the command line; without one, all of them are read.
VERSION = int(sys.argv[1]) if len(sys.argv) > 1 else None
if VERSION is None:
    for version in (1, 2):
        subprocess.run([sys.executable, __file__, str(version)], check=True)
    sys.exit()


def parts(name):
    """What version 2 does not write otherwise is where version 1 has left it."""
    path = FOLDER / f"v{VERSION}" / f"{name}.hex"
    text = (path if path.exists() else FOLDER / "v1" / f"{name}.hex").read_text()
    return [bytes.fromhex(part.replace("\n", "")) for part in text.split("\n\n")]


def rows(name):
    found = parts(name)
    return list(zip(found[::2], found[1::2], strict=True))


def expand(key, info, length=32):
    return HKDFExpand(SHA256(), length, info).derive(key)


def lp(data):
    return len(data).to_bytes(4, "big") + data


def mac(key, *fields):
    return hmac.digest(key, b"".join(map(lp, fields)), "sha256")[:16]


def opened(key, aad, sealed):
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], aad)


class Reader:
    """Cuts bytes from the front."""

    def __init__(self, data):
        self.data = data

    def take(self, length):
        assert len(self.data) >= length
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def text(self):
        return self.take(self.number(8)).decode()

    def texts(self):
        return [self.text() for _ in range(self.number(8))]

    def option(self, read):
        return {0: lambda: None, 1: read}[self.number(1)]()

    def end(self):
        assert not self.data


def body(data):
    """The fields of a padded body."""
    assert len(data) % 256 == 0
    length = int.from_bytes(data[:4], "big")
    assert not any(data[4 + length :]) and len(data) - 4 - length < 256
    return Reader(data[4 : 4 + length])


def keyring(name, operator):
    data = parts(name)[0]
    file = Reader(data)
    assert file.take(4) == b"OUBK" and file.number(1) == VERSION
    store = file.take(16)
    mounts = set()
    for _ in range(file.number(1)):
        key_id, alg, blob = file.take(16), file.number(1), Reader(file.take(file.number(2)))
        if alg == 1:
            assert key_id == expand(operator, b"oubliette/v1/kek-id", 16)
            salt, sealed, commitment = blob.take(16), blob.take(60), blob.take(32)
            both = expand(operator, b"oubliette/v1/kek-wrap" + salt + store, 64)
            assert both[32:] == commitment
            mounts.add(opened(both[:32], b"oubliette/v1/mount-key" + store + key_id, sealed))
        else:
            # The provider of the tests turns every bit around.
            assert alg == 3
            mounts.add(bytes(255 - byte for byte in blob.take(32)))
        blob.end()
    (mount,) = mounts
    front = data[: len(data) - len(file.data)]
    secrets = Reader(opened(expand(mount, b"oubliette/v1/keyring-body"), front, file.data))
    assert secrets.number(1) == VERSION
    index, ledger_key, ledger = secrets.take(32), secrets.take(32), secrets.take(16)
    roots = {secrets.number(4): secrets.take(32) for _ in range(secrets.number(1))}
    # Of a new store: it has no opening of version 1.
    assert VERSION == 1 or secrets.number(8) == 0
    secrets.end()
    return store, index, ledger_key, ledger, roots


STORE, INDEX, LEDGER_KEY, LEDGER, ROOTS = keyring("keyring", bytes(range(32)))
assert keyring("keyring-two-wraps", bytes(range(1, 33))) == (STORE, INDEX, LEDGER_KEY, LEDGER, ROOTS)


def tag(kind, *fields):
    return mac(expand(INDEX, b"oubliette/v1/tag/" + kind), *fields)


def aad(label, generation, key, front):
    return b"oubliette/v1/" + label + b"\0" + STORE + LEDGER + generation + lp(key) + front


USER = tag(b"account", b"\0", b"login.example.com", b"uid.utid")
ACCOUNTS = [
    USER,
    tag(b"account", b"\1" if VERSION == 1 else b"\0", b"https://login.example.com", b"sub"),
    tag(b"account", b"\2", b"contoso", b"client"),
]


def headers():
    """Of three kinds of accounts; all with one key and life, which would not be so in a store."""
    for account, (key, value) in zip(ACCOUNTS, rows("header"), strict=True):
        assert key == b"A" + account + b"\0"
        front = Reader(value)
        assert front.take(2) == b"\1H"
        root, generation = ROOTS[front.number(4)], front.take(16)
        sign_ins = [front.take(16) for _ in range(front.number(1))]
        salt = front.take(16)
        behind = front.data
        before = value[: len(value) - len(behind)]
        wrapping = expand(root, b"oubliette/v1/account-key" + salt)
        account_key = opened(wrapping, aad(b"account-key", generation, key, before), behind[:60])
        fields = body(opened(account_key, aad(b"account", generation, key, before + behind[:60]), behind[60:]))
        print("header", fields.number(1), fields.text(), fields.text())
        fields.end()
        yield generation, account_key, sign_ins


(GENERATION, ACCOUNT_KEY, SIGN_INS), *_ = headers()


def sealed_row(label, key, value, front):
    return opened(ACCOUNT_KEY, aad(label, GENERATION, key, value[:front]), value[front:])


for sign_in, (key, value) in zip(SIGN_INS, rows("sign-in"), strict=True):
    assert key == b"A" + USER + b"\x08" + sign_in and value[:2] == bytes([VERSION]) + b"S"
    b = body(sealed_row(b"sign-in", key, value, 2))
    tenant = b.text()
    session, subject = [b.option(lambda: (b.text(), b.text())) for _ in range(2)]
    aliases = [(b.number(1), b.text()) for _ in range(b.number(8))]
    time, opening, as_of = b.number(8), b.take(16), b.number(8)
    label, age = (b.option(b.text), b.option(lambda: b.number(8))) if VERSION == 2 else (None, None)
    b.end()
    print("sign-in", tenant, session, subject, aliases, time, opening.hex(), as_of, label, age)


def slot(kind, client, family, resource, token_type, scopes, partition):
    if kind == 0:
        target = [b"\1" if resource is not None else b"\0", (resource or "").encode(), " ".join(sorted(scopes)).encode()]
        return tag(b"slot", USER, b"access", client, token_type.lower().encode(), *target, partition)
    if kind == 1:
        who = (b"refresh", client) if family is None else (b"family", family.encode())
        return tag(b"slot", USER, *who, partition)
    return tag(b"slot", USER, b"id", client, partition)


def token(these):
    whole, writes = b"", set()
    for number, (key, value) in enumerate(these):
        assert value[:2] == bytes([VERSION]) + b"T" and value[2] == len(these) and key[-1] == number and key[:-1] == these[0][0][:-1]
        writes.add(value[3:19])
        whole += sealed_row(b"token", key, value, 19)
    assert len(writes) == 1
    b = body(whole)
    kind, client, tenant, resource = b.number(1), b.text(), b.option(b.text), b.option(b.text)
    scopes, token_type, family, secret = b.texts(), b.text(), b.option(b.text), b.text()
    times = [b.option(lambda: b.number(8)) for _ in range(3)]
    partition, extra = b.take(b.number(8)), b.take(b.number(8))
    lifetime, put = None, None
    if VERSION == 2:
        lifetime = b.option(lambda: b.number(8))
        put = b.option(lambda: [b.number(8) for _ in range(3)])
    b.end()
    place = slot(kind, client.encode(), family, resource, token_type, scopes, partition)
    tenant_tag = tag(b"tenant", (tenant or "contoso").encode())
    assert these[0][0] == b"A" + USER + b"\x10" + SIGN_INS[0] + tenant_tag + place + b"\0"
    print("token", kind, client, tenant, resource, scopes, token_type, family, secret[:20], times, partition.hex(), extra, lifetime, put)


for row in rows("token"):
    token([row])
token(rows("token-of-three-parts"))

((key, value),) = rows("checkpoint")
assert key == b"C" and value[:2] == b"\1C"
sealed = opened(expand(ROOTS[max(ROOTS)], b"oubliette/v1/checkpoint"), aad(b"checkpoint", bytes(16), key, value[:2]), value[2:])
print("checkpoint", sealed.hex())

if VERSION == 2:
    ((key, value),) = rows("known-time")
    assert key == b"K" and value[:2] == b"\1K"
    known = opened(expand(ROOTS[max(ROOTS)], b"oubliette/v1/checkpoint"), aad(b"known-time", bytes(16), key, value[:2]), value[2:])
    print("known time", int.from_bytes(known[:8], "big"), "when the clock showed", int.from_bytes(known[8:], "big"))
    ((key, value),) = rows("fresh-engine")
    assert key == b"F" and value[:2] == b"\1F"
    fresh = opened(expand(ROOTS[max(ROOTS)], b"oubliette/v1/checkpoint"), aad(b"fresh-engine", bytes(16), key, value[:2]), value[2:])
    print("a fresh engine of", int.from_bytes(fresh[8:], "big"), "bytes for", int.from_bytes(fresh[:8], "big"), "that were live")
    ((key, value),) = rows("longest-age")
    assert key == b"G" and value[:2] == b"\1G"
    age = opened(expand(ROOTS[max(ROOTS)], b"oubliette/v1/checkpoint"), aad(b"longest-age", bytes(16), key, value[:2]), value[2:])
    print("sign-ins last for at most", int.from_bytes(age, "big"))
    text, name = parts("ticket")
    ticket = base64.urlsafe_b64decode(text)
    front, epoch, salt = ticket[:21], int.from_bytes(ticket[1:5], "big"), ticket[5:21]
    assert front[0] == 1 and len(text) == 108
    place = opened(expand(ROOTS[epoch], b"oubliette/v1/ticket" + salt), aad(b"ticket", bytes(16), b"", front), ticket[21:])
    assert place == USER + SIGN_INS[1] and name == tag(b"sign-in", USER, SIGN_INS[1])
    print("a ticket for", place.hex())


def ledger(name):
    data = parts(name)[0]
    lk = expand(LEDGER_KEY, b"oubliette/v1/ledger")
    fk = expand(LEDGER_KEY, b"oubliette/v1/ledger-filler" + LEDGER)
    header = Reader(data[:496])
    assert mac(lk, b"header", data[:496]) == data[496:512]
    assert header.take(5) == b"OUBL\1" and header.take(16) == LEDGER
    serial, chunk, kept, tail, floor, since = [header.number(width) for width in (4, 4, 4, 8, 8, 8)]
    assert header.data == bytes(439)
    print(name, "serial", serial, "kept", kept, "tail", tail, "floor", floor, "known since", since)
    slots = [data[at : at + 64] for at in range(512, len(data), 64)]
    assert len(slots) % chunk == 0
    fillers = 0
    for number, slot in enumerate(slots):
        block, within = divmod(number, 64)
        stream = AESGCM(fk).encrypt(serial.to_bytes(4, "big") + block.to_bytes(8, "big"), bytes(4096), b"")
        if slot == stream[within * 64 :][:64]:
            fillers += 1
            continue
        assert slot[48:] == mac(lk, b"slot", LEDGER, serial.to_bytes(4, "big"), number.to_bytes(8, "big"), slot[:48])
        record = Reader(slot)
        position, group, call, size, kind, zero = [record.number(width) for width in (8, 2, 2, 2, 1, 1)]
        assert zero == 0 and (position < tail if number < kept else position == tail + number - kept)
        print("  ", position, "group", group, "call", call, "of", size, "kind", kind, record.take(16).hex(), record.number(8), record.number(8))
    assert fillers > 0
    print("  ", fillers, "fillers")


ledger("ledger")
ledger("ledger-compacted")
