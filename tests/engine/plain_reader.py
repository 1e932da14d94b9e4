"""A reader written from docs/format.md, with nothing of the engine: slow, short and strict."""

import contextlib
import hashlib
import hmac
import json
import struct
from collections.abc import Mapping

import google_crc32c
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ZERO = bytes(16)


def derive(key: bytes, purpose: bytes, ids: bytes = b"") -> bytes:
    info = b"emberkeep/1\0" + purpose + b"\0aes-256-gcm\0" + ids
    return HKDFExpand(SHA256(), 32, info).derive(key)


def unseal(key: bytes, sealed: bytes, bound: bytes | None = None) -> bytes:
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], bound)


def open_record(key: bytes, kind: int, seq: int, index: int, stored: bytes) -> bytes:
    nonce = struct.pack(">QI", seq, index)
    plain = AESGCM(key).decrypt(nonce, stored[1:], bytes((kind, stored[0])))
    return plain if stored[0] == 0 else zstandard.ZstdDecompressor().decompress(plain)


class Entry:
    """A place in the repository: what a node's slot or the root's `top` says."""

    def __init__(
        self, session: str, key: int, seq: int, index: int, offset: int, length: int
    ) -> None:
        self.session, self.key, self.seq = session, key, seq
        self.index, self.offset, self.length = index, offset, length


def parse_node(plain: bytes) -> tuple[int, dict[int, Entry], dict[int, bytes], bytes]:
    """Height, entries and children's digests by slot, and the node's own digest."""
    height, segments = struct.unpack_from("<BH", plain)
    bits = int.from_bytes(plain[3:35], "big")
    slots = [slot for slot in range(256) if bits >> (255 - slot) & 1]
    at = 35
    table = [plain[at + 24 * n : at + 24 * n + 24] for n in range(segments)]
    at += 24 * segments
    columns = []
    for width, signed in ((2, False), (8, True), (8, True), (4, True)):
        planes = plain[at : at + width * len(slots)]
        at += len(planes)
        columns.append(
            [
                int.from_bytes(planes[n :: len(slots)], "little", signed=signed)
                for n in range(len(slots))
            ]
        )
    entries, digests = {}, {}
    index = end = length = 0
    for slot, number, step, gap, more in zip(slots, *columns, strict=True):
        index, length, offset = index + step, length + more, end + gap
        end = offset + length
        key, seq = struct.unpack("<II", table[number][16:])
        entries[slot] = Entry(table[number][:16].hex(), key, seq, index, offset, length)
    if height > 1:
        for slot in slots:
            digests[slot] = plain[at : at + 16]
            at += 16
    assert len(plain) == at + 16
    return height, entries, digests, plain[at:]


def footer(plain: bytes) -> tuple[str, int, list[tuple[int, ...]]]:
    """The volume, the data key's number, and (index, offset, length, kind, crc) of each record."""
    count, key, length = struct.unpack_from("<IIH", plain)
    at = 10 + length
    columns = []
    for letter, width in (("I", 4), ("Q", 8), ("I", 4), ("B", 1), ("I", 4)):
        columns.append(struct.unpack_from(f"<{count}{letter}", plain, at))
        at += width * count
    assert at == len(plain)
    return plain[10 : 10 + length].decode(), key, list(zip(*columns, strict=True))


class PlainReader:
    """Restores backups from the objects of a repository, given the key manager's key."""

    def __init__(self, objects: Mapping[str, bytes], key: bytes, domain: str) -> None:
        self._objects = objects
        self._domain = domain
        found = json.loads(objects["format"])
        mac = found.pop("mac")
        assert (found["version"], found["features"], found["cipher"]) == (1, [], "aes-256-gcm")
        repository = found["repository"]
        bound = f"\0emberkeep/1 metadata key {repository}".encode()
        self._metadata_key = self._unwrap(key, f"key/{repository}/", bound)
        text = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
        secret = derive(self._metadata_key, b"format")
        assert hmac.new(secret, text, hashlib.sha256).hexdigest() == mac
        self._data_keys: dict[int, bytes] = {}
        prefix = f"d/{domain}/key/"
        assert f"{prefix}destroyed" not in objects
        names = (name for name in objects if name.startswith(prefix))
        for number in {int(name.removeprefix(prefix).partition(".")[0]) for name in names}:
            bound = f"{domain}\0emberkeep/1 domain key {repository} {domain} {number}".encode()
            content = json.loads(self._unwrap(key, f"{prefix}{number}.", bound))
            assert (content["cipher"], content["id_algorithm"]) == ("aes-256-gcm", "blake3-128")
            self._data_keys[number] = bytes.fromhex(content["data_key"])
            self._id_key = bytes.fromhex(content["id_key"])

    def _unwrap(self, key: bytes, prefix: str, bound: bytes) -> bytes:
        """The highest wrapping that opens."""
        names = (name for name in self._objects if name.startswith(prefix))
        for number in sorted((int(name.removeprefix(prefix)) for name in names), reverse=True):
            with contextlib.suppress(InvalidTag):
                return unseal(key, self._objects[f"{prefix}{number}"], bound)
        raise AssertionError(f"no wrapping of {prefix} opens")

    def restore(self, root: str) -> bytes:
        data = self._objects[f"d/{self._domain}/r/{root}"]
        magic, version, length = struct.unpack_from("<8sII", data)
        assert (magic, version) == (b"EMBRKROO", 1)
        sealed_layout, rest = data[16 : 16 + length], data[16 + length :]
        sealed_description = rest[4:]
        assert struct.unpack_from("<I", rest) == (len(sealed_description),)
        ids = bytes.fromhex(self._domain) + bytes.fromhex(root)
        layout = json.loads(unseal(derive(self._metadata_key, b"seal/layout", ids), sealed_layout))
        key = derive(self._data_keys[layout["key"]], b"seal/description", ids)
        description = json.loads(unseal(key, sealed_description))
        assert description["layout_sha256"] == hashlib.sha256(sealed_layout).hexdigest()
        digest = bytes.fromhex(description["content_digest"])
        image = bytearray(layout["size"])
        if layout["top"] is None:
            assert digest == ZERO
        else:
            chunks = self._chunks(Entry(*layout["top"]), layout["height"], digest)
            for number, chunk in chunks.items():
                assert len(chunk) == layout["chunk_size"]
                begin = number * layout["chunk_size"]
                end = min(begin + layout["chunk_size"], layout["size"])
                image[begin:end] = chunk[: end - begin]
        return bytes(image)

    def check_segment(self, session: str, seq: int) -> None:
        """Read all that a segment says of itself, and open its records."""
        data = self._segment(session, seq)
        domain, ids = bytes.fromhex(self._domain), bytes.fromhex(self._domain + session)
        assert data[:64] == struct.pack(
            "<8sI16s16sI16x", b"EMBRKSEG", 1, domain, bytes.fromhex(session), seq
        )
        magic, length, checksum = struct.unpack("<8sII", data[-16:])
        assert magic == b"EMBRKEND"
        sealed = data[-16 - length : -16]
        assert google_crc32c.value(sealed) == checksum
        footer_key = derive(self._metadata_key, b"seal/footer", ids + struct.pack(">Q", seq) + b"0")
        plain = zstandard.ZstdDecompressor().decompress(unseal(footer_key, sealed))
        _volume, key, records = footer(plain)
        end, chunk_ids, found_ids = 64, {}, {}
        for expected, (index, offset, length, kind, crc) in enumerate(records):
            assert (index, offset) == (expected, end)
            end += length
            stored = data[offset:end]
            assert google_crc32c.value(stored) == crc
            secret = (
                derive(self._metadata_key, b"node", ids)
                if kind == 3
                else derive(self._data_keys[key], b"record", ids)
            )
            content = open_record(secret, kind, seq, index, stored)
            if kind == 1:
                chunk_ids[index] = self._identify(content)
            elif kind == 2:
                assert expected == len(records) - 1
                (count,) = struct.unpack_from("<I", content)
                indexes = struct.unpack_from(f"<{count}I", content, 4)
                place = 4 + 12 * count
                for at, found in enumerate(indexes):
                    found_ids[found] = content[place + 16 * at : place + 16 * at + 16]
            else:
                parse_node(content)
        assert end == len(data) - 16 - len(sealed)
        assert chunk_ids == found_ids

    def _chunks(self, place: Entry, height: int, digest: bytes) -> dict[int, bytes]:
        """The chunks below a node by their numbers; every digest is computed anew."""
        plain = self._open(self._metadata_key, b"node", place, 3)
        found_height, entries, digests, stated = parse_node(plain)
        assert (found_height, stated) == (height, digest)
        below = [ZERO] * 256
        chunks = {}
        for slot, entry in entries.items():
            if height == 1:
                chunk = self._open(self._data_keys[entry.key], b"record", entry, 1)
                below[slot] = self._identify(chunk)
                chunks[slot] = chunk
            else:
                below[slot] = digests[slot]
                under = self._chunks(entry, height - 1, digests[slot])
                chunks.update(
                    (slot * 256 ** (height - 1) + number, chunk) for number, chunk in under.items()
                )
        assert self._identify(b"".join(below)) == digest
        return chunks

    def _open(self, key: bytes, purpose: bytes, place: Entry, kind: int) -> bytes:
        ids = bytes.fromhex(self._domain) + bytes.fromhex(place.session)
        data = self._segment(place.session, place.seq)
        stored = data[place.offset : place.offset + place.length]
        return open_record(derive(key, purpose, ids), kind, place.seq, place.index, stored)

    def _segment(self, session: str, seq: int) -> bytes:
        return self._objects[f"d/{self._domain}/s/{session[:2]}/{session}/{seq:08x}.0"]

    def _identify(self, data: bytes) -> bytes:
        return blake3(data, key=self._id_key).digest(16)
