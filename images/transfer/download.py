"""GET and HEAD …/file, and /images/{id}/download for browsers: whole or one range, never rendered by a browser."""

import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.identity.authentication import authenticate_scope
from images import policy, stores
from images.models import Image
from images.services import catalogue
from images.states import Status
from images.transfer.http import Exchange, blocking

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
SAFETY = {
    "content-type": "application/octet-stream",
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
    "accept-ranges": "bytes",
}


class RangeNotSatisfiable(errors.Error):
    status = 416
    message = _("The range begins beyond the end of the image, which has {size} bytes.")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image's bytes are, as far as the asker may have them."""

    image: Image
    store: str
    key: str
    size: int


async def file(exchange: Exchange, image_id: str) -> None:
    """200 with the bytes, 206 with a range of them, 204 while the image has none."""
    ctx = await authenticate_scope(exchange.scope)
    source = await blocking(_source, ctx, image_id)
    if source is None:
        await exchange.reply(204, SAFETY)
        return
    headers = _headers(source.image, source.size)
    span = _span(exchange, source, headers["etag"])
    start, end = span or (0, source.size)
    headers["content-length"] = str(end - start)
    if span:
        headers["content-range"] = f"bytes {start}-{end - 1}/{source.size}"
        headers.pop("content-md5", None)  # it is the whole's
    pieces = await blocking(_open, source, start, end)
    try:
        await exchange.start(206 if span else 200, headers)
        await _send(exchange, source, pieces, whole=span is None)
    finally:
        await blocking(_close, pieces)


def _source(ctx: RequestContext, image_id: str) -> Source | None:
    image = catalogue.get(ctx, image_id)
    policy.require(ctx, "download_image", image)
    if image.status == Status.DEACTIVATED and not ctx.is_admin:
        raise errors.Forbidden(_("The requested image has been deactivated. Image data download is forbidden."))
    locations = list(image.locations.all())
    if image.status not in (Status.ACTIVE, Status.DEACTIVATED) or not locations:
        return None
    blob = locations[0].blob
    return Source(image, blob.store, blob.key, blob.size)


def _open(source: Source, start: int, end: int) -> Iterator[bytes]:
    store = stores.get(source.store)
    if store.size(source.key) != source.size:
        raise errors.Unavailable(_("The stored data is damaged; an administrator must restore it."))
    return iter(store.read(source.key, offset=start, length=end - start))


async def _send(exchange: Exchange, source: Source, pieces: Iterator[bytes], *, whole: bool) -> None:
    if exchange.method == "HEAD":
        await exchange.send(b"")
        return
    path = _path_for_server(exchange, source) if whole else None
    if path is not None:
        await exchange.send_file(str(path))
        return
    # An error here breaks the connection: the client sees less than Content-Length.
    while (piece := await blocking(next, pieces, b"")) != b"":
        await exchange.send(piece, more=True)
    await exchange.send(b"")


def _path_for_server(exchange: Exchange, source: Source) -> Path | None:
    """The file, when the server offers to send it itself."""
    if "http.response.pathsend" not in (exchange.scope.get("extensions") or {}):
        return None
    return stores.get(source.store).path(source.key)


def _close(pieces: Iterator[bytes]) -> None:
    with contextlib.suppress(Exception):
        getattr(pieces, "close", lambda: None)()


# -- headers --------------------------------------------------------------------------------------------------------
def _headers(image: Image, size: int) -> dict[str, str]:
    headers = {**SAFETY, "content-length": str(size), "etag": f'"{image.os_hash_value or image.checksum}"'}
    if image.checksum:
        # Glance puts the hexadecimal digits here, and its clients compare them.
        headers["content-md5"] = image.checksum
    headers["content-disposition"] = disposition(image)
    return headers


def disposition(image: Image) -> str:
    """`attachment` with a name that is safe in a header and on a disk (RFC 6266)."""
    suffix = {"vhd": "vhd", "ami": "img", "ari": "img", "aki": "img", "raw": "raw"}.get(image.disk_format or "", image.disk_format or "img")
    name = "".join(c for c in (image.name or str(image.id)) if c.isprintable() and c not in '/\\:*?"<>|;%').strip(" .") or str(image.id)
    name = name[:150]
    if not name.lower().endswith(f".{suffix}"):
        name = f"{name}.{suffix}"
    plain = "".join(c if c.isascii() else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{urllib.parse.quote(name, safe='')}"


def _span(exchange: Exchange, source: Source, etag: str) -> tuple[int, int] | None:
    """(first, one past last) of a single satisfiable range; None for the whole. Several ranges get the whole, as RFC 9110 allows."""
    asked = exchange.header("range")
    condition = exchange.header("if-range")
    if not asked or (condition is not None and condition != etag):
        return None
    match = _RANGE.fullmatch(asked.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    size = source.size
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable(size=size)
    return start, end


def headers_of(error: errors.Error) -> dict[str, str]:
    """What a refusal adds: the size, for one who asked beyond it."""
    return {"content-range": f"bytes */{error.fields['size']}"} if isinstance(error, RangeNotSatisfiable) else {}
