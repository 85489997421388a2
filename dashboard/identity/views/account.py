"""A person's own settings and password."""

from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from dashboard.core import http
from dashboard.core.errors import TooManyRequests, Unauthenticated
from dashboard.core.http import Request
from dashboard.identity import services
from dashboard.identity.authentication import check
from dashboard.identity.decorators import signed_in
from dashboard.identity.forms import PasswordForm, SettingsForm
from dashboard.identity.models import User


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def settings(request: Request) -> HttpResponse:
    """Time zone, rows on a page, theme."""
    form = SettingsForm(request.POST or None, instance=_fresh(request))
    if form.is_valid():
        form.save()
        return http.redirect(request, resolve_url("identity:settings"), toast=_("Settings saved."))
    return render(request, "identity/settings.html", {"form": form}, status=422 if form.is_bound else 200)


@sensitive_post_parameters("current", "new", "confirm")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def password(request: Request) -> HttpResponse:
    """A new password. This session goes on under a new key; all others, and all tokens, end."""
    user = _fresh(request)
    form = PasswordForm(request.POST or None, user=user)
    status = 422 if form.is_bound else 200
    if form.is_valid():
        try:
            check(request, user.name, form.cleaned_data["current"], user.domain_id)
        except TooManyRequests as error:
            form.add_error("current", str(error))
            status = error.status
        except Unauthenticated:
            form.add_error("current", _("This is not your current password."))
        else:
            services.set_password(user, form.cleaned_data["new"])
            update_session_auth_hash(request, user)
            toast = _("Password changed. You were logged out everywhere else, and your API tokens have ended.")
            return http.redirect(request, resolve_url("identity:password"), toast=toast)
    return render(request, "identity/password.html", {"form": form}, status=status)


def _fresh(request: Request) -> User:
    """The user as a row of his own: a form that fails must not change what the page's frame shows."""
    return User.objects.select_related("domain").get(pk=request.ctx.user_id)
