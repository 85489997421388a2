"""Who is there: projects and users, for looking up."""

from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from dashboard.core.http import Request, page
from dashboard.core.listing import Listing, Table
from dashboard.identity import policy, services
from dashboard.identity.decorators import signed_in
from dashboard.identity.models import Assignment, Domain, Project, User


def _search(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    return rows.filter(Q(name__icontains=text) | Q(description__icontains=text) | Q(pk=text))


PROJECTS = Table(sorts={"name": "name"}, default_sort="name", search=_search)
USERS = Table(sorts={"name": "name", "seen": "last_login"}, default_sort="name", search=_search)


@require_safe
@signed_in
def projects(request: Request) -> HttpResponse:
    """The projects I am in; for those who may list them, all."""
    assert isinstance(request.user, User)
    everything = policy.allows(request.ctx, "identity:list_projects")
    rows = Project.objects.select_related("domain") if everything else services.projects_of(request.user)
    listing = Listing(PROJECTS, request.GET, rows, path=request.path, page_size=request.user.page_size)
    mine: dict[str, list[str]] = {}
    held = Assignment.objects.filter(user=request.user, project__in=[row.pk for row in listing.rows])
    for project_id, role in held.order_by("role__name").values_list("project_id", "role__name"):
        mine.setdefault(project_id, []).append(role)
    table = [{"project": row, "roles": mine.get(row.pk, [])} for row in listing.rows]
    context = {"listing": listing, "table": table, "everything": everything, "domains": _domains(), "title": _("Projects")}
    return page(request, "identity/projects.html", context)


@require_safe
@signed_in
def users(request: Request) -> HttpResponse:
    """All users, for those who may list them."""
    assert isinstance(request.user, User)
    policy.require(request.ctx, "identity:list_users")
    rows = User.objects.select_related("domain").annotate(projects=Count("assignments__project", distinct=True))
    listing = Listing(USERS, request.GET, rows, path=request.path, page_size=request.user.page_size)
    return page(request, "identity/users.html", {"listing": listing, "domains": _domains(), "title": _("Users")})


def _domains() -> bool:
    """Whether a column for the domain says anything."""
    return Domain.objects.count() > 1
