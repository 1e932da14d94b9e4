"""A key manager that keeps a key-encrypting key for each domain, and can destroy it."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emberkeep.engine.errors import WrongKey


class KeyPerDomain:
    """In memory; as durable as its process."""

    def __init__(self) -> None:
        self._keys: dict[str | None, bytes] = {}

    def wrap(self, key: bytes, *, domain: str | None, context: bytes) -> bytes:
        kek = self._keys.setdefault(domain, os.urandom(32))
        nonce = os.urandom(12)
        return nonce + AESGCM(kek).encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, *, domain: str | None, context: bytes) -> bytes:
        try:
            return AESGCM(self._keys[domain]).decrypt(wrapped[:12], wrapped[12:], context)
        except (KeyError, InvalidTag) as error:
            raise WrongKey(f"no key of {domain} opens this") from error

    def destroy(self, domain: str) -> None:
        """Nothing that was wrapped for the domain opens any more."""
        del self._keys[domain]
