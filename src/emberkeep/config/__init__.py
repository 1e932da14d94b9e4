"""Configuration: `emberkeep.conf`, read once and handed down as values.

A state directory holds everything of an embedded service; what its file does not say is as below.
A wrong value is reported with the option's name (`ConfigurationError`), never guessed around; an
option or section that nobody knows is warned of.

`options` has the tables, `values` what becomes of them, `reading` the way between, `sample` prints
the tables, `identity` is what keystonemiddleware wants to know.
"""

from emberkeep.config.options import NOTIFICATIONS
from emberkeep.config.reading import FILE_NAME, load, remember_zones
from emberkeep.config.values import (
    EMBEDDED_PROJECT,
    EMBEDDED_USER,
    KEYSTONE,
    LOOPBACK,
    NOAUTH,
    ApiOptions,
    BackupOptions,
    Configuration,
    ConfigurationError,
    Jobs,
    Maintenance,
    NotificationOptions,
    Quotas,
    VolumeOptions,
    Zone,
)

__all__ = [
    "EMBEDDED_PROJECT",
    "EMBEDDED_USER",
    "FILE_NAME",
    "KEYSTONE",
    "LOOPBACK",
    "NOAUTH",
    "NOTIFICATIONS",
    "ApiOptions",
    "BackupOptions",
    "Configuration",
    "ConfigurationError",
    "Jobs",
    "Maintenance",
    "NotificationOptions",
    "Quotas",
    "VolumeOptions",
    "Zone",
    "load",
    "remember_zones",
]
