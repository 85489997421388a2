"""tus 1.0 at /uploads/: resumable uploads into staging. The offset is the size of the staging file, durable before it is told."""

import email.utils
from collections.abc import Awaitable, Callable

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from dashboard.core import errors
from dashboard.identity.authentication import authenticate_scope
from images.models import Upload
from images.services import catalogue, checksums, uploads
from images.transfer.append import append
from images.transfer.http import Exchange, blocking
from images.uploads import locks, staging, tus

HEADERS = {"tus-resumable": tus.VERSION, "cache-control": "no-store", "x-content-type-options": "nosniff"}
Handler = Callable[[Exchange, str], Awaitable[None]]


class WrongVersion(errors.Error):
    status = 412
    message = _("Only version 1.0.0 of the tus protocol is spoken here.")


def headers_of(error: errors.Error) -> dict[str, str]:
    """What every answer carries, and what this refusal adds."""
    return {**HEADERS, "tus-version": tus.VERSION} if isinstance(error, WrongVersion) else HEADERS


def method_of(exchange: Exchange) -> str:
    """The method meant: X-HTTP-Method-Override lets clients behind narrow proxies say PATCH, HEAD or DELETE in a POST."""
    override = exchange.header("x-http-method-override")
    return override.upper() if override and exchange.method == "POST" else exchange.method


def _require_version(exchange: Exchange) -> None:
    if exchange.header("tus-resumable") != tus.VERSION:
        raise WrongVersion


async def options(exchange: Exchange, _id: str) -> None:
    """What we speak."""
    await exchange.reply(
        204,
        {
            **HEADERS,
            "tus-version": tus.VERSION,
            "tus-extension": tus.EXTENSIONS,
            "tus-max-size": str(settings.IMAGE_SIZE_CAP),
            "tus-checksum-algorithm": ",".join(tus.ALGORITHMS),
        },
    )


async def create(exchange: Exchange, _id: str) -> None:
    """POST: a new upload into an image, perhaps with its first bytes."""
    _require_version(exchange)
    ctx = await authenticate_scope(exchange.scope)
    if exchange.header("upload-defer-length") is not None:
        raise errors.BadRequest(_("Upload-Length is required; it cannot be deferred."))
    length = tus.number(exchange.header("upload-length"), "Upload-Length")
    if exchange.has_body:
        exchange.require_type(tus.CHUNK_TYPE)
        if (exchange.length or 0) > length:
            raise errors.TooLarge(_("The body is longer than Upload-Length."))
    tus.checksum(exchange.header("upload-checksum"))
    raw = exchange.header("upload-metadata") or ""
    given = tus.metadata(raw)
    expected = checksums.parse(given.get("checksum", ""), given.get("filename", ""))
    if not given.get("image_id"):
        raise errors.BadRequest(_("Upload-Metadata must name the image: image_id."))

    def make() -> tuple[Upload, str]:
        image = catalogue.get(ctx, given["image_id"])
        target = given.get("target_format") or None
        return uploads.create(
            ctx, image, length=length, filename=given.get("filename", ""), metadata=raw, target_format=target, expected=expected
        )

    upload, grant = await blocking(make)
    offset = 0
    if exchange.has_body:
        offset = await _first_bytes(exchange, upload)
    elif not length:
        await blocking(uploads.complete, upload)
    location = f"/uploads/{upload.pk}"
    await exchange.reply(201, {**HEADERS, "location": location, "upload-offset": str(offset), "upload-grant": grant, **_expires(upload)})


async def _first_bytes(exchange: Exchange, upload: Upload) -> int:
    """The body of a creation. Its sender does not know the upload's URL yet, so what breaks here leaves none behind."""
    try:
        return await append(exchange, upload, 0)
    except BaseException as error:
        reason = (
            str(error) if isinstance(error, errors.Error) else str(_("The connection broke before the upload was known to its sender."))
        )
        await blocking(uploads.fail, upload, reason)
        raise


async def _find(exchange: Exchange, upload_id: str) -> Upload:
    """The upload of the path, for its creator or the holder of its grant, whose login may have ended meanwhile."""
    grant = exchange.header("upload-grant")
    if grant:
        try:
            return await blocking(uploads.find, upload_id, grant=grant)
        except errors.NotFound:
            if exchange.header("x-auth-token") is None and exchange.header("cookie") is None:
                raise
    ctx = await authenticate_scope(exchange.scope)
    return await blocking(uploads.find, upload_id, ctx)


async def head(exchange: Exchange, upload_id: str) -> None:
    """HEAD: where to go on."""
    _require_version(exchange)
    upload = await _find(exchange, upload_id)
    async with locks.holding(upload.pk, _nothing):
        offset = upload.length if upload.complete else await blocking(staging.settled, upload.pk)
    headers = {"upload-offset": str(offset), "upload-length": str(upload.length), **_expires(upload)}
    if upload.metadata:
        headers["upload-metadata"] = upload.metadata
    await exchange.reply(200, {**HEADERS, **headers})


async def patch(exchange: Exchange, upload_id: str) -> None:
    """PATCH: more bytes, from the offset."""
    _require_version(exchange)
    exchange.require_type(tus.CHUNK_TYPE)
    offset = tus.number(exchange.header("upload-offset"), "Upload-Offset")
    tus.checksum(exchange.header("upload-checksum"))
    upload = await _find(exchange, upload_id)
    reached = await append(exchange, upload, offset)
    await exchange.reply(204, {**HEADERS, "upload-offset": str(reached), **_expires(upload)})


async def delete(exchange: Exchange, upload_id: str) -> None:
    """DELETE: give the upload up, even while its bytes are coming."""
    _require_version(exchange)
    upload = await _find(exchange, upload_id)
    async with locks.holding(upload.pk, _nothing, idle=0):
        await blocking(uploads.terminate, upload)
    await exchange.reply(204, HEADERS)


def _nothing() -> None:
    """Held for a moment only."""


def _expires(upload: Upload) -> dict[str, str]:
    return {} if upload.complete else {"upload-expires": email.utils.format_datetime(upload.expires_at, usegmt=True)}


COLLECTION: dict[str, Handler] = {"OPTIONS": options, "POST": create}
UPLOAD: dict[str, Handler] = {"OPTIONS": options, "HEAD": head, "PATCH": patch, "DELETE": delete}
