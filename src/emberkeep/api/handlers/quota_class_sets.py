"""Quota class sets: the limits of classes; those of `default` count for every project."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.validation import number
from emberkeep.backups import quota_sets


def show(core: Core, call: Call) -> Reply:
    name = call.parameters["id"]
    limits = core.quota_sets.show_class(call.caller, name)
    return Reply(200, {"quota_class_set": {**limits, "id": name}})


def update(core: Core, call: Call) -> Reply:
    given: dict[str, int | str] = call.body["quota_class_set"]
    wanted = {name: _limit(value) for name, value in given.items()}
    call.caller.authorize(quota_sets.UPDATE_CLASS, None)
    limits = core.quota_sets.update_class(call.caller, call.parameters["id"], wanted)
    return Reply(200, {"quota_class_set": limits})


def _limit(value: int | str) -> int:
    """The limit; a newline alone, though it passes the schema, is none."""
    if not str(value).strip():
        raise BadRequest
    return number(value)
