"""What is done to a volume by actions: its size, its status, its flags, who uses it."""

from collections.abc import Callable

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.handlers.volumes import look_up
from emberkeep.api.microversions import v3
from emberkeep.api.validation import is_true, number
from emberkeep.caller import Caller
from emberkeep.volumes.local import LocalVolumes

EXTENDS_IN_USE = v3(42)


def extend(core: Core, call: Call) -> Reply:
    new_size = number(call.body["os-extend"]["new_size"])
    volume_id = look_up(core, call, call.parameters["id"]).id
    in_use = call.version >= EXTENDS_IN_USE
    core.volumes.extend(call.caller, volume_id, new_size, in_use=in_use)
    return Reply(202)


def set_bootable(core: Core, call: Call) -> Reply:
    bootable = is_true(call.body["os-set_bootable"]["bootable"])
    volume_id = look_up(core, call, call.parameters["id"]).id
    core.volumes.update(call.caller, volume_id, {"bootable": bootable})
    return Reply(200)


def update_readonly_flag(core: Core, call: Call) -> Reply:
    readonly = is_true(call.body["os-update_readonly_flag"]["readonly"])
    volume_id = look_up(core, call, call.parameters["id"]).id
    core.volumes.set_readonly(call.caller, volume_id, readonly=readonly)
    return Reply(202)


def reset_status(core: Core, call: Call) -> Reply:
    given = {key: (text or "").lower() for key, text in call.body["os-reset_status"].items()}
    core.volumes.reset_status(
        call.caller,
        call.parameters["id"],
        status=given.get("status") or None,
        attach_status=given.get("attach_status") or None,
        migration_status=given.get("migration_status") or None,
    )
    return Reply(202)


def force_delete(core: Core, call: Call) -> Reply:
    row = look_up(core, call, call.parameters["id"])
    rule = "volume_extension:volume_admin_actions:force_delete"
    call.caller.authorize(rule, row.project_id)
    core.volumes.delete(call.caller, row.id, force=True)
    return Reply(202)


def revert(core: Core, call: Call) -> Reply:
    snapshot_id = call.body["revert"].get("snapshot_id")
    core.volumes.revert(call.caller, call.parameters["id"], snapshot_id)
    return Reply(202)


def _marking(
    mark: Callable[[LocalVolumes, Caller, str], None],
) -> Callable[[Core, Call], Reply]:
    """A handler of an action that has no arguments."""

    def handler(core: Core, call: Call) -> Reply:
        mark(core.volumes, call.caller, look_up(core, call, call.parameters["id"]).id)
        return Reply(202)

    return handler


reserve = _marking(LocalVolumes.reserve)
unreserve = _marking(LocalVolumes.unreserve)
begin_detaching = _marking(LocalVolumes.begin_detaching)
roll_detaching = _marking(LocalVolumes.roll_detaching)
terminate_connection = _marking(LocalVolumes.terminate_connection)


def attach(core: Core, call: Call) -> Reply:
    given = call.body["os-attach"]
    core.volumes.attach(
        call.caller,
        look_up(core, call, call.parameters["id"]).id,
        instance_uuid=given.get("instance_uuid"),
        host_name=given.get("host_name"),
        mountpoint=given["mountpoint"],
        mode=given.get("mode", "rw"),
    )
    return Reply(202)


def detach(core: Core, call: Call) -> Reply:
    given = call.body["os-detach"] or {}
    volume_id = look_up(core, call, call.parameters["id"]).id
    core.volumes.detach(call.caller, volume_id, given.get("attachment_id"))
    return Reply(202)


def force_detach(core: Core, call: Call) -> Reply:
    given = call.body["os-force_detach"]
    volume_id = look_up(core, call, call.parameters["id"]).id
    core.volumes.force_detach(call.caller, volume_id, given.get("attachment_id") or None)
    return Reply(202)


def initialize_connection(core: Core, call: Call) -> Reply:
    connector = call.body["os-initialize_connection"]["connector"]
    volume_id = look_up(core, call, call.parameters["id"]).id
    if not isinstance(connector, dict):
        raise BadRequest("Invalid input received: a connector is an object")
    info = core.volumes.initialize_connection(call.caller, volume_id, connector)
    return Reply(200, {"connection_info": info})
