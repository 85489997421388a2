"""The websocket of a browser tab: numbers and hints go out, nothing comes in."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from dashboard.core.context import RequestContext
from dashboard.core.errors import Error
from dashboard.identity.authentication import authenticate_scope, origin_allowed

log = logging.getLogger(__name__)

LOGIN_ENDED = 4401
PROJECT_CHANGED = 4000
TOO_BIG = 1009
CHECK_EVERY = 5.0  # seconds between two looks whether the login still stands
FRESH = 1.0  # seconds for which such a look is good when something is to be delivered
_TELLING = {b"cookie", b"x-auth-token", b"origin", b"host", b"x-forwarded-proto"}  # headers that decide who asks
LARGEST = 4096  # bytes of an incoming frame; none is expected


def groups_of(ctx: RequestContext) -> set[str]:
    """The groups whose messages the asker may hear."""
    groups = {f"user.{ctx.user_id}", "everyone"}
    if ctx.project_id:
        groups.add(f"project.{ctx.project_id}")
    if ctx.is_admin:
        groups.add("admins")
    return groups


class Looks:
    """Whether logins still stand, looked up once for all the tabs of a login that ask at the same time.

    An answer is good for FRESH seconds; while messages flow it is renewed in the background after half of that, so that
    they need not wait for the database.
    """

    def __init__(self) -> None:
        self._known: dict[object, tuple[float, asyncio.Future[RequestContext | None]]] = {}
        self._next: dict[object, asyncio.Future[None]] = {}

    async def look(self, scope: Any) -> RequestContext | None:
        """Who asks; None when the login has ended."""
        now = time.monotonic()
        key = (asyncio.get_running_loop(), *(pair for pair in scope["headers"] if pair[0] in _TELLING))
        self._known = {known: value for known, value in self._known.items() if now - value[0] < FRESH}
        if key not in self._known:
            self._known[key] = now, asyncio.ensure_future(self._ask(scope))
        when, answer = self._known[key]
        if now - when > FRESH / 2 and key not in self._next:
            self._next[key] = asyncio.ensure_future(self._renew(key, scope))
        return await asyncio.shield(answer)

    async def _renew(self, key: object, scope: Any) -> None:
        now = time.monotonic()
        try:
            answer: asyncio.Future[RequestContext | None] = asyncio.get_running_loop().create_future()
            answer.set_result(await self._ask(scope))
            self._known[key] = now, answer
        except Exception:  # then the next message asks by itself
            log.debug("A login was not looked up.", exc_info=True)
        finally:
            del self._next[key]

    async def _ask(self, scope: Any) -> RequestContext | None:
        try:
            return await authenticate_scope(scope)
        except Error:
            return None


looks = Looks()


class Live(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """One socket per tab. Joins the groups of the login it was opened with, and ends with that login."""

    ctx: RequestContext | None = None

    async def connect(self) -> None:
        if not origin_allowed(self.scope):
            await self.close()  # before accept: the handshake is answered with 403
            return
        self.ctx = await looks.look(self.scope)
        if self.ctx is None:
            await self.accept()  # a refused handshake has no code that a page could read
            await self.close(code=LOGIN_ENDED)
            return
        self.seen: deque[str] = deque(maxlen=64)
        self.groups_joined = groups_of(self.ctx)
        for group in self.groups_joined:  # before accept: what happens after the handshake is heard
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept()
        self.watch = asyncio.create_task(self._watch())

    async def disconnect(self, code: int) -> None:
        if watch := getattr(self, "watch", None):
            watch.cancel()
        for group in getattr(self, "groups_joined", ()):
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        if max(len(text_data or ""), len(bytes_data or b"")) > LARGEST:
            await self.close(code=TOO_BIG)

    async def push(self, event: dict[str, Any]) -> None:
        """A message from `dashboard.jobs.live`."""
        if event["number"] in self.seen:  # it came through another of our groups already
            return
        self.seen.append(event["number"])
        if await self._stands():
            await self.send_json(event["message"])

    async def _watch(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while await self._stands():  # noqa: ASYNC110 (nothing signals that a role was taken away)
                await asyncio.sleep(CHECK_EVERY)

    async def _stands(self) -> bool:
        """Whether the login is still what it was; closes the socket when not."""
        now = await looks.look(self.scope)
        if now is not None and self.ctx is not None and groups_of(now) == groups_of(self.ctx):
            return True
        await self.close(code=LOGIN_ENDED if now is None else PROJECT_CHANGED)
        return False
