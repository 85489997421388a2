"""One writer per upload, and how to ask it to let go.

A sender that lost its network comes back while its old connection still seems open. So who wants the upload waits a little: a
holder that has had no byte for a while is asked to let go, and its bytes are kept; a busy one keeps it, and the other is told
423. Between processes the lock is flock on the staging file (images.uploads.staging.Appender), and there nobody is asked.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from dashboard.core import errors

PATIENCE = 3.0  # seconds to wait for the holder
IDLE = 1.0  # seconds without a byte after which a holder is asked to let go

_held: dict[UUID, "Hold"] = {}


class Locked(errors.Error):
    status = 423
    message = _("Another request is sending to this upload.")


class Hold:
    """Says that its upload has a writer."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        self.let_go = let_go
        self.released = asyncio.Event()
        self.touched = time.monotonic()

    def touch(self) -> None:
        """A byte has come."""
        self.touched = time.monotonic()


@contextlib.asynccontextmanager
async def holding(upload_id: UUID, let_go: Callable[[], None], *, idle: float = IDLE, patience: float = PATIENCE) -> AsyncIterator[Hold]:
    """Be the only one in this process at this upload; raises Locked when another goes on sending.

    `let_go` is called (on the loop) when somebody else wants it. `idle=0` asks even a busy holder.
    """
    deadline = time.monotonic() + patience
    while (holder := _held.get(upload_id)) is not None:
        now = time.monotonic()
        if now > deadline:
            raise Locked
        if now - holder.touched >= idle:
            holder.let_go()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await holder.released.wait()
    hold = _held[upload_id] = Hold(let_go)
    try:
        yield hold
    finally:
        del _held[upload_id]
        hold.released.set()
