"""The request as views see it, and the answers they give: a page, a partial, or a redirect, each with a toast if wanted."""

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from dashboard.core.context import RequestContext


class Request(HttpRequest):
    """A logged-in request: `ctx` says who asks, `htmx` how."""

    ctx: RequestContext
    htmx: HtmxDetails


def wants_partial(request: HttpRequest) -> bool:
    """True for an htmx request that will swap a fragment; false for browsers, boosted links and history restores."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, partial: str | None = None, status: int = 200
) -> HttpResponse:
    """Answer `template`, or only `partial` when htmx will swap that fragment."""
    chosen = partial if partial and wants_partial(request) else template
    response = render(request, chosen, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def add_toast(response: HttpResponse, text: str, level: str = "success") -> HttpResponse:
    """Have the page show a toast when this answer arrives (htmx event `toast`; level success, info, warning or danger)."""
    response["HX-Trigger"] = json.dumps({"toast": {"text": str(text), "level": level}})
    return response


def redirect(request: HttpRequest, to: str, *, toast: str = "", level: str = "success") -> HttpResponse:
    """303 to `to` after a POST; the toast waits in the session and is shown by the next page."""
    if toast:
        messages.add_message(request, getattr(messages, {"danger": "ERROR"}.get(level, level.upper())), str(toast))
    response = HttpResponseRedirect(to)
    response.status_code = 303
    return response
