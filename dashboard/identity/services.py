"""Who exists and who may do what: users, projects, roles, and the RequestContext made of them."""

from collections.abc import Collection, Iterable

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core.context import RequestContext
from dashboard.core.errors import NotFound, Unauthenticated
from dashboard.identity.bootstrap import DEFAULT_DOMAIN, bootstrap_admin, bootstrap_demo
from dashboard.identity.models import Assignment, Domain, Project, Role, Token, User

__all__ = [
    "DEFAULT_DOMAIN",
    "bootstrap_admin",
    "bootstrap_demo",
    "context_for",
    "context_in",
    "context_of",
    "create_project",
    "create_user",
    "effective_roles",
    "grant",
    "project_name",
    "project_names",
    "projects_of",
    "revoke",
    "role_names",
    "set_enabled",
    "set_password",
    "with_implied",
]


# -- asking ---------------------------------------------------------------------------------------------------------
def with_implied(names: Iterable[str]) -> frozenset[str]:
    """The role names with all they imply, however far down."""
    held, found = set(), list(names)
    if not found:
        return frozenset()
    edges = list(Role.implies.through.objects.values_list("from_role__name", "to_role__name"))
    while found:
        name = found.pop()
        if name not in held:
            held.add(name)
            found += [lower for upper, lower in edges if upper == name]
    return frozenset(held)


def role_names(user_id: str, project_id: str) -> frozenset[str]:
    """The roles a user holds on a project, implied ones included; empty when none."""
    return with_implied(Assignment.objects.filter(user=user_id, project=project_id).values_list("role__name", flat=True))


def effective_roles(ctx: RequestContext) -> list[Role]:
    """The roles of a context as rows, by name."""
    return list(Role.objects.filter(name__in=ctx.roles).order_by("name"))


def context_for(user: User, project: Project | None, roles: Collection[str] | None = None) -> RequestContext:
    """What `user` may claim in `project` (None: unscoped, no roles).

    Raises Unauthenticated when the user, the project or a domain of theirs is disabled, or the user holds no role there.
    `roles` saves the query when the caller has just read the assigned names.
    """
    if not user.is_active:
        raise Unauthenticated
    if project is None:
        return RequestContext(user_id=user.id, user_name=user.name, domain_id=user.domain_id)
    if not (project.enabled and project.domain.enabled):
        raise Unauthenticated
    held = role_names(user.id, project.id) if roles is None else with_implied(roles)
    if not held:
        raise Unauthenticated
    return RequestContext(
        user_id=user.id,
        user_name=user.name,
        project_id=project.id,
        project_name=project.name,
        domain_id=user.domain_id,
        roles=held,
    )


def context_of(user_id: str, project_id: str) -> RequestContext:
    """What this person may claim in this project at this moment; Unauthenticated when the account, the project or the role is gone."""
    user = User.objects.select_related("domain").filter(pk=user_id).first()
    project = Project.objects.select_related("domain").filter(pk=project_id).first()
    if user is None or project is None:
        raise Unauthenticated
    return context_for(user, project)


def projects_of(user: User) -> QuerySet[Project]:
    """The enabled projects in which the user holds a role, by name."""
    held = Assignment.objects.filter(user=user).values("project")
    return Project.objects.filter(pk__in=held, enabled=True, domain__enabled=True).select_related("domain").order_by("name", "id")


def context_in(user: User, project_id: str | None) -> RequestContext | None:
    """The context of a signed-in user: in the project wanted, else the default one, else the first; None without any.

    Callers compare `project_id` of the answer with what they asked for.
    """
    for wanted in dict.fromkeys((project_id, user.default_project_id)):
        if wanted and (ctx := _context_by_id(user, wanted)):
            return ctx
    project = projects_of(user).first()
    return context_for(user, project) if project else None


def _context_by_id(user: User, project_id: str) -> RequestContext | None:
    held = list(Assignment.objects.filter(user=user, project=project_id).select_related("project__domain", "role"))
    try:
        return context_for(user, held[0].project, [assignment.role.name for assignment in held]) if held else None
    except Unauthenticated:
        return None


def project_names(ids: Iterable[str]) -> dict[str, str]:
    """Names by id; an id that is no project's is left out."""
    return dict(Project.objects.filter(pk__in=set(ids)).values_list("id", "name"))


def project_name(project_id: str) -> str:
    """A project's name, or the id itself when there is no such project."""
    return project_names([project_id]).get(project_id, project_id)


# -- changing -------------------------------------------------------------------------------------------------------
def create_project(name: str, *, domain_id: str = DEFAULT_DOMAIN, description: str = "") -> Project:
    return Project.objects.create(name=name, domain_id=domain_id, description=description)


def create_user(
    name: str,
    password: str | None = None,
    *,
    domain_id: str = DEFAULT_DOMAIN,
    default_project: Project | None = None,
    email: str = "",
    description: str = "",
) -> User:
    domain = Domain.objects.get(pk=domain_id)
    return User.objects.create_user(name, password, domain=domain, default_project=default_project, email=email, description=description)


def _role(name: str) -> Role:
    try:
        return Role.objects.get(name=name)
    except Role.DoesNotExist:
        raise NotFound(_("Could not find role: {name}."), name=name) from None


def grant(user: User, project: Project, role: str) -> None:
    """Give a role on a project; twice is once."""
    Assignment.objects.get_or_create(user=user, project=project, role=_role(role))


@transaction.atomic
def revoke(user: User, project: Project, role: str) -> None:
    """Take a role away. Tokens for that project die, as in Keystone, even when another role remains."""
    Assignment.objects.filter(user=user, project=project, role=_role(role)).delete()
    Token.objects.filter(user=user, project=project).delete()


@transaction.atomic
def set_enabled(thing: User | Project | Domain, enabled: bool) -> None:
    """Enable or disable; disabling a person or a domain ends the logins and tokens for good, also after enabling again.

    Disabling a project ends its tokens; whoever was working in it goes on in another of theirs.
    """
    thing.enabled = enabled
    thing.save(update_fields=["enabled"])
    if enabled:
        return
    if isinstance(thing, User):
        Token.objects.filter(user=thing).delete()
        _end_sessions([thing.pk])
    elif isinstance(thing, Project):
        Token.objects.filter(project=thing).delete()
    else:
        Token.objects.filter(user__domain=thing).delete()
        Token.objects.filter(project__domain=thing).delete()
        _end_sessions(thing.users.values_list("pk", flat=True))


def _end_sessions(user_ids: Iterable[str]) -> None:
    """Sign these people out everywhere. A session's row does not tell whose it is, so each live one is opened."""
    ids = set(user_ids)
    live = Session.objects.filter(expire_date__gt=timezone.now())
    ended = [session.pk for session in live.iterator() if session.get_decoded().get(SESSION_KEY) in ids]
    for at in range(0, len(ended), 500):
        Session.objects.filter(pk__in=ended[at : at + 500]).delete()


@transaction.atomic
def set_password(user: User, password: str) -> None:
    """A new password; every token and every other session of the user ends."""
    user.set_password(password)
    user.save(update_fields=["password"])
    Token.objects.filter(user=user).delete()
