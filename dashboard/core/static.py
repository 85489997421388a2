"""Static files for plain ASGI: WhiteNoise's table of files, answered without Django's middleware.

WhiteNoise's own middleware is a WSGI citizen: under ASGI each answer is drained by a synchronous iterator. Its file table
(names, headers, compressed variants) is used as it is; only the sending is ours.
"""

import asyncio

from django.http import HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

from dashboard.core.asgi import Scope, Send

CHUNK = 256 * 1024


class StaticFiles:
    """Answers requests for files below STATIC_URL."""

    def __init__(self) -> None:
        self.table = WhiteNoiseMiddleware(lambda request: HttpResponse())

    async def __call__(self, scope: Scope, send: Send) -> bool:
        """Answer `scope` and return True, or return False when it asks for something else."""
        found = self.table.files.get(scope["path"])
        if found is None:
            return False
        headers = {"HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1") for name, value in scope["headers"]}
        response = await asyncio.to_thread(found.get_response, scope["method"], headers)
        start = [(name.lower().encode("latin-1"), str(value).encode("latin-1")) for name, value in response.headers]
        start.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": int(response.status), "headers": start})
        if response.file is not None:
            with response.file:
                while chunk := await asyncio.to_thread(response.file.read, CHUNK):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return True
