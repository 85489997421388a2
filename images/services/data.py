"""Bytes become an image's data: hashed, stored once, and made active in one transaction.

stored = data.store_file(path, "local", on_hash=progress.set)     # bytes durable in the store, row still `writing`
data.activate(image, stored.blob, size=stored.size, …)            # location, hashes and status together, or nothing
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from dashboard.core import errors
from images import stores
from images.models import Blob, Image, ImageLocation, Upload
from images.services import blobs, quotas
from images.services.lanes import Batch, Digests, Lanes
from images.states import LIFECYCLE, Status
from images.stores import sparse

_BLOCK = 2 * 2**20
_ZEROS = bytes(_BLOCK)
_AHEAD = 4  # blocks read before they are hashed


class Stored(NamedTuple):
    """Bytes in a store that no image refers to yet."""

    blob: Blob
    size: int
    checksum: str
    os_hash_value: str


def _ignore(*_args: object) -> None:
    """Nobody wants to know."""


def hash_file(path: Path, on_hash: Callable[[int], object] = _ignore) -> tuple[int, Digests]:
    """Size and hashes of a file, each hash in its own thread; `on_hash` gets the bytes done, and may raise to stop."""
    digests = Digests(settings.HASHING_ALGORITHM)
    room = threading.BoundedSemaphore(_AHEAD)
    lanes = Lanes(digests.consumers())
    size = 0

    def give_back(batch: Batch) -> None:
        room.release()

    try:
        with path.open("rb", buffering=0) as file:
            for block in _blocks(file.fileno()):
                room.acquire()
                lanes.put([block], len(block), give_back)
                size += len(block)
                on_hash(size)
    except BaseException:
        lanes.stop()
        raise
    lanes.close()
    return size, digests


def _blocks(fd: int) -> Iterator[bytes]:
    for offset, length, is_data in sparse.extents(fd, os.fstat(fd).st_size):
        position, end = offset, offset + length
        while position < end:
            take = min(_BLOCK, end - position)
            # A hole is hashed as the zeros it stands for, but not read.
            block = os.pread(fd, take, position) if is_data else (_ZEROS if take == _BLOCK else _ZEROS[:take])
            if not block:
                raise OSError("the file became shorter while it was read")
            yield block
            position += len(block)


def store_file(
    source: Path,
    store_name: str | None = None,
    *,
    on_hash: Callable[[int], object] = _ignore,
    on_store: Callable[[], object] = _ignore,
) -> Stored:
    """Hash the file and give it to the store. Remove it from `source` when the image is active, so that a crash costs nothing.

    `on_hash(bytes done)` while hashing, `on_store()` before the store takes over; what they raise ends it with nothing left
    behind. The blob is `writing` until `activate` commits it: give it to `blobs.drop` when that will not happen.
    """
    name = store_name or settings.DEFAULT_STORE
    size, digests = hash_file(source, on_hash)
    on_store()
    blob = blobs.writing(name)
    try:
        stores.get(name).adopt(source, blob.key)
        return hashed(blob, size, digests)
    except BaseException:
        blobs.drop(blob)
        raise


def hashed(blob: Blob, size: int, digests: Digests) -> Stored:
    """Note on the blob's row what its bytes are."""
    blob.size, blob.sha512 = size, digests["sha512"]
    Blob.objects.filter(pk=blob.pk).update(size=size, sha512=blob.sha512)
    return Stored(blob, size, digests.checksum, digests.os_hash_value)


def activate(image: Image, blob: Blob, *, size: int, virtual_size: int | None, checksum: str, os_hash_value: str, **fields: Any) -> Image:
    """Give the image its data: location, hashes and status `active` in one transaction; its upload row goes.

    Identical bytes already in the store are referred to instead. When it cannot be done (deleted meanwhile: Gone; quota) the
    blob is dropped.
    """
    values = {
        "size": size,
        "virtual_size": virtual_size,
        "checksum": checksum,
        "os_hash_algo": settings.HASHING_ALGORITHM,
        "os_hash_value": os_hash_value,
        **fields,
    }
    try:
        with transaction.atomic():
            quotas.require_growth(image, size)
            LIFECYCLE.move(image, Status.ACTIVE, only_from=[Status.SAVING, Status.IMPORTING], **values)
            kept = blobs.commit(blob, size, blob.sha512)
            ImageLocation.objects.create(image=image, blob=kept)
            Upload.objects.filter(image=image).delete()
    except BaseException as error:
        blobs.drop(blob)
        if isinstance(error, errors.InvalidTransition) and not Image.objects.alive().filter(pk=image.pk).exists():
            raise errors.Gone(_("The image was deleted while its data was on the way.")) from error
        raise
    return image
