"""/identity/v3/projects and users, as far as the clients look people and projects up."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.versions import base_url
from dashboard.core.api.views import View
from dashboard.core.errors import NotFound
from dashboard.identity import policy, services
from dashboard.identity.models import Project, User


def project_body(project: Project, base: str) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "parent_id": project.domain_id,
        "description": project.description,
        "enabled": project.enabled,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": f"{base}/identity/v3/projects/{project.id}"},
    }


def user_body(user: User, base: str) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "default_project_id": user.default_project_id,
        "description": user.description,
        "email": user.email,
        "enabled": user.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": f"{base}/identity/v3/users/{user.id}"},
    }


def collection(name: str, rows: list[dict[str, Any]], url: str) -> dict[str, Any]:
    """A list in Keystone's envelope; `truncated` when there is more than one answer holds."""
    body: dict[str, Any] = {name: rows[: settings.API_LIMIT_MAX], "links": {"self": url, "previous": None, "next": None}}
    return {**body, "truncated": True} if len(rows) > settings.API_LIMIT_MAX else body


class ProjectList(View):
    """All projects, for administrators; `name` and `domain_id` narrow the list, as the clients ask."""

    def get(self, request: Request) -> Response:
        policy.require(self.ctx, "identity:list_projects")
        rows = Project.objects.order_by("name", "id")
        if name := request.query_params.get("name"):
            rows = rows.filter(name=name)
        if domain_id := request.query_params.get("domain_id"):
            rows = rows.filter(domain=domain_id)
        base = base_url(request._request)
        found = [project_body(project, base) for project in rows[: settings.API_LIMIT_MAX + 1]]
        return Response(collection("projects", found, f"{base}/identity/v3/projects"))


class ProjectDetail(View):
    def get(self, request: Request, project_id: str) -> Response:
        policy.require(self.ctx, "identity:get_project", {"target.project.id": project_id})
        project = Project.objects.filter(pk=project_id).first()
        if project is None:
            raise NotFound(_("Could not find project: {id}."), id=project_id)
        return Response({"project": project_body(project, base_url(request._request))})


class UserList(View):
    """All users, for administrators."""

    def get(self, request: Request) -> Response:
        policy.require(self.ctx, "identity:list_users")
        rows = User.objects.order_by("name", "id")
        if name := request.query_params.get("name"):
            rows = rows.filter(name=name)
        if domain_id := request.query_params.get("domain_id"):
            rows = rows.filter(domain=domain_id)
        base = base_url(request._request)
        found = [user_body(user, base) for user in rows[: settings.API_LIMIT_MAX + 1]]
        return Response(collection("users", found, f"{base}/identity/v3/users"))


class UserDetail(View):
    def get(self, request: Request, user_id: str) -> Response:
        policy.require(self.ctx, "identity:get_user", {"target.user.id": user_id})
        return Response({"user": user_body(_user(user_id), base_url(request._request))})


class UserProjects(View):
    """The projects a user has a role in."""

    def get(self, request: Request, user_id: str) -> Response:
        policy.require(self.ctx, "identity:list_user_projects", {"target.user.id": user_id})
        base = base_url(request._request)
        rows = services.projects_of(_user(user_id))[: settings.API_LIMIT_MAX + 1]
        return Response(
            collection("projects", [project_body(project, base) for project in rows], f"{base}/identity/v3/users/{user_id}/projects")
        )


def _user(user_id: str) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound(_("Could not find user: {id}."), id=user_id)
    return user
