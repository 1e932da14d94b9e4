"""A local key file: the simplest key manager, and the text in which its keys can leave the machine.

One key wraps all others of a repository, so one export lasts until the key is rotated.  Whoever has
the file or the text can read all backups; without either, nobody can.

A rotation gives the file a new key beside the one that it has.  From then on the new one wraps and
both unwrap, until everything was wrapped anew and the earlier one is dropped.
"""

import base64
import hashlib
import json
import os
import unicodedata
from collections.abc import Callable, Sequence
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
# Version 1, of file and text, has one key; 2 has earlier ones, too.
_VERSIONS = (1, 2)
_UNDER = ", under a passphrase"
_HEADINGS = tuple(
    f"{_TITLE}, version {version}{under}" for version in _VERSIONS for under in ("", _UNDER)
)
_PLAIN, _UNDER_PASSPHRASE = b"\x01", b"\x02"
# RFC 7914; 64 MiB and about a quarter of a second.
_SCRYPT = {"n": 2**16, "r": 8, "p": 1}

Random = Callable[[int], bytes]


class BadKeyText(EngineError):
    """The text is no exported key, or not all of it, or mistyped, or its passphrase is another."""


class KeyFile:
    """A `KeyManager` whose keys lie in a file (0600): one, and during a rotation an earlier one."""

    def __init__(
        self, key: bytes, *, earlier: Sequence[bytes] = (), random: Random = os.urandom
    ) -> None:
        self._keys = (key, *earlier)
        self._random = random

    @classmethod
    def create(cls, path: Path, *, random: Random = os.urandom) -> "KeyFile":
        """Make a new key file.  Raises `FileExistsError`: a key is never replaced."""
        new = cls(random(_KEY_SIZE), random=random)
        new._write(path)
        return new

    @classmethod
    def load(cls, path: Path, *, random: Random = os.urandom) -> "KeyFile":
        """Read a key file.  Raises `WrongKey` if there is none that can be read."""
        try:
            content = json.loads(path.read_text())
            texts = [content["key"], *content.get("earlier", ())]
            first, *earlier = (bytes.fromhex(text) for text in texts)
            if content["title"] != _TITLE or content["version"] not in _VERSIONS:
                raise ValueError("of another kind")
            if any(len(key) != _KEY_SIZE for key in (first, *earlier)):
                raise ValueError("no keys")
            return cls(first, earlier=earlier, random=random)
        except FileNotFoundError as error:
            raise WrongKey(f"{path} is not there; bring it back: emberkeep key import") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WrongKey(
                f"{path} is no key file; move it away, then: emberkeep key import"
            ) from error

    @classmethod
    def begin_rotation(cls, path: Path, *, random: Random = os.urandom) -> "KeyFile":
        """Give the file a new key; one whose rotation did not end keeps what it has."""
        now = cls.load(path, random=random)
        if len(now._keys) > 1:
            return now
        new = cls(random(_KEY_SIZE), earlier=now._keys, random=random)
        new._replace(path)
        return new

    @classmethod
    def end_rotation(cls, path: Path) -> None:
        """Drop the earlier key, which must not wrap anything any more."""
        cls.load(path).newest._replace(path)

    @property
    def newest(self) -> "KeyFile":
        """The newest key alone."""
        return KeyFile(self._keys[0], random=self._random)

    def wrap(self, key: bytes, *, domain: str | None, context: bytes) -> bytes:
        nonce = self._random(_NONCE_SIZE)
        return nonce + AESGCM(self._keys[0]).encrypt(nonce, key, _bound(domain, context))

    def unwrap(self, wrapped: bytes, *, domain: str | None, context: bytes) -> bytes:
        nonce, sealed = wrapped[:_NONCE_SIZE], wrapped[_NONCE_SIZE:]
        for key in self._keys:
            try:
                return AESGCM(key).decrypt(nonce, sealed, _bound(domain, context))
            except (InvalidTag, ValueError):
                continue
        raise WrongKey("the key file's key is not the one that wrapped this; import the right one")

    def export_text(self, passphrase: str | None = None) -> str:
        """The keys as printable text with a checksum, under a passphrase if one is given."""
        plain = b"".join(self._keys)
        if passphrase is None:
            content = _PLAIN + plain
        else:
            salt, nonce = self._random(_SALT_SIZE), self._random(_NONCE_SIZE)
            sealed = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, plain, None)
            content = _UNDER_PASSPHRASE + salt + nonce + sealed
        letters = base64.b32encode(content + _check(content)).decode().rstrip("=")
        groups = [letters[i : i + 4] for i in range(0, len(letters), 4)]
        lines = [" ".join(groups[i : i + 8]) for i in range(0, len(groups), 8)]
        heading = f"{_TITLE}, version {self._version}{'' if passphrase is None else _UNDER}"
        return "\n".join((heading, *lines, ""))

    @classmethod
    def import_text(
        cls, text: str, path: Path, passphrase: str | None = None, *, random: Random = os.urandom
    ) -> "KeyFile":
        """Make the key file at `path` from exported text.

        Raises `BadKeyText`, and `FileExistsError`: a key is never replaced.
        """
        first, *earlier = _parse(text, passphrase)
        imported = cls(first, earlier=earlier, random=random)
        imported._write(path)
        return imported

    @property
    def _version(self) -> int:
        return 1 if len(self._keys) == 1 else 2

    def _write(self, path: Path) -> None:
        """Make the file.  Raises `FileExistsError`."""
        first, *earlier = (key.hex() for key in self._keys)
        content = {"title": _TITLE, "version": self._version, "key": first}
        if earlier:
            content["earlier"] = earlier
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            json.dump(content, file)
            file.write("\n")
            file.flush()
            os.fsync(descriptor)
        _sync_directory(path)

    def _replace(self, path: Path) -> None:
        """Put the file in the place of the one that is there: all of it or nothing."""
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)  # of a rotation that was interrupted here, so of no use
        self._write(new)
        os.replace(new, path)
        _sync_directory(path)


def _bound(domain: str | None, context: bytes) -> bytes:
    return (domain or "").encode() + b"\0" + context


def _sync_directory(path: Path) -> None:
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


def _parse(text: str, passphrase: str | None) -> list[bytes]:
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
    kind, content = content[:1], content[1:]
    if kind == _UNDER_PASSPHRASE:
        content = _decrypted(content, passphrase)
    elif kind != _PLAIN:
        raise BadKeyText("the key's text is of a version unknown here")
    if not content or len(content) % _KEY_SIZE:
        raise BadKeyText("the key's text is of a version unknown here")
    return [content[at : at + _KEY_SIZE] for at in range(0, len(content), _KEY_SIZE)]


def _decrypted(content: bytes, passphrase: str | None) -> bytes:
    if passphrase is None:
        raise BadKeyText("the key was exported under a passphrase; give it")
    salt, rest = content[:_SALT_SIZE], content[_SALT_SIZE:]
    try:
        return AESGCM(_stretch(passphrase, salt)).decrypt(
            rest[:_NONCE_SIZE], rest[_NONCE_SIZE:], None
        )
    except (InvalidTag, ValueError) as error:
        raise BadKeyText("the passphrase is not the one of the export") from error
