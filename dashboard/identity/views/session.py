"""Signing in and out, and the project one works in."""

from django.contrib import auth
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.core import http
from dashboard.core.errors import Error, TooManyRequests, Unauthenticated
from dashboard.core.http import Request
from dashboard.identity import navigation, services
from dashboard.identity.authentication import PROJECT_KEY, check
from dashboard.identity.decorators import SEEN_COOKIE, local_path, signed_in, wants_json
from dashboard.identity.forms import LoginForm
from dashboard.identity.models import User

BACKEND = "dashboard.identity.authentication.PasswordBackend"


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """The login page. Afterwards people go on to where they were heading, within this site."""
    target = local_path(request.POST.get("next") or request.GET.get("next"))
    if request.user.is_authenticated and request.method != "POST":
        return redirect(target)
    form = LoginForm(request.POST or None)
    refusal: Error | None = None
    if request.method == "POST" and form.is_valid():
        try:
            auth.login(request, check(request, form.cleaned_data["name"], form.cleaned_data["password"], form.domain_id), backend=BACKEND)
            return http.redirect(request, target)
        except TooManyRequests as error:
            refusal = error
            form.add_error(None, str(error))
        except Unauthenticated:
            form.add_error(None, _("The user name or the password is not right."))
    status = refusal.status if refusal else 422 if form.is_bound else 200
    ended = not form.is_bound and "ended" in request.GET
    response = render(request, "identity/login.html", {"form": form, "next": target, "ended": ended}, status=status)
    if refusal:
        response.headers["Retry-After"] = str(refusal.fields["seconds"])
    return response


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session."""
    auth.logout(request)
    response = http.redirect(request, resolve_url("identity:login"))
    response.delete_cookie(SEEN_COOKIE)
    return response


@require_POST
@signed_in
def switch(request: Request) -> HttpResponse:
    """Work in another project from now on, under a new session key; on the page one was at, or its list."""
    assert isinstance(request.user, User)
    wanted = request.POST.get("project", "")
    ctx = services.context_in(request.user, wanted)
    if ctx is None or ctx.project_id != wanted:
        raise Http404
    request.session.cycle_key()
    request.session[PROJECT_KEY] = wanted
    to = navigation.landing(ctx, local_path(request.POST.get("next")))
    return http.redirect(request, to, toast=_("You are now in project %s.") % ctx.project_name)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW. Mostly a page that was drawn before its person signed in (again), in this tab or another."""
    message = _("This page is from before you signed in. Load it again, then repeat what you did.")
    if wants_json(request):
        return JsonResponse({"message": message, "csrf": True}, status=403)  # upload.js fetches another token
    if getattr(request, "htmx", None):
        return HttpResponse(message, status=403, content_type="text/plain; charset=utf-8")
    return render(request, "errors/refused.html", {"status": 403, "message": message}, status=403)
