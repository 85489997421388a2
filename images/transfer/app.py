"""Which request goes where, and what becomes of an exception."""

import logging
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from django.db import DatabaseError
from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.core import errors
from dashboard.core.asgi import Receive, Scope, Send
from images.transfer import download, put, tus
from images.transfer.http import Disconnected, Exchange

log = logging.getLogger(__name__)
_ID = r"(?P<id>[^/]+)"
Handler = Callable[[Exchange, str], Awaitable[None]]
_ROUTES: list[tuple[re.Pattern[str], dict[str, Handler]]] = [
    (re.compile(rf"/image/v2/images/{_ID}/file"), {"PUT": put.file, "GET": download.file, "HEAD": download.file}),
    (re.compile(rf"/image/v2/images/{_ID}/stage"), {"PUT": put.stage}),
    (re.compile(rf"/images/{_ID}/download"), {"GET": download.file, "HEAD": download.file}),
    (re.compile(r"/uploads/?(?P<id>)"), tus.COLLECTION),
    (re.compile(rf"/uploads/{_ID}"), tus.UPLOAD),
]
_PAGE_OF_DOWNLOAD = re.compile(rf"(?P<image>/images/{_ID}/)download")


def handles(scope: Scope) -> bool:
    """Whether this HTTP request is about bytes; everything else is Django's."""
    return any(pattern.fullmatch(scope["path"]) for pattern, _methods in _ROUTES)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI entry point, for the requests that `handles` claims."""
    exchange = Exchange(scope, receive, send)
    try:
        await _dispatch(exchange)
    except Disconnected:
        # Mostly nobody reads this; but who only ended its sending half, or sent broken chunks, still listens.
        if not exchange.answered:
            await _refuse(exchange, errors.BadRequest(_("The connection broke before the end of the file.")))
    except errors.Error as error:
        await _refuse(exchange, error)
    except DatabaseError:
        log.exception("%s %s: the database failed.", exchange.method, exchange.path)
        await _refuse(exchange, errors.Unavailable())
    except Exception:
        log.exception("%s %s crashed.", exchange.method, exchange.path)
        await _refuse(exchange, errors.Error(_("Something went wrong on our side.")))


async def _refuse(exchange: Exchange, error: errors.Error) -> None:
    if exchange.answered:
        # Half an answer is out: only a broken connection tells the client that the rest is missing.
        raise error
    if isinstance(error, errors.Unauthenticated) and (page := _PAGE_OF_DOWNLOAD.fullmatch(exchange.path)):
        # A link followed in a browser, not a client's call: sign in first, then see the image.
        login = f"{reverse('identity:login')}?{urlencode({'next': page['image']})}"
        await exchange.reply(303, {"location": login, "cache-control": "no-store"})
        return
    headers = tus.headers_of(error) if exchange.path.startswith("/uploads") else download.headers_of(error)
    try:
        await exchange.refuse(error, headers)
    except Disconnected:
        return


async def _dispatch(exchange: Exchange) -> None:
    for pattern, methods in _ROUTES:
        if match := pattern.fullmatch(exchange.path):
            method = tus.method_of(exchange) if methods in (tus.COLLECTION, tus.UPLOAD) else exchange.method
            handler = methods.get(method)
            if handler is None:
                await exchange.reply(405, {"allow": ", ".join(methods)})
                return
            await handler(exchange, match["id"])
            return
