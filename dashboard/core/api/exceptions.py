"""Domain errors as JSON faults, in the envelope OpenStack clients read."""

from typing import Any

from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from dashboard.core import errors


def fault(status: int, message: str, title: str) -> dict[str, Any]:
    """`{"error": {"code", "title", "message"}}`: Keystone's envelope, which glanceclient and openstacksdk read as well."""
    return {"error": {"code": status, "title": title, "message": message}}


def handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every Error of the tree, and DRF's own, as a fault; anything else is a crash (None)."""
    headers: dict[str, str] = {}
    if isinstance(exc, Http404):
        exc = errors.NotFound()
    if isinstance(exc, exceptions.APIException):
        status, message, title = exc.status_code, str(exc.detail), str(exc.default_detail)
        if isinstance(exc, exceptions.MethodNotAllowed):
            headers["Allow"] = ", ".join(getattr(context.get("view"), "allowed_methods", []))
    elif isinstance(exc, errors.Error):
        status, message, title = exc.status, str(exc), exc.title
    else:
        return None
    if status == 401:
        headers["WWW-Authenticate"] = f'Keystone uri="{context["request"].build_absolute_uri("/identity/v3")}"'
    return Response(fault(status, message, title), status=status, headers=headers)
