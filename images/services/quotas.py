"""Quotas per project, under the names of Glance's unified limits, counted from rows: there is no counter to go wrong.

Size limits are MiB in settings.QUOTAS and bytes in `Usage`; -1 is unlimited. `require_room` serialises per project: call it in
the transaction that makes the row it asks room for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Count, F, Q, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.core.units import filesize
from dashboard.identity.models import Project
from images import stores
from images.models import Image, Upload
from images.states import BUSY, Status
from images.uploads import staging

MIB = 2**20
SIZE_TOTAL, STAGE_TOTAL, COUNT_TOTAL, COUNT_UPLOADING = (
    "image_size_total",
    "image_stage_total",
    "image_count_total",
    "image_count_uploading",
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used and what is allowed, in bytes or pieces; limit -1 is unlimited."""

    usage: int
    limit: int

    @property
    def free(self) -> int | None:
        """What is left; None when there is no limit."""
        return None if self.limit < 0 else max(0, self.limit - self.usage)


def usage(project_id: str) -> dict[str, Usage]:
    """The project's usage of every limit."""
    images = Image.objects.alive().filter(owner=project_id)
    # While bytes are on their way the length declared for them counts, afterwards the size.
    arriving = Coalesce(F("upload__length"), F("size"), Value(0))
    held = images.aggregate(
        stored=Coalesce(Sum(Case(When(status__in=BUSY, then=arriving), default=F("size"))), 0),
        staged=Coalesce(Sum(Case(When(status__in=[Status.UPLOADING, Status.IMPORTING], then=arriving), default=Value(0))), 0),
        count=Count("id"),
        uploading=Count("id", filter=Q(status__in=BUSY)),
    )
    return {
        SIZE_TOTAL: Usage(int(held["stored"]), _limit(SIZE_TOTAL, MIB)),
        STAGE_TOTAL: Usage(int(held["staged"]), _limit(STAGE_TOTAL, MIB)),
        COUNT_TOTAL: Usage(held["count"], _limit(COUNT_TOTAL)),
        COUNT_UPLOADING: Usage(held["uploading"], _limit(COUNT_UPLOADING)),
    }


def _limit(name: str, unit: int = 1) -> int:
    value = int(settings.QUOTAS.get(name, -1))
    return value * unit if value >= 0 else -1


def require_room(project_id: str, *, size: int = 0, staging: int = 0, images: int = 0, uploading: int = 0) -> None:
    """Raise QuotaExceeded unless the project may take this much more. Of two racing callers the second sees the first's rows.

    Call it inside the transaction that adds those rows.
    """
    with transaction.atomic():
        # PostgreSQL: one at a time per project. SQLite's transactions are IMMEDIATE and already one at a time.
        Project.objects.select_for_update().filter(pk=project_id).first()
        if all(int(limit) < 0 for limit in settings.QUOTAS.values()):
            return
        used = usage(project_id)
        for name, needed in {SIZE_TOTAL: size, STAGE_TOTAL: staging, COUNT_TOTAL: images, COUNT_UPLOADING: uploading}.items():
            if needed and (free := used[name].free) is not None and needed > free:
                raise exceeded(name, needed, used[name])


def require_growth(image: Image, size: int) -> None:
    """Raise QuotaExceeded when the image's bytes turned out to be more than was reserved for them, and that is too much.

    Call it in the transaction that makes the image active.
    """
    Project.objects.select_for_update().filter(pk=image.owner).first()
    if settings.QUOTAS[SIZE_TOTAL] < 0:
        return
    used = usage(image.owner)[SIZE_TOTAL]
    reserved = Upload.objects.filter(image=image).values_list("length", flat=True).first()
    if reserved is None:
        reserved = Image.objects.filter(pk=image.pk).values_list("size", flat=True).first() or 0
    others = Usage(used.usage - reserved, used.limit)
    if size > reserved and size > (others.free or 0):
        raise exceeded(SIZE_TOTAL, size, others)


def budget(project_id: str) -> int:
    """The most bytes a transfer of unknown length may bring: the size cap, or what the quota leaves if that is less."""
    free = usage(project_id)[SIZE_TOTAL].free
    cap = int(settings.IMAGE_SIZE_CAP)
    return cap if free is None else min(cap, free)


def exceeded(name: str, needed: int, used: Usage) -> errors.QuotaExceeded:
    """The error, in words and numbers."""
    show = filesize if name in (SIZE_TOTAL, STAGE_TOTAL) else str
    return errors.QuotaExceeded(needed=show(needed), used=show(used.usage), limit=show(used.limit), resource=_resource(name), quota=name)


def _resource(name: str) -> str:
    return {
        SIZE_TOTAL: _("image storage"),
        STAGE_TOTAL: _("staging space"),
        COUNT_TOTAL: _("images"),
        COUNT_UPLOADING: _("running uploads"),
    }[name]


def require_size(size: int) -> None:
    """Raise TooLarge for a file over the cap."""
    if size > settings.IMAGE_SIZE_CAP:
        raise errors.TooLarge(size=filesize(size), limit=filesize(settings.IMAGE_SIZE_CAP))


def require_space(size: int, store_name: str | None = None) -> None:
    """Raise StorageFull unless `size` bytes fit into staging, or into the store when one is named."""
    free = stores.get(store_name).usage()[1] if store_name else staging.free()
    if size > free:
        raise errors.StorageFull(needed=filesize(size), free=filesize(free))


def preflight(
    ctx: RequestContext, files: Sequence[tuple[int, int | None]], *, target_format: str | None = None, new: bool = True
) -> list[str]:
    """Why these files, taken together, would not be taken, in sentences with numbers; empty when they would.

    A file is its size and the size of the disk within, where that is known. `new`: each becomes an image of its own.
    """
    used = usage(ctx.project_id or "")
    arriving = sum(size for size, _virtual in files)
    lasting = sum(_converted(size, virtual_size, target_format) for size, virtual_size in files)
    wanted = {SIZE_TOTAL: lasting, STAGE_TOTAL: arriving, COUNT_TOTAL: len(files) if new else 0, COUNT_UPLOADING: len(files)}
    problems = [problem for file in files for problem in _over_cap(*file)]
    for name, needed in wanted.items():
        if needed and (left := used[name].free) is not None and needed > left:
            problems.append(str(exceeded(name, needed, used[name])))
    # Sent file and converted file lie beside each other for a while, on the same disk unless the administrator parted them.
    on_disk = arriving + (lasting if target_format else 0)
    free = min(stores.default_store().usage()[1], staging.free())
    if on_disk > free:
        problems.append(
            _("%(needed)s are needed and %(free)s are free on the disk.") % {"needed": filesize(on_disk), "free": filesize(free)}
        )
    return problems


def _converted(size: int, virtual_size: int | None, target_format: str | None) -> int:
    """What a file may come to take: raw is as large as the disk within, and a file that arrived small may grow to that."""
    return max(size, virtual_size or 0) if target_format == "raw" else size


def _over_cap(size: int, virtual_size: int | None) -> list[str]:
    """What of a file is over the cap, each in a sentence."""
    cap = settings.IMAGE_SIZE_CAP
    return [
        _("%(what)s has %(size)s; at most %(limit)s are allowed.") % {"what": what, "size": filesize(bytes_), "limit": filesize(cap)}
        for bytes_, what in ((size, _("The file")), (virtual_size or 0, _("The virtual disk")))
        if bytes_ > cap
    ]
