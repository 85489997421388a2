"""Slows down password guessing: after five wrong tries for one name from one address, each further one must wait, longer each time.

A handler for django-axes, which asks it before a password is looked at and tells it the outcome. Tries made while waiting
are refused without being counted, so that the seconds named to the user are true. Nothing of the request but name and address is kept.
"""

import contextlib
import hashlib
import ipaddress
import math
from datetime import datetime, timedelta
from typing import Any

from axes.handlers.base import AxesHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

FIRST_WAIT = 30  # seconds; doubled by each further wrong try
LONGEST_WAIT = 15 * 60
REMEMBERED = timedelta(hours=1)  # after the last wrong try


def key(domain_id: str, name: str) -> str:
    """What tries are counted under: user name and domain, in at most 255 characters."""
    text = f"{domain_id}/{name}"
    return text if len(text) <= 255 and text.isprintable() else hashlib.sha256(text.encode(errors="replace")).hexdigest()


def seconds_to_wait(username: str, address: str | None) -> int:
    """How long this name must wait at this address before the next try; 0 when it need not."""
    attempt = AccessAttempt.objects.filter(username=username, ip_address=address, user_agent="").first()
    excess = attempt.failures_since_start - settings.AXES_FAILURE_LIMIT if attempt else -1
    if excess < 0:
        return 0
    doublings = min(int(excess), 10)
    until: datetime = attempt.attempt_time + timedelta(seconds=min(FIRST_WAIT * 2**doublings, LONGEST_WAIT))
    return max(0, math.ceil((until - timezone.now()).total_seconds()))


def forget(username: str, address: str | None) -> None:
    """A right password clears the count."""
    AccessAttempt.objects.filter(username=username, ip_address=address).delete()


def username_of(request: HttpRequest, credentials: Any) -> str:
    """AXES_USERNAME_CALLABLE: the key under which `authentication.check` counts."""
    return str(getattr(request, "sign_in_key", ""))


def address_of(request: HttpRequest) -> str | None:
    """AXES_CLIENT_IP_CALLABLE: where a try comes from; behind a proxy (VITRINE_BEHIND_TLS), what that proxy wrote last."""
    address: str | None = request.META.get("REMOTE_ADDR") or None
    if settings.BEHIND_TLS and (forwarded := request.headers.get("X-Forwarded-For")):
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(forwarded.rsplit(",", 1)[-1].strip()))
    return address


class Handler(AxesHandler):  # type: ignore[misc]
    """AXES_HANDLER: counts wrong tries in axes' table, one row for a name and an address."""

    def is_locked(self, request: Any, credentials: Any = None) -> bool:
        return seconds_to_wait(username_of(request, credentials), request.axes_ip_address) > 0

    def user_login_failed(self, sender: Any, credentials: Any, request: Any = None, **kwargs: Any) -> None:
        if request is None or request.axes_locked_out:
            return
        now = timezone.now()
        AccessAttempt.objects.filter(attempt_time__lt=now - REMEMBERED).delete()
        with transaction.atomic():
            row, _made = AccessAttempt.objects.get_or_create(
                username=username_of(request, credentials),
                ip_address=request.axes_ip_address,
                user_agent="",
                defaults={"failures_since_start": 0},
            )
            AccessAttempt.objects.filter(pk=row.pk).update(failures_since_start=F("failures_since_start") + 1, attempt_time=now)

    def post_save_access_attempt(self, instance: Any, **kwargs: Any) -> None:
        """Axes tells of its own rows; nothing to do."""

    def post_delete_access_attempt(self, instance: Any, **kwargs: Any) -> None:
        """Likewise."""
