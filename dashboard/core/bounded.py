"""A bound on bodies that Django will read: it keeps a whole body in a temporary file before any view, or login, is asked."""

from dashboard.core.asgi import Application, Message, Receive, Scope, Send

LARGEST = 8 * 2**20  # bytes; well above any form or JSON document. Image bytes do not pass here.


async def bounded(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand the request to `app`, but not more than LARGEST bytes of it: beyond that the answer is 413."""
    announced = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"0")
    if announced.isdigit() and int(announced[:20]) > LARGEST:
        await _refuse(send)
        return
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= LARGEST else {"type": "http.disconnect"}  # the application gives up in peace

    await app(scope, counted, send)
    if seen > LARGEST:
        await _refuse(send)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"The body is too large."})
