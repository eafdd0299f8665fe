"""Prints the records of a sealed spool file as JSON lines; written from host/SPOOL_FORMAT.md alone, as a check of it.
Usage: open_spool.py KEY_FILE SPOOL_FILE (needs the package `cryptography`). Damage ends it with an exception."""
import base64, hashlib, hmac, io, itertools, json, struct, sys
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

def take(file, size):
    part = file.read(size)
    assert len(part) == size, f"cut: {len(part)} of {size} bytes"
    return part
def number(file, form="<I"):
    return struct.unpack(form, take(file, struct.calcsize(form)))[0]
def sized(file):  # What a length stands before; none for a null.
    return None if (size := number(file)) == 0xFFFFFFFF else take(file, size)
def extract(suite, salt, label, ikm):  # LabeledExtract and, for up to 32 bytes, LabeledExpand of RFC 9180, 4.
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")
def expand(suite, prk, label, info, size):
    return hmac.digest(prk, struct.pack(">H", size) + b"HPKE-v1" + suite + label + info + b"\x01", "sha256")[:size]
def hpke_open(private, enc, sealed, aad):  # RFC 9180: Decap (4.1), KeySchedule (5.1), Open (5.2).
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    secret = extract(kem, b"", b"eae_prk", private.exchange(X25519PublicKey.from_public_bytes(enc)))
    shared = expand(kem, secret, b"shared_secret", enc + private.public_key().public_bytes_raw(), 32)
    context = b"\x00" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", b"host-spool/1")
    secret = extract(suite, shared, b"secret", b"")
    key, nonce = expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed, aad)

def data_key(fixed, keys, kind, key):
    private = X25519PrivateKey.from_private_bytes(key) if kind == "x25519-private" else None
    name = b"x25519" + private.public_key().public_bytes_raw() if private else b"aes-256" + key
    kid = hashlib.sha256(b"host-spool/1 kid " + name).hexdigest()[:16]
    entry = {entry["kid"]: entry for entry in keys}[kid]  # A KeyError with the kid held: it is not sealed for that.
    nonce, enc, sealed = (base64.b64decode(entry.get(field, "")) for field in ("nonce", "enc", "key"))
    aad = fixed + kid.encode()
    return hpke_open(private, enc, sealed, aad) if private else AESGCM(key).decrypt(nonce, sealed, aad)
def blocks(file, fixed, info, cipher):
    for index in itertools.count():
        last, size = divmod(number(file), 1 << 31)
        assert last or size == info["block"] + 16, f"member {info['id']}: block {index} of {size} bytes"
        nonce = bytes.fromhex(info["nonce"]) + struct.pack(">IB", index, last)
        yield cipher.decrypt(nonce, take(file, size), fixed)
        if last: return

file, (_, kind, key), members, end = open(sys.argv[2], "rb"), open(sys.argv[1]).read().split(), [], 0
while (magic := take(file, 4)) == b"HSM1":
    info, keys = json.loads(fixed := sized(file)), json.loads(sized(file))
    plain = io.BytesIO(b"".join(blocks(file, fixed, info, AESGCM(data_key(fixed, keys, kind, base64.b64decode(key))))))
    assert info["v"] == 1, f"member {info['id']}: format version {info['v']}"
    members, end = members + [info], file.tell()
    for _ in range(info["records"]):
        offset, timestamp, _, value, _ = number(plain, "<q"), number(plain, "<q"), *map(sized, [plain] * 3)
        print(json.dumps({"offset": offset, "timestamp": timestamp, "value": value and value.decode()}))
    assert not plain.read(), f"member {info['id']} has more than {info['records']} records"
foot, tail = json.loads(text := sized(file)), file.read()
assert tail == hashlib.sha256(text).digest()[:8] + struct.pack("<I", len(text) + 24) + b"HSFE", "end of the footer"
assert (magic, foot["members"], foot["bytes"]) == (b"HSF1", len(members), end), "footer of another file"
spans = sorted((m["topic"], m["partition"], m["first"], m["next"]) for m in members)
assert all(a[:2] != b[:2] or a[3] <= b[2] for a, b in zip(spans, spans[1:])), "members overlap"
begins, stops = [m["first"] for m in members] + [foot["next"]], [foot["first"]] + [m["next"] for m in members]
assert not members or members[0]["topic"] != foot["topic"] or begins == stops, "members do not fill the file's interval"
