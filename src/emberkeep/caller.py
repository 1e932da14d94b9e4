"""Who asks: the identity of a request, as the rules of backups and volumes need it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The user, in a project, on whose behalf something is done.

    `authorize(rule, project_id)` raises if the policy `rule` does not allow this caller to act on a
    thing of the project `project_id` (None: a rule without a target).
    """

    user_id: str
    project_id: str
    is_admin: bool
    request_id: str
    authorize: Callable[[str, str | None], None]

    @property
    def sees(self) -> str | None:
        """The project to which lookups are limited; None for an admin, who sees all."""
        return None if self.is_admin else self.project_id
