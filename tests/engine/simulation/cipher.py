"""A cipher that refuses to use a nonce twice under one key."""

from typing import ClassVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emberkeep.stores.base import Buffer


class NonceUsedAgain(Exception):
    """Who sees both ciphertexts can read both records, and forge others."""


class OnceCipher:
    """Stands for `AESGCM`; `used` is what all of them used up."""

    used: ClassVar[set[tuple[bytes, bytes]]] = set()

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self.decrypt = self._cipher.decrypt

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        self._use(nonce)
        return self._cipher.encrypt(nonce, data, associated_data)

    def encrypt_into(
        self, nonce: bytes, data: Buffer, associated_data: bytes | None, buf: Buffer
    ) -> int:
        self._use(nonce)
        return self._cipher.encrypt_into(nonce, data, associated_data, buf)

    def _use(self, nonce: bytes) -> None:
        if (self._key, nonce) in self.used:
            raise NonceUsedAgain(nonce.hex())
        self.used.add((self._key, nonce))
