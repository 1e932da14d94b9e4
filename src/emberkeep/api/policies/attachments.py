"""Policies of attachments.  Lists and shows have none: they are of the caller's project."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume:attachment_create": Who.MEMBER,
    "volume:attachment_update": Who.MEMBER,
    "volume:attachment_delete": Who.MEMBER,
    "volume:attachment_complete": Who.MEMBER,
}
