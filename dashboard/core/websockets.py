"""Closing a websocket from our side."""

import asyncio

from dashboard.core.asgi import Application, Message, Receive, Scope, Send


class Closable:
    """Lets a websocket application close its socket while it waits for the next message, as Channels always does.

    Granian (2.8) holds a close back until no receive is pending, so the browser would never hear that its login ended.
    Here the pending receive ends first, the close goes out, and the application then hears the disconnect.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        waiting: asyncio.Future[Message] | None = None
        code: int | None = None
        sent = asyncio.Event()

        async def receive_or_closed() -> Message:
            nonlocal waiting
            if code is None:
                waiting = asyncio.ensure_future(receive())
                try:
                    return await waiting
                except asyncio.CancelledError:
                    if code is None:  # the application was cancelled, not the socket closed
                        raise
            await sent.wait()
            return {"type": "websocket.disconnect", "code": code}

        async def send_or_close(message: Message) -> None:
            nonlocal code
            if message["type"] != "websocket.close":
                await send(message)
                return
            code = message.get("code", 1000)
            if waiting is not None and not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting])
            try:
                await send(message)
            finally:
                sent.set()

        await self.app(scope, receive_or_closed, send_or_close)
