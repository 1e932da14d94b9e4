"""The state directory: everything that an embedded service keeps, private to its user.

Invariants
* one service at a time runs on a state directory (a lock that the kernel gives back when it dies);
* the directory is 0700 and the key file 0600, whatever the umask says.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from emberkeep import config
from emberkeep.config import Configuration


class StateError(Exception):
    """The state directory can't be used; the message says why and what to do."""


def prepare(directory: Path) -> None:
    """Make the directory if there is none, private to its user.  Raises `StateError`."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise StateError(f"{directory}: {error.strerror}; name another --state-dir") from error


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock.  Raises `StateError` at once if a running service has it."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{directory / 'lock'}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateError(
                f"{directory} is in use by another emberkeep serve; stop that one, "
                "or name another --state-dir"
            ) from error
        yield
    finally:
        os.close(descriptor)


def write_clouds(configuration: Configuration) -> Path:
    """Write the `clouds.yaml` (0600) with which `openstack --os-cloud emberkeep` works as it is."""
    clouds = {
        "clouds": {
            "emberkeep": {
                "auth_type": "admin_token",
                "auth": {
                    "endpoint": f"{configuration.endpoint}/v3",
                    "token": f"{config.EMBEDDED_USER}:{config.EMBEDDED_PROJECT}",
                },
                "volume_api_version": "3",
                "volume_default_microversion": "3.71",
            }
        }
    }
    path = configuration.state_dir / "clouds.yaml"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        yaml.safe_dump(clouds, file, sort_keys=False)
    return path
