"""A project of its own on a running service, for one test."""

import os
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.service import Answer, Service, until

BLOCK = 64 << 10
FAR = 700 << 20  # where an image of 1 GiB has data, too


@dataclass(frozen=True)
class Project:
    """What a test needs beside the client that it tests."""

    service: Service
    id: str
    token: str = ""  # with Keystone: of a member

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Without the project in the path: `notused` could not stand there."""
        signed = {"X-Auth-Token": self.token} if self.token else {}
        return self.service.call(method, f"//v3{path}", body, project=self.id, headers=signed)

    def volume(self, name: str, *, zone: str = "az1", seed: int | None = None) -> str:
        """Make a volume of 1 GiB, with data if there is a seed; return its id."""
        asked = {"size": 1, "name": name, "availability_zone": zone}
        answer = self.call("POST", "/volumes", {"volume": asked})
        volume_id = str(answer.body["volume"]["id"])
        self.settled("volume", volume_id)
        if seed is not None:
            self.write(volume_id, seed)
        return volume_id

    def write(self, volume_id: str, seed: int) -> None:
        """Change the volume's data."""
        some = random.Random(seed)
        with self.image(volume_id).open("r+b") as file:
            file.write(some.randbytes(3 * BLOCK))
            file.seek(FAR + seed * BLOCK)
            file.write(some.randbytes(BLOCK))

    def backup(self, volume_id: str, name: str, **asked: object) -> str:
        """Make a backup, and return its id when it is available."""
        body = {"backup": {"volume_id": volume_id, "name": name, **asked}}
        answer = self.call("POST", "/backups", body)
        backup_id = str(answer.body["backup"]["id"])
        assert self.settled("backup", backup_id)["status"] == "available"
        return backup_id

    def settled(self, kind: str, thing_id: str) -> Mapping[str, Any]:
        """The volume, snapshot or backup when nothing happens to it any more."""

        def still() -> Mapping[str, Any] | None:
            found: Mapping[str, Any] = self.show(kind, thing_id)
            return None if found["status"].endswith("ing") else found

        return until(still, f"the end of what happens to {kind} {thing_id}")

    def restored(self, volume_id: str) -> Mapping[int, bytes]:
        """The content of a volume whose restore has to end well."""
        until(lambda: self.show("volume", volume_id)["status"] != "creating", "the restore")
        until(lambda: self.show("volume", volume_id)["status"] != "restoring-backup", "its end")
        assert self.show("volume", volume_id)["status"] == "available"
        return self.content(volume_id)

    def show(self, kind: str, thing_id: str) -> Mapping[str, Any]:
        answer = self.call("GET", f"/{kind}s/{thing_id}")
        return dict(answer.body[kind])

    def find(self, kind: str, name: str) -> Mapping[str, Any]:
        """The only one of that name in the project, settled."""
        answer = self.call("GET", f"/{kind}s/detail?name={name}")
        (found,) = answer.body[f"{kind}s"]
        return self.settled(kind, found["id"])

    def gone(self, kind: str, thing_id: str) -> None:
        """Return when it is not there any more."""
        path = f"/{kind}s/{thing_id}"
        until(
            lambda: self.call("GET", path).status == 404,
            f"the end of {kind} {thing_id}",
        )

    def image(self, volume_id: str) -> Path:
        (found,) = self.service.state.glob(f"volumes/*/{volume_id}")
        return found

    def content(self, volume_id: str) -> Mapping[int, bytes]:
        """The blocks of the volume that are not zero, by their numbers."""
        found = {}
        with self.image(volume_id).open("rb") as file:
            at = 0
            while (at := _next_data(file.fileno(), at)) is not None:
                file.seek(at - at % BLOCK)
                block = file.read(BLOCK)
                if any(block):
                    found[at // BLOCK] = block
                at += BLOCK - at % BLOCK
        return found


def project_on(service: Service) -> Project:
    return Project(service, uuid.uuid4().hex)


def _next_data(descriptor: int, at: int) -> int | None:
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError:
        return None  # nothing but a hole until the end
