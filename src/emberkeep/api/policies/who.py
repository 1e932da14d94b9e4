"""Whom a rule allows, besides admins, who may do everything."""

from enum import StrEnum


class Who(StrEnum):
    """The role that a caller needs; for any but `ADMIN` the thing must be of its project."""

    ADMIN = "admin"
    MEMBER = "member"
    READER = "reader"
