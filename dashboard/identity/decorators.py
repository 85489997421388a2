"""Guards of views."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from dashboard.core.errors import Unauthenticated

SEEN_COOKIE = "signed-in-here"  # somebody signed in with this browser and did not log out

View = TypeVar("View", bound=Callable[..., HttpResponse])


def signed_in(view: View) -> View:
    """Let only people through who are signed in and act in a project; `request.ctx` is then certain.

    Others are sent to the login page and back: a redirect, 401 with HX-Redirect for htmx, which would swap the login page in,
    and a plain 401 for scripts that asked for JSON.
    """

    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if getattr(request, "ctx", None) is not None:
            return view(request, *args, **kwargs)
        if request.user.is_authenticated:
            return render(request, "identity/no_project.html", status=403)
        return to_login(request)

    return guarded  # type: ignore[return-value]


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks, which would take a page for an answer."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def to_login(request: HttpRequest) -> HttpResponse:
    """The way to the login page, with the way back; `ended` when a login was there that is none any more."""
    if wants_json(request):
        return JsonResponse({"message": str(Unauthenticated())}, status=401)
    htmx = getattr(request, "htmx", None)
    target = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
    if htmx:
        target = _path_of(htmx.current_url or "")
    query = {"next": target} if target and target != "/" else {}
    if request.COOKIES.get(settings.SESSION_COOKIE_NAME) or request.COOKIES.get(SEEN_COOKIE):
        query["ended"] = "1"
    where = resolve_url("identity:login") + ("?" + urlencode(query) if query else "")
    if htmx:
        return HttpResponse(status=401, headers={"HX-Redirect": where})
    return redirect(where)


def _path_of(url: str) -> str:
    """Path and query of a URL; nothing of what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def local_path(candidate: str | None, default: str = "/") -> str:
    """`candidate` when it is a path of this site, else `default`: nobody is redirected elsewhere."""
    if candidate and candidate.startswith("/") and url_has_allowed_host_and_scheme(candidate, allowed_hosts=None):
        return candidate
    return default
