"""Session → request.ctx."""

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.identity import services
from dashboard.identity.authentication import PROJECT_KEY, SAFE_METHODS
from dashboard.identity.decorators import SEEN_COOKIE, wants_json
from dashboard.identity.models import User


class ContextMiddleware:
    """Gives each request `ctx` (None when not signed in) and the person's time zone; keeps signed-in answers out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.ctx = _context(request)  # type: ignore[attr-defined]
        with timezone.override(_time_zone(request)):
            response = self.get_response(request)
        if request.ctx is not None or _signed_in(request):  # type: ignore[attr-defined]
            response.headers["Cache-Control"] = "no-store"
        if not request.COOKIES.get(SEEN_COOKIE) and _signed_in(request):
            # Outlives the session's own cookie, so that a login that ran out can be told from a first visit.
            response.set_cookie(SEEN_COOKIE, "1", max_age=30 * 86400, httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """An error of the tree that no view has dealt with: its own page and status.

        For htmx its sentence, which becomes a toast; for a script that wants JSON the sentence as `message`.
        """
        if not isinstance(exception, errors.Error):
            return None
        if wants_json(request):
            return JsonResponse({"message": str(exception)}, status=exception.status)
        if getattr(request, "htmx", None):
            return HttpResponse(str(exception), status=exception.status, content_type="text/plain; charset=utf-8")
        if isinstance(exception, errors.NotFound):
            raise Http404(str(exception)) from exception
        if isinstance(exception, errors.Forbidden):
            raise PermissionDenied(str(exception)) from exception
        return render(request, "errors/refused.html", {"status": exception.status, "message": str(exception)}, status=exception.status)


def _signed_in(request: HttpRequest) -> bool:
    return bool(request.session.session_key) and isinstance(request.user, User)


def _context(request: HttpRequest) -> RequestContext | None:
    if not request.session.session_key or not isinstance(request.user, User):
        return None
    wanted = request.session.get(PROJECT_KEY)
    ctx = services.context_in(request.user, wanted)
    if ctx and ctx.project_id != wanted:
        if wanted and request.method not in SAFE_METHODS:
            # The page was drawn for a project the person has just lost; doing it in another one would surprise.
            raise PermissionDenied
        request.session[PROJECT_KEY] = ctx.project_id
    return ctx


def _time_zone(request: HttpRequest) -> zoneinfo.ZoneInfo | None:
    if not _signed_in(request) or not isinstance(request.user, User):
        return None
    try:
        return zoneinfo.ZoneInfo(request.user.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None
