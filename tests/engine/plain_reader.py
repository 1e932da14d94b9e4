"""A reader written from docs/format.md, with nothing of the engine: slow, short and strict.

What is not as the document says makes it fail, with whatever error comes first.
"""

import contextlib
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ZERO = bytes(16)
CHUNK, IDS, NODE = 1, 2, 3
Record = tuple[str, int, int]  # session, seq, index


def derive(key: bytes, purpose: bytes, ids: bytes = b"") -> bytes:
    info = b"emberkeep/1\0" + purpose + b"\0aes-256-gcm\0" + ids
    return HKDFExpand(SHA256(), 32, info).derive(key)


def unseal(key: bytes, sealed: bytes, bound: bytes | None = None) -> bytes:
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], bound)


def identify(id_key: bytes, data: bytes) -> bytes:
    return blake3(data, key=id_key).digest(16)


def open_record(key: bytes, kind: int, seq: int, index: int, stored: bytes) -> bytes:
    nonce = struct.pack(">QI", seq, index)
    plain = AESGCM(key).decrypt(nonce, stored[1:], bytes((kind, stored[0])))
    match stored[0]:
        case 0:
            return plain
        case 1:
            return zstandard.ZstdDecompressor().decompress(plain)
        case codec:
            raise ValueError(f"codec {codec} is unknown")


@dataclass(frozen=True)
class Pointer:
    """A place in the repository: what a node's slot or the root's `top` says."""

    session: str
    key: int
    seq: int
    index: int
    offset: int
    length: int


@dataclass(frozen=True)
class Node:
    height: int
    pointers: dict[int, Pointer]  # by slot
    digests: dict[int, bytes]  # of the children, by slot; none in a leaf
    digest: bytes


def parse_node(plain: bytes) -> Node:
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
    pointers, digests = {}, {}
    index = end = length = 0
    for slot, number, step, gap, more in zip(slots, *columns, strict=True):
        index, length, offset = index + step, length + more, end + gap
        end = offset + length
        key, seq = struct.unpack("<II", table[number][16:])
        pointers[slot] = Pointer(table[number][:16].hex(), key, seq, index, offset, length)
    if height > 1:
        for slot in slots:
            digests[slot] = plain[at : at + 16]
            at += 16
    assert len(plain) == at + 16
    return Node(height, pointers, digests, plain[at:])


@dataclass(frozen=True)
class Row:
    """What a footer says of one record."""

    index: int
    offset: int
    length: int
    kind: int
    crc: int


def parse_footer(plain: bytes) -> tuple[str, int, list[Row]]:
    """The volume, the data key's number, and the records."""
    count, key, length = struct.unpack_from("<IIH", plain)
    at = 10 + length
    columns = []
    for letter, width in (("I", 4), ("Q", 8), ("I", 4), ("B", 1), ("I", 4)):
        columns.append(struct.unpack_from(f"<{count}{letter}", plain, at))
        at += width * count
    assert at == len(plain)
    rows = [Row(*row) for row in zip(*columns, strict=True)]
    assert [row.index for row in rows] == sorted({row.index for row in rows})
    return plain[10 : 10 + length].decode(), key, rows


def parse_ids(plain: bytes) -> dict[int, tuple[int, bytes]]:
    """The number in the volume and the id of each chunk, by its index."""
    (count,) = struct.unpack_from("<I", plain)
    assert len(plain) == 4 + 28 * count
    indexes = struct.unpack_from(f"<{count}I", plain, 4)
    numbers = struct.unpack_from(f"<{count}Q", plain, 4 + 4 * count)
    start = 4 + 12 * count
    ids = [plain[start + 16 * n : start + 16 * n + 16] for n in range(count)]
    return dict(zip(indexes, zip(numbers, ids, strict=True), strict=True))


def parse_hints(plain: bytes) -> dict[bytes, tuple[str, int]]:
    """Session and seq of each sample, by the first eight bytes of its id."""
    count, sessions = struct.unpack_from("<II", plain)
    start = 8 + 16 * sessions
    assert len(plain) == start + 16 * count
    table = [plain[at : at + 16].hex() for at in range(8, start, 16)]
    assert len(set(table)) == sessions
    ids = struct.unpack_from(f"<{count}Q", plain, start)
    assert list(ids) == sorted(set(ids))
    numbers = struct.unpack_from(f"<{count}I", plain, start + 8 * count)
    seqs = struct.unpack_from(f"<{count}I", plain, start + 12 * count)
    return {
        struct.pack(">Q", first): (table[number], seq)
        for first, number, seq in zip(ids, numbers, seqs, strict=True)
    }


@dataclass(frozen=True)
class Root:
    layout: dict[str, Any]
    description: dict[str, Any]


class PlainRepository:
    """The objects of a repository, opened with the key file's key."""

    def __init__(self, objects: Mapping[str, bytes], key: bytes) -> None:
        self.objects = objects
        self.key = key
        found = json.loads(objects["format"])
        assert (found["version"], found["features"], found["cipher"]) == (1, [], "aes-256-gcm")
        self.id = found["repository"]
        bound = f"\0emberkeep/1 metadata key {self.id}".encode()
        self.metadata_key = self.unwrap(f"key/{self.id}/", bound)
        assert self.mac(found) == found["mac"]

    def mac(self, content: dict[str, Any]) -> str:
        rest = {name: value for name, value in content.items() if name != "mac"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
        secret = derive(self.metadata_key, b"format")
        return hmac.new(secret, text, hashlib.sha256).hexdigest()

    def unwrap(self, prefix: str, bound: bytes) -> bytes:
        """The highest wrapping that opens."""
        numbers = [name.removeprefix(prefix) for name in self.objects if name.startswith(prefix)]
        for number in sorted(map(int, numbers), reverse=True):
            with contextlib.suppress(InvalidTag):
                return unseal(self.key, self.objects[f"{prefix}{number}"], bound)
        raise AssertionError(f"no wrapping of {prefix} opens")

    def domains(self) -> list[str]:
        names = (re.match(r"d/([0-9a-f]{32})/key/", name) for name in self.objects)
        return sorted({found[1] for found in names if found})


class PlainDomain:
    """Restores the backups of one domain."""

    def __init__(self, repository: PlainRepository, domain: str) -> None:
        self._objects = repository.objects
        self._metadata_key = repository.metadata_key
        self._domain = domain
        self.data_keys: dict[int, bytes] = {}
        self.id_key = b""
        prefix = f"d/{domain}/key/"
        assert f"{prefix}destroyed" not in self._objects
        found = (re.match(rf"{prefix}(\d+)\.", name) for name in self._objects)
        for number in {int(match[1]) for match in found if match}:
            context = f"emberkeep/1 domain key {repository.id} {domain} {number}"
            bound = f"{domain}\0{context}".encode()
            content = json.loads(repository.unwrap(f"{prefix}{number}.", bound))
            assert (content["cipher"], content["id_algorithm"]) == ("aes-256-gcm", "blake3-128")
            self.data_keys[number] = bytes.fromhex(content["data_key"])
            self.id_key = bytes.fromhex(content["id_key"])

    def roots(self) -> list[str]:
        pattern = rf"d/{self._domain}/r/([0-9a-f]{{32}})"
        return sorted(found[1] for name in self._objects if (found := re.fullmatch(pattern, name)))

    def root(self, root: str) -> Root:
        data = self._objects[f"d/{self._domain}/r/{root}"]
        magic, version, length = struct.unpack_from("<8sII", data)
        assert (magic, version) == (b"EMBRKROO", 1)
        assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little")
        sealed_layout, rest = data[16 : 16 + length], data[16 + length : -4]
        sealed_description = rest[4:]
        assert struct.unpack_from("<I", rest) == (len(sealed_description),)
        ids = self._ids(root)
        layout = json.loads(unseal(derive(self._metadata_key, b"seal/layout", ids), sealed_layout))
        key = derive(self.data_keys[layout["key"]], b"seal/description", ids)
        description = json.loads(unseal(key, sealed_description))
        assert description["layout_sha256"] == hashlib.sha256(sealed_layout).hexdigest()
        return Root(layout, description)

    def chunks(self, root: str) -> dict[int, bytes]:
        """The chunks of a backup that are not zero, by their number; every digest is computed."""
        found = self.root(root)
        layout, digest = found.layout, bytes.fromhex(found.description["content_digest"])
        if layout["top"] is None:
            assert digest == ZERO
            return {}
        chunks = dict(self._chunks(Pointer(*layout["top"]), layout["height"], digest))
        assert {len(chunk) for chunk in chunks.values()} == {layout["chunk_size"]}
        return chunks

    def restore(self, root: str) -> bytes:
        layout = self.root(root).layout
        size, chunk_size = layout["size"], layout["chunk_size"]
        image = bytearray(size)
        for number, chunk in self.chunks(root).items():
            begin = number * chunk_size
            end = min(begin + chunk_size, size)
            image[begin:end] = chunk[: end - begin]
        return bytes(image)

    def reached(self, root: str) -> set[Record]:
        """The records that a backup's map points to, nodes and chunks."""
        layout = self.root(root).layout
        pending = [(Pointer(*layout["top"]), layout["height"])] if layout["top"] else []
        found = set()
        while pending:
            place, height = pending.pop()
            found.add((place.session, place.seq, place.index))
            if height:
                node = parse_node(self._open(place, NODE))
                pending += [(below, height - 1) for below in node.pointers.values()]
        return found

    def segment(self, name: str) -> tuple[str, int, list[Row]]:
        """Volume, data key's number and records of a generation, as its footer says."""
        data = self._objects[name]
        session, seq, generation = self.segment_of(name)
        magic, length, checksum = struct.unpack("<8sII", data[-16:])
        assert magic == b"EMBRKEND"
        sealed = data[-16 - length : -16]
        assert google_crc32c.value(sealed) == checksum
        ids = self._ids(session) + struct.pack(">Q", seq) + generation.encode()
        plain = unseal(derive(self._metadata_key, b"seal/footer", ids), sealed)
        return parse_footer(zstandard.ZstdDecompressor().decompress(plain))

    def segment_of(self, name: str) -> tuple[str, int, str]:
        """Session, seq and generation in a segment's name."""
        form = r"/s/(..)/(\1[0-9a-f]{30})/([0-9a-f]{8})\.(0|[1-9][0-9]*-[0-9a-f]{8})"
        found = re.fullmatch(f"d/{self._domain}{form}", name)
        assert found
        return found[2], int(found[3], 16), found[4]

    def check_segment(self, name: str) -> None:
        """Read all that a generation says of itself, and open its records."""
        data = self._objects[name]
        session, seq, generation = self.segment_of(name)
        assert data[:64] == struct.pack(
            "<8sI16s16sI16x", b"EMBRKSEG", 1, bytes.fromhex(self._domain),
            bytes.fromhex(session), seq,
        )  # fmt: skip
        _volume, key, rows = self.segment(name)
        end, chunk_ids, ids = 64, {}, {}
        for number, row in enumerate(rows):
            assert row.offset == end
            assert row.index == number or generation != "0"
            end += row.length
            stored = data[row.offset : end]
            assert google_crc32c.value(stored) == row.crc
            content = self._content(session, key, seq, row.index, row.kind, stored)
            match row.kind:
                case 1:
                    chunk_ids[row.index] = identify(self.id_key, content)
                case 2:
                    assert number == len(rows) - 1
                    ids = parse_ids(content)
                case 3:
                    parse_node(content)
        assert chunk_ids.items() <= {index: found for index, (_n, found) in ids.items()}.items()
        assert generation != "0" or chunk_ids.keys() == ids.keys()

    def object(self, name: str) -> Any:
        """What gens, a checkpoint or a list of damage says."""
        return json.loads(self.unsealed(name))

    def unsealed(self, name: str) -> bytes:
        """What is in an object that is sealed with the key of its name."""
        key = derive(self._metadata_key, b"seal/object", name.encode())
        return unseal(key, self._objects[name])

    def _chunks(
        self, place: Pointer, height: int, digest: bytes, number: int = 0
    ) -> Iterator[tuple[int, bytes]]:
        """The chunks below the `number`-th node of a height."""
        node = parse_node(self._open(place, NODE))
        assert (node.height, node.digest) == (height, digest)
        below = [ZERO] * 256
        for slot, pointer in node.pointers.items():
            child = 256 * number + slot
            if height > 1:
                below[slot] = node.digests[slot]
                yield from self._chunks(pointer, height - 1, node.digests[slot], child)
            else:
                chunk = self._open(pointer, CHUNK)
                below[slot] = identify(self.id_key, chunk)
                yield child, chunk
        assert identify(self.id_key, b"".join(below)) == digest

    def _open(self, place: Pointer, kind: int) -> bytes:
        stored = self._stored(place)
        return self._content(place.session, place.key, place.seq, place.index, kind, stored)

    def _content(
        self, session: str, key: int, seq: int, index: int, kind: int, stored: bytes
    ) -> bytes:
        secret, purpose = self._metadata_key, b"node"
        if kind != NODE:
            secret, purpose = self.data_keys[key], b"record"
        return open_record(derive(secret, purpose, self._ids(session)), kind, seq, index, stored)

    def _stored(self, place: Pointer) -> bytes:
        """The bytes of a record in the first generation that has it."""
        prefix = f"d/{self._domain}/s/{place.session[:2]}/{place.session}/{place.seq:08x}."
        if f"{prefix}0" in self._objects:
            data = self._objects[f"{prefix}0"]
            return data[place.offset : place.offset + place.length]
        names = [name for name in self._objects if name.startswith(prefix)]
        for name in sorted(names, key=lambda name: -int(name[len(prefix) :].partition("-")[0])):
            _volume, _key, rows = self.segment(name)
            for row in rows:
                if row.index == place.index:
                    return self._objects[name][row.offset : row.offset + row.length]
        raise KeyError(f"{prefix}: record {place.index} is in no generation")

    def _ids(self, session: str) -> bytes:
        return bytes.fromhex(self._domain) + bytes.fromhex(session)
