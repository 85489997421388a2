"""An image's bytes coming in one request (PUT …/file, PUT …/stage): what is decided before, between and after them.

arrival = receiving.begin(ctx, image_id, size=…, staged=False)   # refused here before the first byte, or queued → saving
arrival.write(piece) …                                           # from a thread
receiving.finish(arrival) | receiving.fail(arrival, error)       # active, or queued again with the reason kept
"""

import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Status as JobStatus
from images import live, policy, stores
from images.formats.inspect import inspect_source
from images.models import Blob, Image
from images.services import blobs, catalogue, data, quotas, uploads, work
from images.services.lanes import Digests
from images.states import LIFECYCLE, Status
from images.stores import Writer
from images.uploads import staging

log = logging.getLogger(__name__)


@dataclass
class Arrival:
    """Bytes of one image on their way in."""

    image: Image
    ctx: RequestContext
    progress: jobs.Progress
    size: int | None  # as declared; None for a chunked body
    limit: int  # most bytes that will be taken
    target: Writer | staging.Appender
    blob: Blob | None = None  # None: into staging
    digests: Digests = field(default_factory=lambda: Digests(settings.HASHING_ALGORITHM))

    @property
    def status(self) -> Status:
        """Where the image stands while they come."""
        return Status.SAVING if self.blob else Status.UPLOADING

    def write(self, piece: bytes) -> None:
        if isinstance(self.target, staging.Appender):
            self.target.append(piece)
        else:
            self.target.write(piece)

    def consumers(self) -> dict[str, Any]:
        """Who looks at each piece; staged bytes are hashed when they are imported."""
        return {"write": self.write, **(self.digests.consumers() if self.blob else {})}


def begin(ctx: RequestContext, image_id: UUID | str, *, size: int | None, staged: bool, store: str | None = None) -> Arrival:
    """Check rights, state, formats, size, quota and space; move the image and open its job."""
    image = catalogue.get(ctx, image_id)
    policy.require(ctx, "upload_image", image)
    name = store or settings.DEFAULT_STORE
    if name not in settings.STORES:
        raise errors.BadRequest(_("There is no store %s.") % name)
    status = Status.UPLOADING if staged else Status.SAVING
    if image.status != Status.QUEUED:
        raise errors.InvalidTransition(subject=image, status=image.status, target=str(status))
    uploads.require_formats(image)
    quotas.require_size(size or 0)
    quotas.require_space(size or 0, None if staged else name)
    with transaction.atomic():
        quotas.require_room(image.owner, size=size or 0, staging=(size or 0) if staged else 0, uploading=1)
        limit = size if size is not None else quotas.budget(image.owner)
        LIFECYCLE.move(image, status, only_from=[Status.QUEUED], size=size)
        blob = None if staged else blobs.writing(name)
        plan = ["send"] if staged else ["send", "inspect", "hash", "store", "activate"]
        arguments = {"method": "stage" if staged else "file"}
        job = work.open_job(ctx, image, "images.upload", plan, arguments, total=size, waiting=True)
        progress = jobs.lease(job)
    try:
        target = stores.get(name).open_writer(blob.key) if blob else _fresh(image)
    except BaseException as error:
        _undo(image, blob, progress, *_outcome(error))
        raise
    live.changed(image)
    return Arrival(image, ctx, progress, size, limit, target, blob)


def _fresh(image: Image) -> staging.Appender:
    staging.remove(image.id)
    return staging.Appender(image.id)


def look(arrival: Arrival, done: int) -> None:
    """Say how far it is. Raises Gone when the image was deleted meanwhile, JobCancelled when somebody asked to stop."""
    if not Image.objects.filter(pk=arrival.image.pk, status=arrival.status).exists():
        raise gone()
    arrival.progress.set(done, arrival.size)
    arrival.progress.check()


def gone() -> errors.Gone:
    return errors.Gone(_("The image was deleted while its data was on the way."))


def finish(arrival: Arrival, *, expected_size: int | None = None) -> None:
    """Every byte is written and hashed: inspect the whole, commit it, make the image active (or leave it staged)."""
    target, progress, image = arrival.target, arrival.progress, arrival.image
    look(arrival, target.size)
    if expected_size is not None and target.size != expected_size:
        raise errors.BadRequest(_("{expected} bytes were announced and {got} came."), expected=expected_size, got=target.size)
    if isinstance(target, staging.Appender):
        target.sync()
        _note_size(image, target.size)
        target.close()
    else:
        _activate(arrival, target)
    progress.end()
    jobs.finish(progress.job, JobStatus.SUCCEEDED)
    live.changed(image)


def _note_size(image: Image, size: int) -> None:
    """Staged bytes count against the quota by their true size."""
    if not Image.objects.filter(pk=image.pk, status=Status.UPLOADING).update(size=size):
        raise gone()
    image.size = size


def _activate(arrival: Arrival, writer: Writer) -> None:
    image, progress, blob = arrival.image, arrival.progress, arrival.blob
    assert blob is not None
    progress.step("inspect", writer.size)
    verdict = inspect_source(writer, declared=image.disk_format or "raw", container=image.container_format or "bare")
    progress.step("hash", writer.size)
    progress.set(writer.size)
    progress.step("store", writer.size)
    writer.commit()
    progress.set(writer.size)
    progress.step("activate")
    work.authorise(arrival.ctx.user_id, arrival.ctx.project_id or "", image)
    stored = data.hashed(blob, writer.size, arrival.digests)
    data.activate(
        image,
        stored.blob,
        size=stored.size,
        virtual_size=verdict.virtual_size,
        checksum=stored.checksum,
        os_hash_value=stored.os_hash_value,
    )


def fail(arrival: Arrival, error: BaseException, *, cancelled: bool = False) -> None:
    """Leave nothing behind: bytes removed, image queued again (unless deleted), the reason in the job."""
    with contextlib.suppress(OSError):
        if isinstance(arrival.target, staging.Appender):
            arrival.target.close()
            staging.remove(arrival.image.pk)
        else:
            arrival.target.abort()
    outcome = (JobStatus.CANCELLED, jobs.who_cancelled(arrival.progress.job)) if cancelled else _outcome(error)
    _undo(arrival.image, arrival.blob, arrival.progress, *outcome)


def _undo(image: Image, blob: Blob | None, progress: jobs.Progress, status: str, message: str) -> None:
    if blob:
        blobs.drop(blob)
    progress.end()
    with transaction.atomic():  # together: a job that outlived its image's wait would undo what comes next
        uploads.back_to_queued(image, Status.SAVING, Status.UPLOADING)
        jobs.finish(progress.job, status, message)
    live.changed(image)


def _outcome(error: BaseException) -> tuple[str, str]:
    if isinstance(error, errors.Error):
        return JobStatus.FAILED, str(error)
    log.error("An upload crashed.", exc_info=error)
    return JobStatus.ERRORED, _("Something went wrong on our side.")
