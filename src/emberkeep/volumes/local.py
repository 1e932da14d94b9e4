"""The volumes that we keep ourselves: files on a host, rows in our database.

Everything here is statements in transactions; what touches bytes is a task that a worker runs
(`volumes.tasks`), or goes through the drivers that this process has.
"""

from emberkeep.volumes.attachments import Attachments
from emberkeep.volumes.changes import Changes
from emberkeep.volumes.connections import Connections
from emberkeep.volumes.images import Images
from emberkeep.volumes.kept import DEFAULT_TYPE_ID, GIB, Enqueue, Placing
from emberkeep.volumes.metadata import Metadata
from emberkeep.volumes.requests import Requests, VolumeRequest
from emberkeep.volumes.reserving import Reserving
from emberkeep.volumes.reverting import Reverting
from emberkeep.volumes.snapshots import Snapshots

__all__ = ["DEFAULT_TYPE_ID", "GIB", "Enqueue", "LocalVolumes", "Placing", "VolumeRequest"]


class LocalVolumes(
    Reserving, Requests, Changes, Metadata, Snapshots, Reverting, Connections, Attachments, Images
):
    """All that is done to our own volumes: by backups, by callers of the API, by an operator."""
