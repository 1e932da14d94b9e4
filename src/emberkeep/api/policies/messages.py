"""Policies of messages to users."""

from emberkeep.api.policies.who import Who

RULES = {
    "message:get_all": Who.READER,
    "message:get": Who.READER,
    "message:delete": Who.MEMBER,
}
