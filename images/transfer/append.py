"""The bytes of one tus request, appended to staging."""

import asyncio
from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from dashboard.core import errors
from dashboard.jobs import services as jobs
from images.models import Upload
from images.services import uploads
from images.transfer.http import Disconnected, Exchange, Interrupted, Stalled, blocking
from images.uploads import locks, staging, tus

BATCH = 4 * 2**20  # bytes written at once; twice that is in memory at most
PACE = 0.25  # seconds after which even less is written, so that a slow sender is seen to move


class ChecksumMismatch(errors.Error):
    status = 460
    message = _("The checksum of the chunk does not match; send it again.")
    title = "Checksum Mismatch"  # 460 is tus's own and has no phrase in HTTP


async def append(exchange: Exchange, upload: Upload, offset: int) -> int:
    """Take the body in at `offset`; returns the offset reached, durable. What came before a cut is kept.

    Conflict when `offset` is not where the file ends, TooLarge for more than the upload's length, Locked when another sends.
    """
    async with locks.holding(upload.pk, exchange.interrupt) as hold:
        if not await blocking(uploads.refresh, upload):
            raise uploads.unknown()
        if upload.complete:
            return _at_the_end(exchange, upload, offset)
        file = await blocking(staging.Appender, upload.pk)
        try:
            if offset != file.size:
                raise errors.Conflict(_("The upload is at {offset}, not at {asked}."), offset=file.size, asked=offset)
            if (exchange.length or 0) > upload.length - offset:
                raise errors.TooLarge(_("More bytes than Upload-Length has left."))
            return await _Append(exchange, upload, file, hold).run()
        finally:
            await asyncio.shield(blocking(file.close))


def _at_the_end(exchange: Exchange, upload: Upload, offset: int) -> int:
    if offset != upload.length:
        raise errors.Conflict(_("The upload is at {offset}, not at {asked}."), offset=upload.length, asked=offset)
    if exchange.has_body:
        raise errors.TooLarge(_("More bytes than Upload-Length has left."))
    return offset


class _Append:
    """One request's bytes on their way into one file."""

    def __init__(self, exchange: Exchange, upload: Upload, file: staging.Appender, hold: locks.Hold) -> None:
        self.exchange, self.upload, self.file, self.hold = exchange, upload, file, hold
        self.begin = file.size
        self.checksum = tus.checksum(exchange.header("upload-checksum"))
        self._writing: asyncio.Future[None] | None = None
        self._broken = False

    async def run(self) -> int:
        if self.checksum:
            await blocking(self.file.tentative)
        try:
            await self._bring_in()
        except Interrupted:
            await asyncio.shield(self._settle(whole=False))
            raise locks.Locked from None
        except (Disconnected, Stalled, asyncio.CancelledError):
            await asyncio.shield(self._settle(whole=False))
            raise
        except errors.Error as error:
            await asyncio.shield(self._give_up(error))
            raise
        await asyncio.shield(self._settle(whole=True))
        return self.file.size

    async def _bring_in(self) -> None:
        loop = asyncio.get_running_loop()
        pieces: list[bytes] = []
        gathered, total, written_at = 0, self.begin, loop.time()
        try:
            async for piece in self.exchange.pieces():
                self.hold.touch()
                total += len(piece)
                if total > self.upload.length:
                    raise errors.TooLarge(_("More bytes than Upload-Length has left."))
                pieces.append(piece)
                gathered += len(piece)
                if gathered >= BATCH or loop.time() - written_at > PACE:
                    await self._write(pieces)
                    pieces, gathered, written_at = [], 0, loop.time()
        finally:
            # Also after a cut: what has come is kept.
            if pieces and not self._broken:
                await asyncio.shield(self._write(pieces))
            await asyncio.shield(self._written())

    async def _write(self, pieces: Sequence[bytes]) -> None:
        """Write in a thread while the next bytes are received."""
        await self._written()
        self._writing = asyncio.ensure_future(blocking(self._store, pieces))

    async def _written(self) -> None:
        if self._writing is None:
            return
        try:
            await asyncio.shield(self._writing)  # a thread that writes cannot be cancelled, only waited for
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._writing, self._broken = None, True
            raise
        self._writing = None

    def _store(self, pieces: Sequence[bytes]) -> None:
        for piece in [b"".join(pieces)] if len(pieces) > 16 else pieces:
            if self.checksum:
                self.checksum[0].update(piece)
            self.file.append(piece)
        if not self.checksum:  # bytes not verified yet are judged when they are
            uploads.judge(self.upload, self.file)
        if not jobs.mark(self.upload.job, self.file.size, self.upload.length):
            raise uploads.unknown()

    async def _settle(self, *, whole: bool) -> None:
        """Make durable what may be kept; hand a complete file over."""
        await blocking(self._settle_now, whole)

    def _settle_now(self, whole: bool) -> None:
        if self.checksum and not (whole and self.checksum[0].digest() == self.checksum[1]):
            self.file.truncate(self.begin)
            self.file.sync()
            if whole:
                raise ChecksumMismatch
            return
        try:
            self.file.sync()
        except OSError as error:
            # After a failed fsync nobody knows what is on the disk: nothing of it may be used.
            uploads.fail(self.upload, str(_("The disk failed.")))
            raise errors.Unavailable(_("The disk failed.")) from error
        uploads.judge(self.upload, self.file)
        if not uploads.keep(self.upload, self.file.size):
            staging.remove(self.upload.pk)
            raise uploads.unknown()

    async def _give_up(self, error: errors.Error) -> None:
        """No space: the upload ends. Refused or deleted: it has ended. Otherwise only this request was wrong, and what came is kept."""
        if isinstance(error, errors.StorageFull):
            await blocking(uploads.fail, self.upload, str(error))
        elif await blocking(uploads.refresh, self.upload):
            await self._settle(whole=False)
        else:
            await blocking(staging.remove, self.upload.pk)
