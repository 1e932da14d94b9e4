"""The metadata of a snapshot as a resource of its own: all of it, or one key."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.handlers.volume_metadata import item


def index(core: Core, call: Call) -> Reply:
    snapshot_id = call.parameters["snapshot_id"]
    return Reply(200, {"metadata": core.volumes.snapshot_metadata(call.caller, snapshot_id)})


def create(core: Core, call: Call) -> Reply:
    """Add to what there is."""
    return _change(core, call, replace=False)


def update_all(core: Core, call: Call) -> Reply:
    """Replace what there is."""
    return _change(core, call, replace=True)


def show(core: Core, call: Call) -> Reply:
    snapshot_id, key = call.parameters["snapshot_id"], call.parameters["id"]
    value = core.volumes.snapshot_metadata_item(call.caller, snapshot_id, key)
    return Reply(200, {"meta": {key: value}})


def update(core: Core, call: Call) -> Reply:
    key, value = item(call)
    core.volumes.change_snapshot_metadata(
        call.caller, call.parameters["snapshot_id"], {key: value}, replace=False
    )
    return Reply(200, {"meta": {key: value}})


def delete(core: Core, call: Call) -> Reply:
    snapshot_id, key = call.parameters["snapshot_id"], call.parameters["id"]
    core.volumes.remove_snapshot_metadata_item(call.caller, snapshot_id, key)
    return Reply(200, bare=True)


def _change(core: Core, call: Call, *, replace: bool) -> Reply:
    metadata = core.volumes.change_snapshot_metadata(
        call.caller, call.parameters["snapshot_id"], call.body["metadata"], replace=replace
    )
    return Reply(200, {"metadata": metadata})
