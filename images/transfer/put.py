"""PUT …/file and PUT …/stage: one request, one image."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from django.utils.translation import gettext as _

from dashboard.core import errors
from dashboard.identity.authentication import authenticate_scope
from dashboard.jobs.services import JobCancelled, Taken
from images.formats.inspect import inspect_head
from images.services import receiving, uploads
from images.services.lanes import Batch, Lanes
from images.services.receiving import Arrival
from images.transfer.http import Disconnected, Exchange, blocking

BATCH = 2 * 2**20  # bytes handed to the threads at once
AHEAD = 16 * 2**20  # bytes in memory before the sender is held back
WATCH = 0.5  # seconds between two looks at cancel, delete and progress


async def file(exchange: Exchange, image_id: str) -> None:
    """PUT /image/v2/images/{id}/file: 204 once the image is active."""
    await _put(exchange, image_id, staged=False)


async def stage(exchange: Exchange, image_id: str) -> None:
    """PUT /image/v2/images/{id}/stage: 204 once the bytes lie in staging, to be imported with glance-direct."""
    await _put(exchange, image_id, staged=True)


async def _put(exchange: Exchange, image_id: str, *, staged: bool) -> None:
    ctx = await authenticate_scope(exchange.scope)
    exchange.require_type("application/octet-stream")
    announced = _announced(exchange)
    size = announced if exchange.length is None else exchange.length
    if announced is not None and announced != size:
        raise errors.BadRequest(_("x-openstack-image-size and Content-Length disagree."))
    store = exchange.header("x-image-meta-store")
    arrival = await blocking(receiving.begin, ctx, image_id, size=size, staged=staged, store=store)
    try:
        await _receive(exchange, arrival)
        await blocking(receiving.finish, arrival, expected_size=size)
    except BaseException as error:
        reason = _in_words(error)
        # Shielded: a server that is shutting down must not leave the image in `saving`.
        await asyncio.shield(blocking(receiving.fail, arrival, reason, cancelled=isinstance(error, JobCancelled)))
        if isinstance(error, Disconnected | asyncio.CancelledError):
            raise
        raise reason from error
    await exchange.reply(204)


def _announced(exchange: Exchange) -> int | None:
    value = exchange.header("x-openstack-image-size")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):  # int() breaks on thousands of digits
        raise errors.BadRequest(_("x-openstack-image-size is not a number."))
    return int(value)


def _in_words(error: BaseException) -> BaseException:
    if isinstance(error, Disconnected):
        return errors.BadRequest(_("The connection broke before the end of the file."))
    if isinstance(error, asyncio.CancelledError):
        return errors.Unavailable(_("The server was stopped while the file was being sent."))
    if isinstance(error, Taken):
        return errors.Unavailable(_("The server was stopped while the file was being sent."))
    if isinstance(error, JobCancelled):
        return errors.Gone(_("The upload was cancelled."))
    return error


async def _receive(exchange: Exchange, arrival: Arrival) -> None:
    """Bring the body in, and stop at once when somebody deletes the image or cancels the work."""
    pump = Pump(arrival)
    receiving_body = asyncio.ensure_future(_body(exchange, arrival, pump))
    watching = asyncio.ensure_future(_watch(arrival, pump))
    try:
        await asyncio.wait({receiving_body, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (watching, receiving_body):
            if task.done():
                task.result()
    finally:
        for task in (receiving_body, watching):
            task.cancel()
            with contextlib.suppress(BaseException):
                await task
        await asyncio.shield(blocking(pump.stop))


async def _watch(arrival: Arrival, pump: "Pump") -> None:
    while True:
        await asyncio.sleep(WATCH)
        await blocking(receiving.look, arrival, pump.received)


async def _body(exchange: Exchange, arrival: Arrival, pump: "Pump") -> None:
    body = exchange.pieces()
    await _judge_head(body, arrival, pump)
    async for piece in body:
        await pump.put(piece)
    await pump.flush()
    await blocking(pump.close)


async def _judge_head(body: AsyncIterator[bytes], arrival: Arrival, pump: "Pump") -> None:
    """Hold the first MiB back until it was judged: what is refused never reaches the store."""
    image, head, size = arrival.image, [], 0
    wanted = uploads.head_size(image)
    async for piece in body:
        head.append(piece)
        size += len(piece)
        if size >= wanted:
            break
    first = b"".join(head)
    declared, container = image.disk_format or "raw", image.container_format or "bare"
    await blocking(inspect_head, first[:wanted], declared=declared, container=container, size=arrival.size)
    await pump.put(first)


class Pump:
    """From the event loop into the lanes: small pieces gathered into batches, and a bound on what lies in memory."""

    def __init__(self, arrival: Arrival) -> None:
        self.received = 0
        self._limit, self._size = arrival.limit, arrival.size
        self._lanes = Lanes(arrival.consumers())
        self._pieces: list[bytes] = []
        self._gathered = self._waiting = 0
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def put(self, piece: bytes) -> None:
        self.received += len(piece)
        if self.received > self._limit:
            raise self._too_much()
        self._pieces.append(piece)
        self._gathered += len(piece)
        if self._gathered >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        if not self._gathered:
            return
        # A body that comes in crumbs is joined: one call per crumb would cost more than the copy.
        pieces = self._pieces if len(self._pieces) <= 16 else [b"".join(self._pieces)]
        self._waiting += self._gathered
        self._lanes.put(pieces, self._gathered, self._done)
        self._pieces, self._gathered = [], 0
        while self._waiting > AHEAD:
            self._room.clear()
            await self._room.wait()
        if self._lanes.error is not None:
            raise self._lanes.error

    def close(self) -> None:
        """Wait (in a thread) until everything is written and hashed."""
        self._closed = True
        self._lanes.close()

    def stop(self) -> None:
        """End the threads (from a thread), whatever is still waiting."""
        if not self._closed:
            self._closed = True
            self._lanes.stop()

    def _done(self, batch: Batch) -> None:
        self._loop.call_soon_threadsafe(self._give_back, batch.size)

    def _give_back(self, size: int) -> None:
        self._waiting -= size
        self._room.set()

    def _too_much(self) -> errors.Error:
        if self._size is not None:
            return errors.BadRequest(_("More bytes came than were announced."))
        return errors.LimitExceeded(_("The file is larger than the quota or the size cap allows."))
