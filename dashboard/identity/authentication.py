"""Who is asking: a password, a token or a session cookie turned into a User or a RequestContext."""

import threading
from importlib import import_module

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import authenticate, get_user
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from dashboard.core.asgi import Scope
from dashboard.core.context import RequestContext
from dashboard.core.errors import Forbidden, TooManyRequests, Unauthenticated
from dashboard.identity import services, slowing, tokens
from dashboard.identity.models import Token, User

PASSWORD_MAX_LENGTH = 4096  # characters; a longer one is refused before it is hashed
PROJECT_KEY = "project_id"  # of the session: the project the person acts in
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

# A hash takes 100 MiB and a core for its time. Two at once also bound how many guesses can race past the count of wrong tries.
_hashing = threading.BoundedSemaphore(2)


def _storable(text: str) -> bool:
    """Whether a database and a hash function will take the text: no NUL, no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


class PasswordBackend:
    """Django's authentication backend: name, domain and password. Costs one password hash whether the user exists or not."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", password: str = "", domain: str = services.DEFAULT_DOMAIN
    ) -> User | None:
        if len(password) > PASSWORD_MAX_LENGTH or not _storable(password):
            return None
        user = None
        if _storable(username):
            user = User.objects.select_related("domain").filter(name=username, domain_id=domain).first()
        if user is None:
            make_password(password)
            return None
        return user if user.check_password(password) and user.is_active else None

    def get_user(self, user_id: str) -> User | None:
        user = User.objects.select_related("domain").filter(pk=user_id).first()
        return user if user and user.is_active else None


def check(request: HttpRequest, name: str, password: str, domain_id: str = services.DEFAULT_DOMAIN) -> User:
    """The user of a right name and password.

    Unauthenticated for every other case, in the same words and the same time; TooManyRequests (its `seconds` say how long) when
    there were too many wrong tries.
    """
    request.sign_in_key = slowing.key(domain_id, name)  # type: ignore[attr-defined]
    with _hashing:
        user = authenticate(request, username=name, password=password, domain=domain_id)
    address = request.axes_ip_address  # type: ignore[attr-defined]
    if isinstance(user, User):
        slowing.forget(slowing.key(domain_id, name), address)
        return user
    if getattr(request, "axes_locked_out", False):
        raise TooManyRequests(seconds=max(1, slowing.seconds_to_wait(slowing.key(domain_id, name), address)))
    raise Unauthenticated


class TokenAuthentication(BaseAuthentication):
    """The APIs' authentication: X-Auth-Token and nothing else, so a browser's cookie opens no API.

    Sets `request.user`, `request.auth` (the Token) and `request.ctx`. Unscoped tokens pass; the views' rules judge them.
    """

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        secret = request.META.get("HTTP_X_AUTH_TOKEN")
        if secret is None:
            request._request.ctx = None  # type: ignore[attr-defined]
            return None
        token, ctx = tokens.validate(secret)
        request._request.ctx = ctx  # type: ignore[attr-defined]
        request.ctx = ctx  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Keystone"


# -- plain ASGI -----------------------------------------------------------------------------------------------------
def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in scope["headers"] if header.lower() == name]


def origin_allowed(scope: Scope) -> bool:
    """Whether the request comes from a page of this host: one Origin header, equal to scheme://Host, and Host is allowed.

    The Host is compared as sent, so a page on another port or scheme is another origin, as in browsers.
    """
    origins, hosts = _headers(scope, b"origin"), _headers(scope, b"host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    domain, _port = split_domain_port(hosts[0].lower())
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    return origins[0] == own_origin(scope)


def own_origin(scope: Scope) -> str:
    """scheme://host as the client addressed us."""
    return f"{_scheme(scope)}://{''.join(_headers(scope, b'host')[:1]).lower()}"


def _scheme(scope: Scope) -> str:
    secure = scope.get("scheme") in {"https", "wss"}
    if settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        secure = _headers(scope, name.removeprefix("HTTP_").replace("_", "-").lower().encode()) == [value]
    return "https" if secure else "http"


async def authenticate_scope(scope: Scope) -> RequestContext:
    """The asker of a plain ASGI request or websocket, by X-Auth-Token or session cookie, read afresh from the database.

    With a cookie, a websocket and every method that changes something must come from our own pages (Forbidden otherwise).
    Call it again with the same scope to learn whether the login still stands.
    """
    if secrets := _headers(scope, b"x-auth-token"):
        if len(secrets) != 1:
            raise Unauthenticated
        ctx: RequestContext = await database_sync_to_async(_by_token, thread_sensitive=False)(secrets[0])
        return ctx
    cookies = parse_cookie("; ".join(_headers(scope, b"cookie")))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        raise Unauthenticated
    if (scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS) and not origin_allowed(scope):
        raise Forbidden
    safe = scope["type"] == "websocket" or scope["method"] in SAFE_METHODS
    ctx = await database_sync_to_async(_by_session, thread_sensitive=False)(session_key, safe)
    return ctx


def _by_token(secret: str) -> RequestContext:
    return tokens.validate(secret)[1]


def _by_session(session_key: str, safe: bool) -> RequestContext:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    if not isinstance(user, User):
        raise Unauthenticated
    wanted = request.session.get(PROJECT_KEY)
    ctx = services.context_in(user, wanted)
    if ctx is None:
        raise Unauthenticated
    if wanted and ctx.project_id != wanted and not safe:
        raise Forbidden  # the person has just lost that project; doing it in another one would surprise
    return ctx
