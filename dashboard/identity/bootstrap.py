"""The first people: what `up` and `up --demo` create. Running it again changes nothing that is there."""

import secrets

from django.db import transaction

from dashboard.identity.models import Assignment, Domain, Project, Role, User

DEFAULT_DOMAIN = "default"

# Each role implies the next one.
ROLES = ("admin", "manager", "member", "reader")


def _roles() -> None:
    Domain.objects.get_or_create(pk=DEFAULT_DOMAIN, defaults={"name": "Default", "description": "The default domain"})
    upper: Role | None = None
    for name in ROLES:
        role, _made = Role.objects.get_or_create(name=name)
        if upper:
            upper.implies.add(role)
        upper = role


def _project(name: str, description: str) -> Project:
    found, _made = Project.objects.get_or_create(name=name, domain_id=DEFAULT_DOMAIN, defaults={"description": description})
    return found


def _user(name: str, password: str, project: Project, role: str) -> bool:
    """Whether the user was made now; one who was there is left as he is."""
    if User.objects.filter(name=name, domain_id=DEFAULT_DOMAIN).exists():
        return False
    domain = Domain.objects.get(pk=DEFAULT_DOMAIN)
    user = User.objects.create_user(name, password, domain=domain, default_project=project)
    Assignment.objects.create(user=user, project=project, role=Role.objects.get(name=role))
    return True


@transaction.atomic
def bootstrap_admin(password: str | None = None) -> str | None:
    """Domain Default, the roles, project admin and its user admin.

    Returns the administrator's password when the user was made now (a random one if none was given), else None.
    """
    _roles()
    password = password or secrets.token_urlsafe(15)
    return password if _user("admin", password, _project("admin", "Administration"), "admin") else None


@transaction.atomic
def bootstrap_demo(password: str | None = None) -> str | None:
    """Projects demo and partner; alice (member) and carol (reader) of demo, bob (member) of partner, one password.

    Returns the password when any of them was made now, else None.
    """
    _roles()
    password = password or secrets.token_urlsafe(15)
    demo, partner = _project("demo", "Demonstration"), _project("partner", "A second project, to share with")
    people = [("alice", demo, "member"), ("bob", partner, "member"), ("carol", demo, "reader")]
    made = [_user(name, password, project, role) for name, project, role in people]
    return password if any(made) else None
