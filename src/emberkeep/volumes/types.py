"""Volume types: there is the one that every volume has."""

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VolumeType:
    """A type as the API shows it.  Everybody may use it, and it says nothing of the back end."""

    id: str
    name: str
    description: str


DEFAULT = VolumeType(
    id=str(uuid.uuid5(uuid.NAMESPACE_DNS, "emberkeep volume type")),
    name="__DEFAULT__",
    description="Default Volume Type",
)
TYPES = (DEFAULT,)
