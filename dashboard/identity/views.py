"""Signing in and out, the project switcher, one's own settings, and who is in which project."""

from django.contrib import auth
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.core.errors import TooManyRequests, Unauthenticated
from dashboard.identity import services
from dashboard.identity.authentication import check
from dashboard.identity.decorators import local_path
from dashboard.identity.forms import LoginForm


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """The login page. Afterwards people go on to where they were heading, within this site."""
    target = local_path(request.POST.get("next") or request.GET.get("next"))
    if request.method != "POST":
        if request.user.is_authenticated:
            return redirect(target)
        return render(request, "identity/login.html", {"form": LoginForm(), "next": target})
    form, status, wait = LoginForm(request.POST), 422, 0
    if form.is_valid():
        domain = form.cleaned_data.get("domain")
        try:
            user = check(
                request, form.cleaned_data["name"], form.cleaned_data["password"], domain.pk if domain else services.DEFAULT_DOMAIN
            )
        except TooManyRequests as error:
            form.add_error(None, str(error))
            status, wait = error.status, error.fields["seconds"]
        except Unauthenticated:
            form.add_error(None, _("The user name or the password is not right."))
        else:
            auth.login(request, user, backend="dashboard.identity.authentication.PasswordBackend")
            return redirect(target)
    response = render(request, "identity/login.html", {"form": form, "next": target}, status=status)
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session."""
    auth.logout(request)
    return redirect("identity:login")
