#!/usr/bin/python3
"""A second implementation of reading, written from docs/protocol.md alone.

It reads the examples of the page, and verifies, opens and computes again what they show, with no more than the keys that the
story begins with. Then it reads the golden vectors of schema/vectors in the same way. Anything that differs ends it.

Needs python3-nacl and python3-zstandard.
"""

import base64
import hashlib
import hmac
import os
import struct
import sys

import nacl.bindings as sodium
import zstandard

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def check(true, what):
    if not true:
        sys.exit("not so: " + what)


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def be(n, size=8):
    return n.to_bytes(size, "big")


def hkdf(secret, info, salt=b"", size=32):
    prk = hmac.new(salt or bytes(32), secret, "sha256").digest()
    return expand(prk, info, size)


def expand(prk, info, size):
    out, block = b"", b""
    for n in range(1, -(-size // 32) + 1):
        block = hmac.new(prk, block + info + bytes([n]), "sha256").digest()
        out += block
    return out[:size]


def KDF(secret, label, *parts):
    return hkdf(secret, label.encode() + b"\0" + b"".join(parts))


def tag_of(space):
    return H(b"chorus/tag/1", space)[:16]


# Deterministic CBOR: what is read must encode to what was read.


def cbor_item(b, at):
    major, small = b[at] >> 5, b[at] & 31
    at += 1
    if major == 7:
        check(small in (20, 21, 22), "a simple value")
        return {20: False, 21: True, 22: None}[small], at
    if small < 24:
        n = small
    else:
        check(small < 28, "a definite length")
        size = 1 << (small - 24)
        n = int.from_bytes(b[at : at + size], "big")
        at += size
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        check(at + n <= len(b), "a string that ends")
        raw = b[at : at + n]
        return (raw if major == 2 else raw.decode()), at + n
    check(major == 4, "an array")
    out = []
    for _ in range(n):
        value, at = cbor_item(b, at)
        out.append(value)
    return out, at


def cbor_head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for small, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | small]) + be(n, size)
    raise ValueError(n)


def cbor_encode(v):
    if v is None:
        return b"\xf6"
    if isinstance(v, bool):
        return b"\xf5" if v else b"\xf4"
    if isinstance(v, int):
        return cbor_head(0, v) if v >= 0 else cbor_head(1, -1 - v)
    if isinstance(v, bytes):
        return cbor_head(2, len(v)) + v
    if isinstance(v, str):
        return cbor_head(3, len(v.encode())) + v.encode()
    return cbor_head(4, len(v)) + b"".join(cbor_encode(i) for i in v)


def cbor(b):
    value, end = cbor_item(b, 0)
    check(end == len(b) and cbor_encode(value) == b, "one encoding of one value")
    return value


# Entries.


def ed25519(key, message, signature):
    # libsodium refuses small orders and scalars that are not reduced.
    try:
        return sodium.crypto_sign_open(signature + message, key) == message
    except Exception:
        return False


class Entry:
    def __init__(self, raw):
        self.raw = raw
        self.header_bytes, self.body, self.signature = cbor(raw)
        check(len(self.header_bytes) <= 16 << 10 and len(raw) <= 4 << 20, "an entry within its limits")
        h = cbor(self.header_bytes)
        check(len(h) == 12 and h[0] == 1, "a header of version 1")
        (_, self.kind, self.tag, self.log, self.run, self.seq, self.lamport) = h[:7]
        (self.prev, self.deps, self.epoch, self.auth, self.chunks) = h[7:]
        self.device, self.incarnation = self.log[:32], self.log[32:]
        self.hash = H(raw)
        genesis = self.tag == bytes(16)
        roots = self.prev is None and not self.deps
        check((self.seq == 0) == (self.prev is None), "seq and prev")
        check((self.kind == 0) == (self.epoch is not None), "kind and epoch")
        for hashes in (self.deps, self.auth):
            check(all(a < b for a, b in zip(hashes, hashes[1:])), "hashes that rise")
        check(len(self.deps) <= 256 and len(self.auth) <= 64, "few hashes")
        check(max(self.seq, self.lamport) < 1 << 48 and (self.lamport == 1) == roots and self.lamport, "clocks")
        check(not genesis or roots and self.kind != 0, "a genesis")
        self.genesis = genesis

    def verified(self, space):
        check(self.hash == space if self.genesis else self.tag == tag_of(space), "of this space")
        signed_for = bytes(32) if self.genesis else space
        message = b"chorus/entry/1\0" + signed_for + self.raw[1:-66]
        check(ed25519(self.device, message, self.signature), "the signature")
        return message


# Sealing.


def open_sealed(key, sealed, aad, nonce=None):
    if nonce is None:
        nonce, sealed = sealed[:24], sealed[24:]
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, key)


def padme(n):
    if n < 2:
        return n
    e = n.bit_length() - 1
    s = e.bit_length() if e else 0
    step = 1 << (e - min(s, e))
    return -(-n // step) * step


def unpack(packed, most=16 << 20):
    flag, length = packed[0], int.from_bytes(packed[1:5], "big")
    payload, zeros = packed[5 : 5 + length], packed[5 + length :]
    check(len(payload) == length and len(packed) == padme(5 + length) and not any(zeros), "the padding")
    if flag == 0:
        return payload
    check(flag == 1, "a flag")
    window = zstandard.get_frame_parameters(payload).window_size
    check(window <= 16 << 20, "a window")
    reader = zstandard.ZstdDecompressor(max_window_size=16 << 20).decompressobj()
    plain = reader.decompress(payload)
    check(len(plain) <= most and not reader.unused_data, "one frame")
    return plain


def unwrap(private, info, wrap):
    # HPKE, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 (RFC 9180).
    def labeled_extract(suite, salt, label, ikm):
        return hmac.new(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256").digest()

    def labeled_expand(suite, prk, label, more, size):
        return expand(prk, be(size, 2) + b"HPKE-v1" + suite + label + more, size)

    sent, sealed = wrap[:32], wrap[32:]
    public = sodium.crypto_scalarmult_base(private)
    kem = b"KEM" + be(0x20, 2)
    prk = labeled_extract(kem, b"", b"eae_prk", sodium.crypto_scalarmult(private, sent))
    shared = labeled_expand(kem, prk, b"shared_secret", sent + public, 32)
    suite = b"HPKE" + be(0x20, 2) + be(1, 2) + be(3, 2)
    context = (
        b"\0" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    )
    secret = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, b"", nonce, key)


# Frontiers and hellos.


def log_bytes(log, tips):
    return log + be(len(tips)) + b"".join(be(seq) + hash for seq, hash in tips)


def space_root(logs):
    return H(b"chorus/frontier/1", *(log_bytes(log, tips) for log, tips in sorted(logs) if tips))


def hello_digest(sender, receiver, time, spaces):
    root = H(b"chorus/root-of-frontiers/1", *(tag + space_root(logs) for tag, logs in sorted(spaces)))
    return H(b"chorus/hello/1", sender, receiver, be(time), root)


def hello(raw):
    check(len(raw) == 73 and raw[0] == 1, "a hello")
    return raw[1:33], raw[33:65], struct.unpack(">Q", raw[65:])[0]


def frontier(raw):
    kind, announce, greet, pull, deltas, chunks = cbor(raw)
    check(kind == 2 and isinstance(greet, bool) and isinstance(pull, bool), "a frontier")
    check(announce is None or announce == sorted(set(announce)), "an announcement that rises")
    tags = [tag for tag, _, _ in deltas]
    check(tags == sorted(set(tags)), "deltas that rise")
    for _, _, logs in deltas:
        check([log for log, _ in logs] == sorted({log for log, _ in logs}), "logs that rise")
        for _, tips in logs:
            check(tips == sorted(tips) and len(tips) <= 16, "tips that rise")
    return announce, deltas, chunks


# The examples and vectors.


def numbered(lines):
    out, name = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if line.startswith("#") or not line:
            continue
        if line.startswith("  "):
            out[name] += line.strip()
        else:
            name, _, hex = line.partition(" ")
            out[name] = hex
    return {name: bytes.fromhex(hex) for name, hex in out.items()}


def page():
    inside, lines = False, []
    with open(os.path.join(ROOT, "docs", "protocol.md")) as text:
        for line in text:
            if line.startswith("```"):
                inside = line.strip() == "```example"
            elif inside:
                lines.append(line)
    return numbered(lines)


def vectors(name):
    with open(os.path.join(ROOT, "schema", "vectors", name + ".txt")) as text:
        return numbered(text)


def read_person(p):
    check(KDF(p["root.entropy"], "chorus/root/1") == p["root.seed"], "the root's seed")
    check(KDF(p["root.entropy"], "chorus/recovery/1") == p["recovery.seed"], "the recovery key")
    for seed, key in (("root.seed", "root.key"), ("device.seed", "device.key")):
        check(sodium.crypto_sign_seed_keypair(p[seed])[0] == p[key], key)
    for seed, key in (("recovery.seed", "recovery.key"), ("seal.seed", "seal.key")):
        check(sodium.crypto_scalarmult_base(p[seed]) == p[key], key)
    first, certify = Entry(p["first.entry"]), Entry(p["certify.entry"])
    person = first.hash
    check(first.verified(person) == p["first.message"], "the message that is signed")
    check(person == p["first.hash"] and tag_of(person) == p["person.tag"], "a person's id")
    version, kind, root, recovery, _nonce = cbor(first.body)
    check((version, kind, root) == (1, 0, first.device) and recovery == p["recovery.key"], "a first statement")
    check(certify.verified(person) == p["certify.message"] and certify.prev == person, "a certificate")
    version, kind, device, seal, number, _name, proof = cbor(certify.body)
    check((version, kind, device, seal) == (1, 1, p["device.key"], p["seal.key"]), "whose it is")
    message = b"chorus/consent/1\0" + person + device + seal + be(number)
    check(message == p["proof.message"] and ed25519(device, message, proof), "the device agrees")
    check(proof == p["proof.signature"], "the proof")


def read_space(p):
    genesis, epoch = Entry(p["genesis.entry"]), Entry(p["epoch.entry"])
    space = genesis.hash
    check(genesis.verified(space) == p["genesis.message"], "the genesis")
    check(cbor(genesis.body)[:3] == [1, 0, p["first.hash"]], "who made the space")
    check(tag_of(space) == p["space.tag"] and H(b"chorus/root/1", space)[:16] == p["space.root"], "ids of a space")
    check(epoch.verified(space) == p["epoch.message"] and epoch.auth == [space], "the epoch")
    version, kind, nonce, commit, topic, wraps, host_wraps, previous = cbor(epoch.body)
    check((version, kind, host_wraps, previous) == (1, 4, [], []), "a first epoch")
    recipient = b"\0" + p["device.key"]
    info = b"chorus/wrap-epoch/1\0" + space + nonce + recipient
    check(info == p["wrap.info"], "what a wrap is bound to")
    E = unwrap(p["seal.seed"], info, dict(wraps)[recipient])
    check(E == p["epoch.secret"], "the secret of the epoch, by the device")
    other = b"\1" + p["first.hash"]
    info = b"chorus/wrap-epoch/1\0" + space + nonce + other
    check(unwrap(p["recovery.seed"], info, dict(wraps)[other]) == E, "and by the phrase")
    check(KDF(E, "chorus/commit/1") == commit == p["epoch.commit"], "what it commits to")
    T = KDF(E, "chorus/topic/1")
    check(T == p["topic.secret"] and KDF(T, "chorus/topic-commit/1") == topic == p["topic.commit"], "the topic")
    return space, epoch, E, T


def read_content(p, space, epoch, E):
    entry = Entry(p["content.entry"])
    check(entry.verified(space) == p["content.message"], "the entry")
    check((entry.prev, entry.seq, entry.epoch, entry.auth) == (epoch.hash, 2, epoch.hash, [epoch.hash]), "its place")
    check(entry.lamport == epoch.lamport + 1, "its lamport")
    key = KDF(E, "chorus/body/1", space, entry.log)
    check(key == p["body.key"], "the key of the log")
    packed = open_sealed(key, entry.body, entry.header_bytes)
    body = unpack(packed)
    check(packed == p["body.packed"] and body == p["body"], "the body")
    version, _time, items = cbor(body)
    (birth, change) = items
    check(version == 1 and birth[0] == 0 and birth[2] == 0 and birth[4] == b"hello\n", "the file")
    check(change == [1, p["space.root"], p["room.change"]], "the change of the room")
    frame = change[2]
    check(frame[:4] == bytes.fromhex("856f4a83") and frame[8] == 1, "a change")
    check(H(frame[8:])[:4] == frame[4:8], "its checksum")
    actor = H(space, entry.device, entry.incarnation, entry.run, p["space.root"])[:16]
    check(actor == p["room.actor"] and p["room.first-change"] + b"\x10" + actor in frame, "its actor, and its past")
    check(p["door"] in frame and cbor(p["door"])[0] == b"greeting", "the door")
    plain = H(p["chunk.plain"])
    key = KDF(E, "chorus/chunk/1", plain)
    check(plain == p["chunk.plain-hash"] and key == p["chunk.key"], "the key of a chunk")
    check(H(p["chunk.sealed"]) == p["chunk.id"], "the id of a chunk")
    check(open_sealed(key, p["chunk.sealed"], b"", bytes(24)) == p["chunk.plain"], "a chunk")
    return entry


def read_wire(p, space, entry, T):
    tag, tips = tag_of(space), [(entry.seq, entry.hash)]
    check(log_bytes(entry.log, tips) == p["hello.log"], "a log of a frontier")
    root = space_root([(entry.log, tips)])
    check(root == p["hello.space-root"], "a space's root")
    check(H(b"chorus/root-of-frontiers/1", tag, root) == p["hello.root"], "the root")
    check(frontier(p["announce"])[0] == [tag], "the announcement")
    sender, digest, time = hello(p["hello"])
    wanted = hello_digest(sender, p["peer.key"], time, [(tag, [(entry.log, tips)])])
    check(digest == wanted == p["hello.digest"] and sender == p["device.key"], "the hello")
    check(p["hello.frame"] == be(73, 4) + p["hello"], "a frame")
    _, deltas, _ = frontier(p["frontier"])
    check(deltas == [[tag, True, [[entry.log, [list(tips[0])]]]]], "the frontier")
    check(cbor(p["want"]) == [3, [[tag, entry.log, 0, 2]], [], []], "the want")
    check(cbor(p["entries"]) == [5, [entry.raw]], "the entries")
    check(KDF(T, "chorus/topic-name/1").hex().encode() == p["gossip.topic"], "the topic's name")
    check(open_sealed(KDF(T, "chorus/frame/1"), p["gossip.frame"], b"") == p["entries"], "gossip")
    version, statements, device, addresses, token, room, name = cbor(p["card"])
    check((version, len(statements), device, name) == (1, 2, p["device.key"], "ann"), "the card")
    check([H(s) for s in statements] == [p["first.hash"], p["certify.hash"]], "its statements")
    lines = p["card.text"].decode().splitlines()
    check(lines[0] == "-----BEGIN CHORUS PEER FILE-----" and lines[-1] == "-----END CHORUS PEER FILE-----", "its text")
    check(base64.b64decode("".join(lines[1:-2])) == p["card"], "the card in its text")
    check(lines[-2] == "=" + H(p["card"])[:8].hex(), "its checksum")
    check(cbor(p["pairing.request"])[:2] == [1, 0] and cbor(p["pairing.request"])[3][4] is None, "a request")


def read_vectors():
    v = vectors("entry")
    space, log = b"\1" * 32, None
    entry = Entry(v["entry"])
    entry.verified(space)
    check(entry.hash == v["hash"] and entry.header_bytes == v["header"], "the golden entry")
    Entry(v["genesis"]).verified(v["space"])
    log, E = entry.log, b"\4" * 32
    s = vectors("sealing")
    check(open_sealed(KDF(E, "chorus/body/1", space, log), s["body"], v["header"]) == b"body", "the golden body")
    T = KDF(E, "chorus/topic/1")
    check(open_sealed(KDF(T, "chorus/frame/1"), s["frame"], b"") == b"frame", "the golden gossip")
    old = open_sealed(KDF(E, "chorus/previous/1", b"\x09" * 32), s["previous"], space, bytes(24))
    check(old == b"\x0d" * 32, "the golden secret of a replaced epoch")
    key = KDF(E, "chorus/chunk/1", s["chunk-plain"])
    check(open_sealed(key, s["chunk"], b"", bytes(24)) == b"chunk" and H(s["chunk"]) == s["chunk-id"], "a chunk")
    o = vectors("opening")
    check(unwrap(b"\2" * 32, b"info", o["wrap"]) == b"\x0e" * 32, "the golden wrap")
    check(unpack(o["packed"]) == b"the same words over and over, " * 20, "what was packed")
    check(unpack(o["stored"]) == b"short", "what was stored")
    for name, file in (("entry-first", "statement"), ("entry-genesis", "membership")):
        golden = vectors(file)
        Entry(golden[name]).verified(golden["person" if file == "statement" else "space"])
    e = vectors("envelope")
    for name in ("frontier", "ack"):
        frontier(e[name])
    sender, digest, time = hello(e["hello-over-two-spaces"])
    tips = [(3, b"\6" * 32), (4, b"\7" * 32)]
    spaces = [(b"\1" * 16, [(b"\5" * 32 + b"\6" * 8, tips), (b"\x08" * 32 + b"\x09" * 8, [])]), (b"\2" * 16, [])]
    check(digest == hello_digest(sender, b"\2" * 32, time, spaces), "the golden hello")
    i = vectors("ids")
    check(i["tag"] == tag_of(space) and i["root"] == H(b"chorus/root/1", space)[:16], "ids")
    check(i["room"] == H(b"chorus/room/1", i["root"], be(2), "grün".encode())[:16], "the id of a room")


def refuses_what_is_changed(p):
    """Each bit of the story's entry that is flipped is noticed."""
    raw, space = p["content.entry"], p["genesis.hash"]
    taken = 0
    for at in range(len(raw)):
        bad = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        try:
            Entry(bad).verified(space)
            taken += 1
        except (SystemExit, Exception):
            pass
    check(taken == 0, "a changed entry is refused")


def main():
    p = page()
    read_person(p)
    space, epoch, E, T = read_space(p)
    entry = read_content(p, space, epoch, E)
    read_wire(p, space, entry, T)
    refuses_what_is_changed(p)
    read_vectors()
    print(f"{len(p)} examples read, and the golden vectors")


main()
