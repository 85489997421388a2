"""The one ASGI application: static files, image bytes, websockets, and Django for everything else.

Django reads a whole body into a temporary file before any view runs; so bytes are answered before Django sees the request.
"""

import asyncio
import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

from django.core.asgi import get_asgi_application

django = get_asgi_application()

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from dashboard.celery import EmbeddedWorker, embedded
from dashboard.core import processes
from dashboard.core.bounded import bounded
from dashboard.core.static import StaticFiles
from dashboard.core.websockets import Closable
from dashboard.jobs import live
from dashboard.jobs.consumers import Live
from images import transfer

log = logging.getLogger(__name__)
static = StaticFiles()
router = ProtocolTypeRouter({"http": django, "websocket": Closable(AuthMiddlewareStack(URLRouter([path("ws/", Live.as_asgi())])))})


async def application(scope: Any, receive: Any, send: Any) -> None:
    """ASGI entry point."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http" and scope["path"] == "/healthz":
        await healthz(send)
    elif scope["type"] == "http" and transfer.handles(scope):
        await transfer.application(scope, receive, send)
    elif scope["type"] == "http" and await static(scope, send):
        return
    elif scope["type"] == "http":
        await bounded(router, scope, receive, send)
    else:
        await router(scope, receive, send)


async def healthz(send: Any) -> None:
    """Alive: the event loop answers. Asks nothing and nobody, so that a busy database or disk never gets the process restarted."""
    body = b'{"status": "ok"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Any, send: Any) -> None:
    """Start the embedded worker with the server and stop it with it; job threads publish through this loop."""
    worker = EmbeddedWorker() if embedded() else None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            processes.die_with_parent()
            live.attach(asyncio.get_running_loop())
            try:
                if worker:
                    await asyncio.to_thread(worker.start)
            except Exception as error:
                log.exception("The worker did not start.")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            if address := os.environ.get("VITRINE_ANNOUNCE"):
                print(f"Vitrine is ready at {address}", flush=True)  # the sockets are bound by now: a client waits, and is served
        elif message["type"] == "lifespan.shutdown":
            if worker:
                await asyncio.to_thread(worker.stop)
            await send({"type": "lifespan.shutdown.complete"})
            return
