"""Messages to the browsers: numbers and hints, sent from any thread of any process.

Groups: `project.<id>`, `user.<id>`, `everyone`, `admins`. Each message carries its own number, so that a socket in two of the
groups shows it once.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)
_server: dict[str, asyncio.AbstractEventLoop] = {}
_tasks: set[asyncio.Task[None]] = set()


def attach(loop: asyncio.AbstractEventLoop) -> None:
    """Remember the server's loop. The in-memory layer silently loses what another thread puts into it, so sends are handed over."""
    _server["loop"] = loop


def publish(groups: Iterable[str], message: dict[str, Any], *, number: str = "") -> None:
    """Send `message` to every socket of the groups; returns at once. What cannot be sent is lost: the database is the truth."""
    event = {"type": "push", "message": message, "number": number or uuid.uuid4().hex}
    try:
        _hand_over(list(dict.fromkeys(groups)), event)
    except Exception:  # a broken channel layer, or an interpreter that is ending, must never break the work itself
        log.warning("A message was not delivered.", exc_info=True)


def _hand_over(names: list[str], event: dict[str, Any]) -> None:
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    server = _server.get("loop")
    if here is not None and server in (None, here):
        task = here.create_task(_send(names, event))
        _tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(_tasks.discard)
    elif server is None:
        async_to_sync(_send)(names, event)
    elif server.is_running():
        asyncio.run_coroutine_threadsafe(_send(names, event), server)
    # else: the server has stopped, and nobody listens


def changed(subject: str, groups: Iterable[str]) -> None:
    """Tell the pages to fetch `subject` ("image.<id>", "jobs") again, once the present transaction is committed."""
    names = list(groups)
    message = {"type": "changed", "subject": subject}
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(lambda: publish(names, message), robust=True)
    else:
        publish(names, message)


async def _send(groups: list[str], event: dict[str, Any]) -> None:
    layer = get_channel_layer()
    for group in groups:
        try:
            await layer.group_send(group, event)
        except Exception:
            log.warning("A message to %s was not delivered.", group, exc_info=True)
