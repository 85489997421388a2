"""One HTTP exchange as plain ASGI: headers, body in pieces, answers, and the thread pool for what blocks."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections
from django.utils.translation import gettext_lazy as _

from dashboard.core import errors
from dashboard.core.api.exceptions import fault
from dashboard.core.asgi import Message, Receive, Scope, Send
from dashboard.identity.authentication import own_origin

P = ParamSpec("P")
T = TypeVar("T")

LINGER = 2.0  # seconds a refused body is read on and thrown away, so that the client sees the refusal and not a reset
MIN_RATE = 1024  # bytes a second over VITRINE_STALL_TIMEOUT; slower senders are cut off

log = logging.getLogger(__name__)
# Of our own: a hundred slow disks must not hold up the threads that authenticate requests.
_pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="bytes")


class Disconnected(Exception):
    """The client is gone; nobody reads an answer."""


class Interrupted(Exception):
    """Another request wants to go on in our place."""


class Stalled(errors.Error):
    status = 408
    message = _("Too few bytes came for too long; the connection was closed.")


async def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what blocks (files, database) in a thread; its database connection is closed or given back afterwards."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_pool, call)


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.answered = False
        self.read = False  # the body was read to its end
        self._begun = False
        self._interrupted = False
        self._timeout: asyncio.Timeout | None = None
        self._headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def header(self, name: str) -> str | None:
        """The header's value; BadRequest when it was sent twice."""
        values = self._headers.get(name.lower(), [])
        if len(values) > 1:
            raise errors.BadRequest(_("The header {name} was sent more than once."), name=name)
        return values[0].strip() if values else None

    @property
    def length(self) -> int | None:
        """Content-Length; None for a chunked body."""
        value = self.header("content-length")
        if value is None or "transfer-encoding" in self._headers:
            return None
        if not (value.isascii() and value.isdigit()):
            raise errors.BadRequest(_("Content-Length is not a number."))
        return int(value)

    @property
    def has_body(self) -> bool:
        return "transfer-encoding" in self._headers or bool(self.length)

    def require_type(self, *allowed: str) -> None:
        """Raise UnsupportedFormat unless Content-Type is one of these."""
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind not in allowed:
            raise errors.UnsupportedFormat(_("Content-Type must be {allowed}."), allowed=", ".join(allowed))

    # -- body -------------------------------------------------------------------------------------------------------
    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as the socket gives it. Not asking for the next piece holds the sender back.

        Raises Disconnected when the client goes away before the end, Stalled when it sends too little for too long.
        """
        loop, patience = asyncio.get_running_loop(), settings.STALL_TIMEOUT
        waited, got = 0.0, 0
        more = not self.read
        while more:
            began = loop.time()
            message = await self._next(max(0.01, patience - waited))
            self._begun = True
            if message["type"] == "http.disconnect":
                raise Disconnected
            body, more = message.get("body", b""), message.get("more_body", False)
            waited, got = waited + loop.time() - began, got + len(body)
            if got >= MIN_RATE * patience:
                waited, got = 0.0, 0
            if not more:
                self.read = True
            if body:
                yield body

    async def _next(self, patience: float) -> Message:
        if self._interrupted:
            raise Interrupted
        try:
            async with asyncio.timeout(patience) as self._timeout:
                return await self._receive()
        except TimeoutError:
            raise (Interrupted if self._interrupted else Stalled) from None
        finally:
            self._timeout = None

    def interrupt(self) -> None:
        """End `pieces` with Interrupted, at once when it is waiting for the next one."""
        self._interrupted = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    # -- answers ----------------------------------------------------------------------------------------------------
    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers; a body follows."""
        self.answered = True
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        if self.has_body and not self.read and self.scope.get("http_version", "1.1").startswith("1"):
            fields.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    async def send(self, body: bytes, *, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def send_file(self, path: str) -> None:
        """Have the server send a whole file (extension http.response.pathsend)."""
        await self._send({"type": "http.response.pathsend", "path": path})

    async def reply(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        fields = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
        if status != 204:
            fields.setdefault("content-length", str(len(body)))
        await self.start(status, fields)
        await self.send(b"" if self.method == "HEAD" else body)
        await self._linger()

    async def refuse(self, error: errors.Error, headers: Mapping[str, str] | None = None) -> None:
        """Answer an error as a JSON fault."""
        extra = dict(headers or {})
        if error.status == 401:
            extra["www-authenticate"] = f'Keystone uri="{self.origin}/identity/v3"'
        body = json.dumps(fault(error.status, str(error), error.title)).encode()
        await self.reply(error.status, {"content-type": "application/json", **extra}, body)

    @property
    def origin(self) -> str:
        """scheme://host as the client addressed us, for links."""
        return str(settings.PUBLIC_URL or own_origin(self.scope)).rstrip("/")

    async def _linger(self) -> None:
        if not self.has_body or self.read or ("expect" in self._headers and not self._begun):
            return
        try:
            async with asyncio.timeout(LINGER):
                async for _piece in self.pieces():
                    pass
        except (TimeoutError, Disconnected, Stalled):
            return
