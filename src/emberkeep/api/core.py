"""What the handlers work with, handed down by the program that builds the application."""

from dataclasses import dataclass

from emberkeep.backups.service import Backups
from emberkeep.db.database import Database
from emberkeep.volumes.local import LocalVolumes


@dataclass(frozen=True, slots=True)
class Settings:
    """How the API behaves.  The names are Cinder's options, where it has one.

    `loopback_only` refuses a foreign `Host` header: without authentication, a web page must not
    reach the service by a name that it controls (DNS rebinding).
    """

    public_endpoint: str | None = None
    osapi_max_limit: int = 1000
    project_id_regex: str = r"[0-9a-f\-]+"
    max_request_body_size: int = 114688  # bytes
    enable_proxy_headers_parsing: bool = False
    loopback_only: bool = False
    backup_filters: tuple[str, ...] = ("name", "status", "volume_id")  # of members, from 3.31 on


@dataclass(frozen=True, slots=True)
class Core:
    """The services behind the API."""

    backups: Backups
    volumes: LocalVolumes
    database: Database  # read for what workers tell of themselves
    settings: Settings
