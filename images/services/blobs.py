"""Blobs: an intent row before the first byte, identical content kept once, bytes removed when the last reference goes.

    blob = blobs.writing("local")      # row `writing`, held by this process
    ...bytes into store.open_writer(blob.key), commit...
    blob = blobs.commit(blob, size, sha512)   # maybe another row: the one that already holds these bytes

Order of deletion is the reverse of order of creation: row `deleting`, bytes, row. So whatever a crash leaves is named by a row.
"""

import itertools
import logging
import time
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dashboard.jobs import leases
from images import stores
from images.models import Blob, Image

log = logging.getLogger(__name__)
State = Blob.State
_SCAN_PERIOD = 6 * 3600.0  # seconds
_scan = {"due": 0.0}
_ORPHAN_AGE = 3600  # seconds; no row is ever younger than its bytes, so this only guards against clocks that differ


def writing(store: str) -> Blob:
    """The intent to write a blob into `store`; commit this row before the first byte."""
    return Blob.objects.create(store=store, lease=leases.me())


def commit(blob: Blob, size: int, sha512: str) -> Blob:
    """The blob to refer to, with one reference taken: this one, or the identical one that was there before it."""
    twin = _take_twin(blob, size, sha512)
    if twin is not None:
        drop(blob)
        return twin
    values = {"state": State.READY, "size": size, "sha512": sha512, "refs": 1, "lease": ""}
    if not Blob.objects.filter(pk=blob.pk, state=State.WRITING).update(**values):
        raise LookupError(f"blob {blob} is no longer being written")
    blob.refresh_from_db()
    return blob


def _take_twin(blob: Blob, size: int, sha512: str) -> Blob | None:
    same = Blob.objects.filter(store=blob.store, sha512=sha512, size=size, state=State.READY, refs__gt=0).exclude(pk=blob.pk)
    for twin in same.order_by("created_at")[:3]:
        # Compare and set: a twin whose last reference goes at this moment is not resurrected.
        if Blob.objects.filter(pk=twin.pk, state=State.READY, refs__gt=0).update(refs=F("refs") + 1):
            twin.refresh_from_db()
            return twin
    return None


def unref(blob: Blob) -> None:
    """Give back one reference; the bytes go after commit when it was the last."""
    with transaction.atomic():
        Blob.objects.filter(pk=blob.pk, state=State.READY, refs__gt=0).update(refs=F("refs") - 1)
        if Blob.objects.filter(pk=blob.pk, state=State.READY, refs=0).update(state=State.DELETING):
            transaction.on_commit(lambda: _remove(blob))


def release(image: Image) -> None:
    """Drop the image's locations; bytes nobody else refers to are removed after commit."""
    with transaction.atomic():
        for location in image.locations.select_related("blob"):
            location.delete()
            unref(location.blob)


def drop(blob: Blob) -> None:
    """Forget a blob that was never committed, bytes and row."""
    if Blob.objects.filter(pk=blob.pk, state=State.WRITING).update(state=State.DELETING):
        transaction.on_commit(lambda: _remove(blob))


def sweep(now: float | None = None) -> int:
    """Remove what a crash left: intents of dead processes, half-done deletions, files no row names. Returns how many.

    The stores are looked through every six hours only, or when the time is given: the rows tell nearly everything.
    """
    removed = 0
    # A deletion interrupted by a crash is resumed; one in progress elsewhere is merely done twice.
    for blob in Blob.objects.filter(state=State.DELETING, created_at__lt=timezone.now() - timedelta(seconds=1)):
        removed += _remove(blob)
    for blob in Blob.objects.filter(state=State.WRITING):
        if not leases.alive(blob.lease):
            drop(blob)
            removed += 1
    if now is not None or time.monotonic() > _scan["due"]:
        _scan["due"] = time.monotonic() + _SCAN_PERIOD
        removed += sum(_sweep_orphans(name, now or time.time()) for name in stores.names())
    return removed


def _sweep_orphans(name: str, now: float) -> int:
    store, removed = stores.get(name), 0
    old = (key for key, touched in store.inventory() if now - touched > _ORPHAN_AGE)
    while keys := set(itertools.islice(old, 500)):
        for key in keys - set(Blob.objects.filter(store=name, key__in=keys).values_list("key", flat=True)):
            log.warning("Removing %s from store %s: no blob has this key.", key, name)
            store.delete(key)
            removed += 1
    return removed


def _remove(blob: Blob) -> bool:
    try:
        stores.get(blob.store).delete(blob.key)
    except (OSError, KeyError):
        log.exception("Blob %s could not be removed; the sweep tries again.", blob)
        return False
    Blob.objects.filter(pk=blob.pk, state=State.DELETING).delete()
    return True
