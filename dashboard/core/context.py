"""Who is asking: the one value every service receives."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The asker, as identity established it.

    Ids are Keystone's 32 hex digits. `project_id` is None for an unscoped token; `roles` are the role names held on the
    project, implied ones included; `is_admin` is true for the holder of the admin role.
    """

    user_id: str
    user_name: str = ""
    project_id: str | None = None
    project_name: str = ""
    domain_id: str = "default"
    roles: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    def credentials(self) -> dict[str, Any]:
        """The dictionary oslo.policy checks rules against."""
        return {
            "user_id": self.user_id,
            "project_id": self.project_id,
            "domain_id": self.domain_id,
            "roles": sorted(self.roles),
            "is_admin": self.is_admin,
        }
