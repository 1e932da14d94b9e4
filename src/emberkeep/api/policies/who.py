"""Whom a rule allows, besides admins, who may do everything."""

from enum import StrEnum


class Who(StrEnum):
    """The role that a caller needs; for any but `ADMIN` the thing must be of its project."""

    ADMIN = "admin"
    MEMBER = "member"
    READER = "reader"

    @property
    def check(self) -> str:
        """The default of a rule, in the language of oslo.policy."""
        return CHECKS[self]


CHECKS = {
    Who.ADMIN: "rule:admin_api",
    Who.MEMBER: "rule:xena_system_admin_or_project_member",
    Who.READER: "rule:xena_system_admin_or_project_reader",
}

# What the others are made of.  The names are Cinder's, so its operators' overrides carry over.
BASE = {
    "context_is_admin": "role:admin",
    "admin_api": "is_admin:True or (role:admin and is_admin_project:True)",
    "admin_or_owner": (
        "is_admin:True or (role:admin and is_admin_project:True) or project_id:%(project_id)s"
    ),
    "xena_system_admin_or_project_member": (
        "role:admin or (role:member and project_id:%(project_id)s)"
    ),
    "xena_system_admin_or_project_reader": (
        "role:admin or (role:reader and project_id:%(project_id)s)"
    ),
}
