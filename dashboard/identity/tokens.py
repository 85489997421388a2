"""API tokens: opaque secrets, of which only the SHA-256 is kept. Checking one costs one indexed look-up and no password hash."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from dashboard.core.context import RequestContext
from dashboard.core.errors import Unauthenticated
from dashboard.identity import services
from dashboard.identity.models import Project, Token, User

PREFIX = "vtr_"  # lets secret scanners, and us, tell a token from noise
LENGTH = len(PREFIX) + 43
PRUNE = 200  # expired rows removed at most with each issue, so that no issue is slow


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@transaction.atomic
def issue(
    user: User, project: Project | None = None, *, methods: Iterable[str] = ("password",), parent: Token | None = None
) -> tuple[str, Token]:
    """A new token and its secret, which is shown this once.

    One made from another token (`parent`) ends with it at the latest and carries on its audit chain. Refused when the password
    that was checked, or the parent, is gone by now: a password change must leave no token behind that was asked for before it.
    """
    unchanged = User.objects.select_for_update().filter(pk=user.pk, password=user.password, enabled=True).exists()
    if not unchanged or (parent and not Token.objects.filter(pk=parent.pk).exists()):
        raise Unauthenticated
    services.context_for(user, project)
    prune()
    now = timezone.now()
    audit_id, chain = secrets.token_urlsafe(16), parent.audit_ids[-1:] if parent else []
    secret = PREFIX + secrets.token_urlsafe(32)
    token = Token.objects.create(
        digest=digest(secret),
        user=user,
        project=project,
        parent=parent,
        methods=sorted({*methods, *(parent.methods if parent else ())}),
        audit_ids=[audit_id, *chain],
        issued_at=now,
        expires_at=_expiry(now, parent),
    )
    return secret, token


def _expiry(now: datetime, parent: Token | None) -> datetime:
    own = (now + timedelta(seconds=settings.TOKEN_LIFETIME)).replace(microsecond=0)  # Keystone gives whole seconds
    return min(own, parent.expires_at) if parent else own


def find(secret: str) -> Token:
    """The live token of a secret, with user, project and domains read afresh; Unauthenticated otherwise."""
    if not (secret.startswith(PREFIX) and len(secret) == LENGTH and secret.isascii()):
        raise Unauthenticated
    rows = Token.objects.select_related("user__domain", "project__domain")
    token = rows.filter(digest=digest(secret), expires_at__gt=timezone.now()).first()
    if token is None:
        raise Unauthenticated
    return token


def validate(secret: str) -> tuple[Token, RequestContext]:
    """The token and what it may claim at this moment; Unauthenticated when anything it rests on is gone."""
    token = find(secret)
    return token, services.context_for(token.user, token.project)


def revoke(token: Token) -> None:
    """End a token and all that were made from it."""
    token.delete()


def prune() -> None:
    """Remove expired tokens, a bounded number at a time."""
    old = Token.objects.filter(expires_at__lte=timezone.now()).values_list("pk", flat=True)[:PRUNE]
    if pks := list(old):
        Token.objects.filter(pk__in=pks).delete()
