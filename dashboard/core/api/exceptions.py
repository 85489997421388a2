"""Domain errors as JSON faults, in the envelope OpenStack clients read."""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from dashboard.core import errors

log = logging.getLogger(__name__)


def fault(status: int, message: str, title: str) -> dict[str, Any]:
    """`{"error": {"code", "title", "message"}}`: Keystone's envelope, which glanceclient and openstacksdk read as well."""
    return {"error": {"code": status, "title": title, "message": message}}


def not_found() -> errors.NotFound:
    """The error of a path that leads nowhere."""
    return errors.NotFound(_("The resource could not be found."))


def handler(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: every Error of the tree, and DRF's and Django's own, as a fault; anything else is a crash, logged here."""
    headers: dict[str, str] = {}
    error = _translated(exc)
    if isinstance(error, exceptions.APIException):
        status, message = error.status_code, str(error.detail)
        if isinstance(error, exceptions.MethodNotAllowed):
            headers["Allow"] = ", ".join(getattr(context.get("view"), "allowed_methods", []))
    elif isinstance(error, errors.Error):
        status, message = error.status, str(error)
        if isinstance(error, errors.TooManyRequests) and "seconds" in error.fields:
            headers["Retry-After"] = str(int(error.fields["seconds"]))
    else:
        return _crashed(exc, context)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = f'Keystone uri="{context["request"].build_absolute_uri("/identity/v3")}"'
    return Response(fault(status, message, HTTPStatus(status).phrase), status=status, headers=headers)


def _crashed(exc: Exception, context: dict[str, Any]) -> Response:
    """A fault of our own: the client gets the envelope it can read and nothing of the inside; the log gets it all."""
    log.error("%s crashed.", type(context.get("view")).__name__, exc_info=exc)
    return Response(fault(500, str(_("Something went wrong on our side.")), "Internal Server Error"), status=500)


def _translated(exc: Exception) -> Exception:
    if isinstance(exc, Http404):
        return not_found()
    if isinstance(exc, PermissionDenied):
        return errors.Forbidden()
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return errors.Unauthenticated()
    if isinstance(exc, RequestDataTooBig):
        return errors.LimitExceeded(_("The body is too large."))
    if isinstance(exc, OperationalError):  # full, locked, or gone: worth another try, unlike a crash
        log.error("The database failed.", exc_info=exc)
        return errors.Unavailable()
    return exc
