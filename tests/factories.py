"""Makers of test data: plain functions with defaults."""

import itertools
from typing import Any

from dashboard.core.context import RequestContext
from dashboard.identity import services
from dashboard.identity.models import Project, User

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def make_project(name: str = "", **fields: Any) -> Project:
    """A project; one of that name is used again."""
    services.bootstrap_admin(PASSWORD)
    name = name or f"project-{next(_numbers)}"
    domain_id = fields.pop("domain_id", services.DEFAULT_DOMAIN)
    found = Project.objects.filter(name=name, domain_id=domain_id).first()
    return found or services.create_project(name, domain_id=domain_id, **fields)


def make_user(name: str = "", project: Project | None = None, role: str = "member", password: str = PASSWORD, **fields: Any) -> User:
    """A user, with a role on `project` when one is given; one of that name is used again."""
    services.bootstrap_admin(PASSWORD)
    name = name or f"user-{next(_numbers)}"
    domain_id = fields.pop("domain_id", services.DEFAULT_DOMAIN)
    user = User.objects.filter(name=name, domain_id=domain_id).first()
    user = user or services.create_user(name, password, domain_id=domain_id, default_project=project, **fields)
    if project:
        services.grant(user, project, role)
    return user


def ctx_for(user: User, project: Project | None) -> RequestContext:
    """What a service receives when `user` acts in `project`."""
    return services.context_for(user, project)
