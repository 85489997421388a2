"""tus uploads: begin, find, complete, drop. The bytes themselves are images.transfer's business."""

import hashlib
import hmac
import secrets
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.identity import services as identity
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Status as JobStatus
from images import live, policy
from images.formats import inspect
from images.models import Image, Upload
from images.services import checksums, quotas, work
from images.states import LIFECYCLE, Status
from images.uploads import staging


def create(
    ctx: RequestContext,
    image: Image,
    *,
    length: int,
    filename: str,
    metadata: str = "",
    target_format: str | None = None,
    expected: dict[str, str] | None = None,
) -> tuple[Upload, str]:
    """Begin an upload of `length` bytes into a queued image; returns it with its grant, which is not kept in clear.

    `expected` is {"algo", "value"}: a checksum to verify before anything else is done with the file.
    """
    policy.require(ctx, "upload_image", image)
    require_formats(image)
    target_format, expected = work.target_format(target_format), checksums.checked(expected)
    quotas.require_size(length)
    quotas.require_space(length)
    grant = secrets.token_urlsafe(32)
    with transaction.atomic():
        quotas.require_room(image.owner, size=length, staging=length, uploading=1)
        LIFECYCLE.move(image, Status.UPLOADING, only_from=[Status.QUEUED])
        upload_id = uuid.uuid4()
        arguments = {
            "method": "tus",
            "upload": str(upload_id),
            "target_format": target_format,
            "expected": expected,
            "filename": filename,
        }
        job = work.open_job(ctx, image, "images.import", work.plan(arguments), arguments, total=length, waiting=True)
        upload = Upload.objects.create(
            id=upload_id,
            image=image,
            job=job,
            project_id=ctx.project_id or "",
            user_id=ctx.user_id,
            grant=_digest(grant),
            length=length,
            metadata=metadata,
            filename=filename[:255],
            expires_at=_expiry(),
        )
    live.changed(image)
    return upload, grant


def require_formats(image: Image) -> None:
    """Raise BadRequest while the image does not say what its bytes will be."""
    if not image.disk_format or not image.container_format:
        raise errors.BadRequest(_("Properties disk_format, container_format must be set prior to saving data."))


def find(upload_id: object, ctx: RequestContext | None = None, grant: str | None = None) -> Upload:
    """The upload, for its creator in its project or the holder of its grant; NotFound for everybody else.

    A grant outlives the login, but not the person's account nor the role on the project.
    """
    try:
        key = uuid.UUID(str(upload_id))
    except ValueError:
        raise unknown() from None
    if str(key) != str(upload_id):  # UUID() also takes braces and missing dashes
        raise unknown()
    uploads = Upload.objects.select_related("image", "job")
    upload = uploads.filter(pk=key).first()
    if upload is None or (upload.expires_at <= timezone.now() and not upload.complete):
        raise unknown()
    if grant and hmac.compare_digest(_digest(grant), upload.grant):
        try:
            ctx = identity.context_of(upload.user_id, upload.project_id)
        except errors.Unauthenticated:
            raise unknown() from None
    elif ctx is None or not uploads.filter(pk=key).visible_to(ctx).exists():
        raise unknown()
    if not policy.allows(ctx, "upload_image", upload.image):
        raise unknown()
    return upload


def unknown() -> errors.NotFound:
    """The same answer for an upload that never was, is over, or is somebody else's."""
    return errors.NotFound(_("There is no such upload."))


def refresh(upload: Upload) -> bool:
    """Read the row again; False when it is gone."""
    row = Upload.objects.filter(pk=upload.pk).first()
    if row is None:
        return False
    upload.complete, upload.inspected, upload.expires_at = row.complete, row.inspected, row.expires_at
    return True


def keep(upload: Upload, offset: int) -> bool:
    """Bytes up to `offset` are durable: it expires later, or is complete. False when it was dropped meanwhile."""
    upload.expires_at = _expiry()
    if not Upload.objects.filter(pk=upload.pk).update(expires_at=upload.expires_at):
        return False
    if offset == upload.length:
        complete(upload)
    return True


def head_size(image: Image) -> int:
    """How many bytes the inspector wants before it judges: VHDX keeps its tables far inside."""
    return inspect.HEAD_MAX if image.disk_format == "vhdx" else inspect.HEAD


def judge(upload: Upload, source: staging.Appender) -> None:
    """Inspect the beginning once, as soon as enough of it is there. What is refused ends the upload with the reason kept."""
    wanted = head_size(upload.image)
    if upload.inspected or source.size < min(wanted, upload.length) or not upload.length:
        return
    image = upload.image
    try:
        inspect.inspect_head(
            source.pread(0, wanted),
            declared=image.disk_format or "raw",
            container=image.container_format or "bare",
            size=upload.length,
        )
    except errors.Error as error:
        fail(upload, str(error))
        raise
    upload.inspected = True
    Upload.objects.filter(pk=upload.pk).update(inspected=True)


def complete(upload: Upload) -> None:
    """Every byte is there: hand the file to the import job. Once only, however often it is called."""
    with transaction.atomic():
        if Upload.objects.filter(pk=upload.pk, complete=False).update(complete=True):
            upload.complete = True
            jobs.start(upload.job)


def terminate(upload: Upload) -> None:
    """The sender gave it up: image back to queued, nothing left. A complete upload belongs to its job: Conflict."""
    if upload.complete:
        raise errors.Conflict(_("The file is complete and being processed; cancel that work instead."))
    drop(upload, JobStatus.CANCELLED, _("The upload was given up."))


def fail(upload: Upload, reason: str) -> None:
    """The bytes cannot be used: image back to queued with the reason kept, nothing left."""
    drop(upload, JobStatus.FAILED, reason)


def drop(upload: Upload, status: str, message: str) -> None:
    """End the upload, its job with `status`; harmless when another was faster. Removes the file last."""
    with transaction.atomic():
        removed, _rows = Upload.objects.filter(pk=upload.pk).delete()
        if removed:
            upload.job.refresh_from_db()
            jobs.finish(upload.job, status, message)
            back_to_queued(upload.image, Status.UPLOADING)
    if removed:
        staging.remove(upload.pk)
        live.changed(upload.image)


def back_to_queued(image: Image, *only_from: str) -> bool:
    """Return the image to queued, size and virtual size cleared; False when it was not (any more) in that state."""
    try:
        LIFECYCLE.move(image, Status.QUEUED, only_from=only_from, size=None, virtual_size=None)
    except errors.InvalidTransition:
        return False
    return True


def expire() -> int:
    """Drop what has not had a byte for VITRINE_UPLOAD_EXPIRY seconds. Returns how many."""
    stale = Upload.objects.filter(complete=False, expires_at__lte=timezone.now()).select_related("image", "job")
    count = 0
    for upload in stale:
        fail(upload, _("No bytes came for %(days)d days; the upload was dropped.") % {"days": settings.UPLOAD_EXPIRY // 86400})
        count += 1
    return count


def _digest(grant: str) -> str:
    return hashlib.sha256(grant.encode()).hexdigest()


def _expiry() -> datetime:
    return timezone.now() + timedelta(seconds=settings.UPLOAD_EXPIRY)
