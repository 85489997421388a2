"""The front door, health, and the pages shown when something is wrong."""

import os
import shutil
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from dashboard.core import errors
from dashboard.identity.models import Domain
from dashboard.jobs import health
from images import stores


def home(request: HttpRequest) -> HttpResponse:
    return redirect("images:list")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Ready: 200 when the database, the workers, staging and every store do their part, else 503; each with "ok" or the reason."""
    found = {f"store {name}": _store(name) for name in settings.STORES}
    checks = {"database": _database, "workers": _workers, "staging": _staging, **found}
    results = {name: check() for name, check in checks.items()}
    ready = all(result == "ok" for result in results.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", "checks": results}, status=200 if ready else 503)


def _database() -> str:
    try:
        Domain.objects.exists()  # a table of ours: an empty file is a database too
    except DatabaseError:
        return _("The database does not answer.")
    return "ok"


def _workers() -> str:
    seconds = health.idle_for()
    if seconds is None:
        return _("No worker has reported since the start.")
    return "ok" if seconds < health.WORKER_SILENCE else _("No worker has reported for %(seconds)d seconds.") % {"seconds": seconds}


def _staging() -> str:
    try:
        settings.STAGING.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.STAGING).free
    except OSError:
        return _("The staging folder does not answer.")
    if not os.access(settings.STAGING, os.W_OK):
        return _("The staging folder cannot be written.")
    return "ok" if free else _("The staging folder is full.")


def _store(name: str) -> Callable[[], str]:
    def check() -> str:
        try:
            _used, free = stores.get(name).usage()
        except (OSError, errors.Error):
            return _("The store does not answer.")
        return "ok" if free is None or free > 0 else _("The store is full.")

    return check


def not_understood(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    # Without the request: Django's own page reads the form again, which is what could not be read.
    context = {"status": 400, "message": _("The request could not be understood.")}
    return HttpResponse(render_to_string("errors/refused.html", context), status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "errors/403.html", {"message": str(exception or "")}, status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "errors/404.html", status=404)


def crashed(request: HttpRequest) -> HttpResponse:
    # Without the request: the frame's own queries may be what broke.
    return HttpResponse(render_to_string("errors/500.html"), status=500)
