"""A local key file: the simplest key manager, and the text in which its key can leave the machine.

One key wraps all others of a repository, so one export lasts for ever.  Whoever has the file or the
text can read all backups; without either, nobody can.
"""

import base64
import hashlib
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from emberkeep.engine.errors import EngineError, WrongKey

_KEY_SIZE = 32
_NONCE_SIZE = 12
_SALT_SIZE = 16
_CHECK_SIZE = 4
_TITLE = "emberkeep key"
_HEADINGS = (f"{_TITLE}, version 1", f"{_TITLE}, version 1, under a passphrase")
_PLAIN, _UNDER_PASSPHRASE = b"\x01", b"\x02"
# RFC 7914; 64 MiB and about a quarter of a second.
_SCRYPT = {"n": 2**16, "r": 8, "p": 1}

Random = Callable[[int], bytes]


class BadKeyText(EngineError):
    """The text is no exported key, or not all of it, or mistyped, or its passphrase is another."""


class KeyFile:
    """A `KeyManager` whose one key lies in a file (0600)."""

    def __init__(self, key: bytes, *, random: Random = os.urandom) -> None:
        self._key = key
        self._random = random

    @classmethod
    def create(cls, path: Path, *, random: Random = os.urandom) -> "KeyFile":
        """Make a new key file.  Raises `FileExistsError`: a key is never replaced."""
        key = random(_KEY_SIZE)
        _write(path, key)
        return cls(key, random=random)

    @classmethod
    def load(cls, path: Path, *, random: Random = os.urandom) -> "KeyFile":
        """Read a key file.  Raises `WrongKey` if there is none that can be read."""
        try:
            content = json.loads(path.read_text())
            key = bytes.fromhex(content["key"])
            if (content["title"], content["version"], len(key)) != (_TITLE, 1, _KEY_SIZE):
                raise ValueError("of another kind")
            return cls(key, random=random)
        except FileNotFoundError as error:
            raise WrongKey(f"{path} is not there; bring it back: emberkeep key import") from error
        except (ValueError, KeyError, TypeError) as error:
            raise WrongKey(
                f"{path} is no key file; move it away, then: emberkeep key import"
            ) from error

    def wrap(self, key: bytes, *, domain: str | None, context: bytes) -> bytes:
        nonce = self._random(_NONCE_SIZE)
        return nonce + AESGCM(self._key).encrypt(nonce, key, _bound(domain, context))

    def unwrap(self, wrapped: bytes, *, domain: str | None, context: bytes) -> bytes:
        nonce, sealed = wrapped[:_NONCE_SIZE], wrapped[_NONCE_SIZE:]
        try:
            return AESGCM(self._key).decrypt(nonce, sealed, _bound(domain, context))
        except (InvalidTag, ValueError) as error:
            raise WrongKey(
                "the key file's key is not the one that wrapped this; import the right one"
            ) from error

    def export_text(self, passphrase: str | None = None) -> str:
        """The key as printable text with a checksum, under a passphrase if one is given."""
        if passphrase is None:
            content = _PLAIN + self._key
        else:
            salt, nonce = self._random(_SALT_SIZE), self._random(_NONCE_SIZE)
            sealed = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, self._key, None)
            content = _UNDER_PASSPHRASE + salt + nonce + sealed
        letters = base64.b32encode(content + _check(content)).decode().rstrip("=")
        groups = [letters[i : i + 4] for i in range(0, len(letters), 4)]
        lines = [" ".join(groups[i : i + 8]) for i in range(0, len(groups), 8)]
        return "\n".join((_HEADINGS[passphrase is not None], *lines, ""))

    @classmethod
    def import_text(
        cls, text: str, path: Path, passphrase: str | None = None, *, random: Random = os.urandom
    ) -> "KeyFile":
        """Make the key file at `path` from exported text.

        Raises `BadKeyText`, and `FileExistsError`: a key is never replaced.
        """
        key = _parse(text, passphrase)
        _write(path, key)
        return cls(key, random=random)


def _bound(domain: str | None, context: bytes) -> bytes:
    return (domain or "").encode() + b"\0" + context


def _write(path: Path, key: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        json.dump({"title": _TITLE, "version": 1, "key": key.hex()}, file)
        file.write("\n")
        file.flush()
        os.fsync(descriptor)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECK_SIZE]


def _stretch(passphrase: str, salt: bytes) -> bytes:
    typed = unicodedata.normalize("NFC", passphrase)  # keyboards differ in how they compose
    return Scrypt(salt=salt, length=_KEY_SIZE, **_SCRYPT).derive(typed.encode())


def _parse(text: str, passphrase: str | None) -> bytes:
    title, _newline, body = text.strip().partition("\n")
    if title.strip().lower() not in _HEADINGS:
        raise BadKeyText(f"no exported key of a version known here: it begins with {title[:40]!r}")
    letters = "".join(body.split()).upper()
    try:
        content = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError as error:
        raise BadKeyText("the key's text holds letters that are none of its own") from error
    whole = base64.b32encode(content).decode().rstrip("=")
    content, check = content[:-_CHECK_SIZE], content[-_CHECK_SIZE:]
    if _check(content) != check or whole != letters:
        raise BadKeyText("the key's text is mistyped or cut: its checksum does not fit")
    if content[:1] == _PLAIN and len(content) == 1 + _KEY_SIZE:
        return content[1:]
    if content[:1] != _UNDER_PASSPHRASE:
        raise BadKeyText("the key's text is of a version unknown here")
    if passphrase is None:
        raise BadKeyText("the key was exported under a passphrase; give it")
    salt, rest = content[1 : 1 + _SALT_SIZE], content[1 + _SALT_SIZE :]
    try:
        return AESGCM(_stretch(passphrase, salt)).decrypt(
            rest[:_NONCE_SIZE], rest[_NONCE_SIZE:], None
        )
    except (InvalidTag, ValueError) as error:
        raise BadKeyText("the passphrase is not the one of the export") from error
