"""The key hierarchy: from the key manager's key down to the key of one session's records.

    key manager's key ── wraps ──> metadata key (one a repository), data keys 1, 2, … and the id
    key (of each domain) ── HKDF ──> working keys, bound to format version, purpose, cipher and ids

Invariants
* a working key is bound to all that its records belong to, so nothing opens in another's place;
* a nonce is used once under its key: records count (segments.py), sealed objects draw 96 bits.
"""

import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from emberkeep.engine.errors import MALFORMED, DamagedObject, WrongKey
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.stores.base import Buffer

CIPHER = "aes-256-gcm"
ID_ALGORITHM = "blake3-128"
ID_SIZE = 16
TAG_SIZE = 16
KEY_SIZE = 32
_NONCE_SIZE = 12
_CONTEXT = b"emberkeep/1"

Random = Callable[[int], bytes]


class Cipher(Protocol):
    """AES-256-GCM under one key (`cryptography`'s AESGCM is one)."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
    def encrypt_into(
        self, nonce: bytes, data: Buffer, associated_data: bytes | None, buf: Buffer
    ) -> int: ...
    def decrypt(self, nonce: bytes, data: Buffer, associated_data: bytes | None) -> bytes: ...


def derive(key: bytes, purpose: str, *ids: bytes) -> bytes:
    """HKDF-SHA256-Expand (RFC 5869) of a random key: 32 bytes for one purpose and its ids."""
    info = b"\0".join((_CONTEXT, purpose.encode(), CIPHER.encode(), b"")) + b"".join(ids)
    return HKDFExpand(SHA256(), KEY_SIZE, info).derive(key)


def seal(key: bytes, plain: bytes, random: Random) -> bytes:
    """Encrypt a small object: 12 random bytes, ciphertext, tag."""
    nonce = random(_NONCE_SIZE)
    return nonce + AESGCM(key).encrypt(nonce, plain, None)


def unseal(key: bytes, sealed: bytes, what: str) -> bytes:
    """Decrypt what `seal` made.  Raises `DamagedObject`, naming `what`."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], None)
    except (InvalidTag, ValueError) as error:
        raise DamagedObject(f"{what}: can't be authenticated; it is damaged or replaced") from error


@dataclass(frozen=True, slots=True)
class MetadataKey:
    """Opens what shows the layout of a repository: nodes, footers, the layout part of roots."""

    key: bytes

    def node_cipher(self, domain: DomainId, session: SessionId) -> AESGCM:
        return AESGCM(derive(self.key, "node", *_ids(domain, session)))

    def footer_key(self, domain: DomainId, session: SessionId, seq: int, generation: str) -> bytes:
        ids = (*_ids(domain, session), struct.pack(">Q", seq), generation.encode())
        return derive(self.key, "seal/footer", *ids)

    def layout_key(self, domain: DomainId, session: SessionId) -> bytes:
        return derive(self.key, "seal/layout", *_ids(domain, session))

    def object_key(self, name: str) -> bytes:
        """For a checkpoint, gens or list of damage, which opens under its own name only."""
        return derive(self.key, "seal/object", name.encode())

    def format_mac(self, content: dict[str, Any]) -> str:
        """HMAC-SHA256 over the other fields of `format`, as canonical JSON."""
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hmac.new(derive(self.key, "format"), text.encode(), sha256).hexdigest()


def _no_other(_number: int) -> bytes:
    raise KeyError


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """Opens a domain's data: the data keys by their numbers, and the key of chunk ids.

    `unopened`: the numbers of other data keys that the store has.  `find` opens a key whose number
    is not in `data`, as another process may have made it since; `KeyError` if there is none.
    """

    domain: DomainId
    data: dict[int, bytes]
    identity: bytes
    unopened: frozenset[int] = frozenset()
    find: Callable[[int], bytes] = _no_other

    @property
    def newest(self) -> int:
        """The number of the data key for new sessions."""
        return max({*self.data, *self.unopened})

    def record_cipher(self, number: int, session: SessionId) -> AESGCM:
        return AESGCM(derive(self._data(number), "record", *_ids(self.domain, session)))

    def description_key(self, number: int, session: SessionId) -> bytes:
        return derive(self._data(number), "seal/description", *_ids(self.domain, session))

    def identify(self, data: Buffer) -> bytes:
        """The id of a chunk, or the digest of a list of them: 128 bits of keyed BLAKE3."""
        return blake3(data, key=self.identity).digest(ID_SIZE)

    def _data(self, number: int) -> bytes:
        try:
            if number not in self.data:
                self.data[number] = self.find(number)
            return self.data[number]
        except KeyError:
            raise DamagedObject(
                f"d/{self.domain}/key/{number}.*: this data key is missing"
            ) from None


def encode_domain_key(data: bytes, identity: bytes) -> bytes:
    """A data key and the domain's id key, as they are wrapped."""
    content = {
        "cipher": CIPHER,
        "id_algorithm": ID_ALGORITHM,
        "data_key": data.hex(),
        "id_key": identity.hex(),
    }
    return json.dumps(content, sort_keys=True).encode()


def decode_domain_key(plain: bytes, name: str) -> tuple[bytes, bytes]:
    """The data key and the id key that the object `name` holds.

    Raises `WrongKey` if they are for algorithms unknown here, and `DamagedObject`.
    """
    try:
        content = json.loads(plain)
        cipher, algorithm = content["cipher"], content["id_algorithm"]
        if cipher != CIPHER or algorithm != ID_ALGORITHM:
            raise WrongKey(
                f"the domain uses {cipher} and {algorithm}, which this release does not know; "
                "take a newer one"
            )
        return bytes.fromhex(content["data_key"]), bytes.fromhex(content["id_key"])
    except MALFORMED as error:
        raise DamagedObject(f"{name}: it holds no keys") from error


def domain_key_context(repository: str, domain: DomainId, number: int) -> bytes:
    return f"emberkeep/1 domain key {repository} {domain} {number}".encode()


def metadata_key_context(repository: str) -> bytes:
    return f"emberkeep/1 metadata key {repository}".encode()


def record_nonce(seq: int, index: int) -> bytes:
    """The nonce of a record: its place in its session, so none is stored and none repeats."""
    return struct.pack(">QI", seq, index)


def _ids(domain: DomainId, session: SessionId) -> tuple[bytes, bytes]:
    return bytes.fromhex(domain), bytes.fromhex(session)
