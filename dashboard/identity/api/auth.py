"""/identity/v3/auth: tokens, the catalog, the projects one may ask a token for."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.body import read_object
from dashboard.core.api.versions import base_url
from dashboard.core.api.views import View
from dashboard.core.context import RequestContext
from dashboard.core.errors import Forbidden, NotFound, Unauthenticated
from dashboard.identity import catalog, policy, services, tokens
from dashboard.identity.api import schema
from dashboard.identity.api.resources import collection, project_body
from dashboard.identity.authentication import check
from dashboard.identity.models import Domain, Project, Token, User


class Tokens(View):
    """Issue, validate and revoke. The token in question is in X-Subject-Token, the asker's in X-Auth-Token."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        # Who signs in has no token yet; a stale one he may send along must not stop him.
        return [] if self._signing_in() else super().get_authenticators()

    def get_permissions(self) -> Sequence[Any]:
        return [] if self._signing_in() else super().get_permissions()

    def _signing_in(self) -> bool:
        return self.request is not None and self.request.method == "POST"

    def post(self, request: Request) -> Response:
        asked = schema.read(read_object(request._request))
        user, parent = _identify(request._request, asked)
        project = _project(asked, user)
        secret, token = tokens.issue(user, project, methods=asked.methods, parent=parent)
        return _answer(request, token, secret, status=201)

    def get(self, request: Request) -> Response:
        secret, token = _subject(request, self.ctx, "identity:validate_token")
        return _answer(request, token, secret)

    def head(self, request: Request) -> Response:
        secret, _ = _subject(request, self.ctx, "identity:check_token")
        return Response(headers={"X-Subject-Token": secret, "Vary": "X-Auth-Token"})

    def delete(self, request: Request) -> Response:
        _, token = _subject(request, self.ctx, "identity:revoke_token")
        tokens.revoke(token)
        return Response(status=204, headers={"Vary": "X-Auth-Token"})


class Catalog(View):
    def get(self, request: Request) -> Response:
        if self.ctx.project_id is None:
            raise Forbidden(_("A project-scoped token is required to produce a service catalog."))
        base = base_url(request._request)
        return Response({"catalog": catalog.build(base), "links": {"self": f"{base}/identity/v3/auth/catalog"}})


class Projects(View):
    """The projects the asker may have a token for."""

    def get(self, request: Request) -> Response:
        base = base_url(request._request)
        rows = [project_body(project, base) for project in services.projects_of(cast(User, request.user))]
        return Response(collection("projects", rows, f"{base}/identity/v3/auth/projects"))


# -- who, and where -------------------------------------------------------------------------------------------------
def _identify(request: HttpRequest, asked: schema.Asked) -> tuple[User, Token | None]:
    """The user, and the token he proved himself with; two methods must agree on who he is."""
    parent = tokens.validate(asked.token)[0] if "token" in asked.methods else None
    user = check(request, *_credentials(asked.user)) if "password" in asked.methods else None
    if user and parent and user.pk != parent.user_id:
        raise Unauthenticated
    found = user or (parent.user if parent else None)
    if found is None:
        raise Unauthenticated
    return found, parent


def _credentials(user: dict[str, Any]) -> tuple[str, str, str]:
    """Name, password and domain; an id or a domain name that nobody has gives a name that nobody has."""
    if "id" in user:
        row = User.objects.filter(pk=user["id"]).first() if _clean(user["id"]) else None
        return (row.name, user["password"], row.domain_id) if row else (user["id"], user["password"], "")
    return user["name"], user["password"], _domain_id(user["domain"]) or ""


def _domain_id(domain: dict[str, Any]) -> str | None:
    if "id" in domain:
        return domain["id"] if _clean(domain["id"]) else None
    return Domain.objects.filter(name=domain["name"]).values_list("pk", flat=True).first() if _clean(domain["name"]) else None


def _clean(text: str) -> bool:
    return text.isprintable()


def _project(asked: schema.Asked, user: User) -> Project | None:
    """The project asked for, as Keystone reads the request: without a scope it is the user's default project, if he may."""
    rows = Project.objects.select_related("domain")
    if asked.unscoped:
        return None
    if asked.project is None:
        project = rows.filter(pk=user.default_project_id).first()
        try:
            services.context_for(user, project)
        except Unauthenticated:
            return None
        return project
    wanted = asked.project
    if "id" in wanted:
        project = rows.filter(pk=wanted["id"]).first() if _clean(wanted["id"]) else None
    else:
        domain_id = _domain_id(wanted["domain"])
        project = rows.filter(domain=domain_id, name=wanted["name"]).first() if domain_id and _clean(wanted["name"]) else None
    if project is None:
        raise Unauthenticated
    return project


def _subject(request: Request, ctx: RequestContext, rule: str) -> tuple[str, Token]:
    secret = request.headers.get("X-Subject-Token")
    if not secret:
        raise NotFound(_("No token in the request"))
    try:
        token = tokens.validate(secret)[0]
    except Unauthenticated:
        raise NotFound(_("Failed to validate token")) from None
    policy.require(ctx, rule, {"target.token.user_id": token.user_id})
    return secret, token


# -- the answer -----------------------------------------------------------------------------------------------------
def _answer(request: Request, token: Token, secret: str, status: int = 200) -> Response:
    ctx = services.context_for(token.user, token.project)
    body = token_body(token, ctx)
    if token.project and "nocatalog" not in request.query_params:
        body["catalog"] = catalog.build(base_url(request._request))
    headers = {"X-Subject-Token": secret, "Vary": "X-Auth-Token", "Cache-Control": "no-store"}
    return Response({"token": body}, status=status, headers=headers)


def token_body(token: Token, ctx: RequestContext) -> dict[str, Any]:
    """A token as Keystone shows it, without the catalog."""
    user, project = token.user, token.project
    body: dict[str, Any] = {
        "methods": token.methods,
        "user": {"id": user.id, "name": user.name, "domain": _domain(user.domain), "password_expires_at": None},
        "audit_ids": token.audit_ids,
        "issued_at": _time(token.issued_at),
        "expires_at": _time(token.expires_at),
    }
    if project:
        body["project"] = {"id": project.id, "name": project.name, "domain": _domain(project.domain)}
        body["is_domain"] = False
        body["roles"] = [{"id": role.id, "name": role.name} for role in services.effective_roles(ctx)]
    return body


def _domain(domain: Domain) -> dict[str, str]:
    return {"id": domain.id, "name": domain.name}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
