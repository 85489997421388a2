"""The import journey: bytes arrive, are verified, inspected, converted, hashed, stored, and the image becomes active.

Whatever goes wrong on the way, the image is `queued` again, nothing is left in staging, and the job keeps the reason.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.core.context import RequestContext
from dashboard.core.errors import BadRequest, Conflict, Gone
from dashboard.jobs import services as jobs
from dashboard.jobs import subjects
from dashboard.jobs.models import Job
from images import live, policy
from images.imports import addresses, glance_direct, steps, tus, web_download
from images.imports.steps import File
from images.models import Image, ImageLocation, Upload
from images.services import checksums, quotas, uploads, work
from images.states import BUSY, LIFECYCLE, Status
from images.uploads import staging

log = logging.getLogger(__name__)


# -- beginning -------------------------------------------------------------------------------------------------------
def start(
    ctx: RequestContext,
    image: Image,
    method: Mapping[str, Any],
    *,
    target_format: str | None = None,
    expected: Mapping[str, str] | None = None,
    stores: Sequence[str] | None = None,
) -> Job:
    """Begin an import: {"name": "web-download", "uri": …} into a queued image, {"name": "glance-direct"} of staged data.

    `expected` is {"algo", "value"}: a checksum to verify first.
    """
    policy.require(ctx, "modify_image", image)
    name = str(method.get("name", ""))
    if name not in settings.IMPORT_METHODS:
        raise BadRequest(_("Unknown import method name '{name}'."), name=name[:80])
    uploads.require_formats(image)
    arguments = {
        "method": name,
        "target_format": work.target_format(target_format),
        "expected": checksums.checked(expected),
        "store": _store(stores),
    }
    if name == "web-download":
        arguments["uri"] = addresses.check(addresses.parse(method.get("uri"))).url
    job = _begin(ctx, image, name, arguments)
    live.changed(image)
    return job


def _begin(ctx: RequestContext, image: Image, name: str, arguments: dict[str, Any]) -> Job:
    came_from = Status.QUEUED if name == "web-download" else Status.UPLOADING
    with transaction.atomic():
        if name == "web-download":
            quotas.require_room(image.owner, size=1, staging=1, uploading=1)
        elif Upload.objects.filter(image=image).exists():
            raise Conflict(_("Data is still being sent to this image by a resumable upload."))
        elif Job.objects.of("image", image.pk).live().exists():
            raise Conflict(_("Data is still being staged for this image."))
        LIFECYCLE.move(image, Status.IMPORTING, only_from=[came_from])
        if name == "glance-direct":
            glance_direct.fetch(image)
        job = work.open_job(ctx, image, "images.import", work.plan(arguments), arguments)
        jobs.start(job)
    return job


def _store(names: Sequence[str] | None) -> str | None:
    for name in names or ():
        if name not in settings.STORES:
            raise Conflict(_("The store '{name}' is not known here."), name=str(name)[:80])
    if names and len(names) > 1:
        raise BadRequest(_("An image is kept in one store; choose one."))
    return names[0] if names else None


# -- running ---------------------------------------------------------------------------------------------------------
def run(job_id: object) -> None:
    """Do the work of an import job; harmless when another worker does it or it is done. Called by the task."""
    _hold(job_id, _run)


def _hold(job_id: object, work: Callable[[jobs.Progress], None]) -> None:
    job = Job.objects.filter(pk=str(job_id)).first()
    if job is None:
        return
    try:
        with jobs.running(job_id) as progress:
            work(progress)
    except jobs.Taken:
        return
    _tell(job.subject_id)


def _run(progress: jobs.Progress) -> None:
    job = progress.job
    image = Image.objects.alive().filter(pk=job.subject_id).first()
    try:
        progress.check()
        if image is None:
            raise Gone(_("The image was deleted."))
        if _is_done(image):
            _remove_files(job)  # the worker before us died after its last step
            return
        if _is_superseded(job):
            raise Conflict(_("The work was interrupted, and other work was begun since."))
        _journey(job, image, progress)
        _remove_files(job)
    except jobs.Taken:
        raise
    except Exception as error:
        if jobs.is_stopping():  # what fails while the process ends is done again by the next one
            raise jobs.Taken(str(job.pk)) from error
        _undo(job)
        raise


def _is_done(image: Image | None) -> bool:
    return image is not None and image.status == Status.ACTIVE and ImageLocation.objects.filter(image=image).exists()


def _is_superseded(job: Job) -> bool:
    """A job whose worker died just after it had given the image back: others may have begun anew before it was looked at."""
    return Job.objects.of("image", job.subject_id).live().exclude(pk=job.pk).exists()


def _journey(job: Job, image: Image, progress: jobs.Progress) -> None:
    if image.status != Status.IMPORTING:
        LIFECYCLE.move(image, Status.IMPORTING, only_from=[Status.UPLOADING])
        live.changed(image)
    owner = _fetch(job, image, progress)
    file = File(owner, staging.path(owner), image.disk_format or "", image.container_format or "")
    if expected := job.arguments.get("expected"):
        steps.verify(file, expected, progress)
    file = steps.examine(file, progress)
    target = job.arguments.get("target_format")
    if target and steps.wants_conversion(file, target):
        file = steps.convert(image, file, target, progress)
    stored = steps.store(image, file, job.arguments.get("store"), progress)
    steps.activate(job, image, file, stored, progress)


def _fetch(job: Job, image: Image, progress: jobs.Progress) -> UUID:
    match job.arguments.get("method"):
        case "web-download":
            return web_download.fetch(job, image, progress)
        case "tus":
            return tus.fetch(job)
        case _:
            return glance_direct.fetch(image)


def _owner(job: Job) -> str:
    return str(job.arguments.get("upload") or job.subject_id)


def _remove_files(job: Job) -> None:
    staging.remove(_owner(job))


def _undo(job: Job) -> None:
    """Image back to queued, upload and files gone, whatever state they were in; unless newer work has the image by now."""
    if _is_superseded(job):
        return
    try:
        # Files first: once the image is queued, somebody may stage other bytes under the same name.
        _remove_files(job)
    except OSError:
        log.exception("Staging files of job %s could not be removed; the sweep tries again.", job.pk)
    with transaction.atomic():
        image = Image.objects.alive().filter(pk=job.subject_id).first()
        Upload.objects.filter(job=job).delete()
        if image is not None:
            uploads.back_to_queued(image, *BUSY)


def _tell(image_id: str) -> None:
    image = Image.objects.filter(pk=image_id).first()
    if image is not None:
        live.changed(image)


def interrupted(job_id: object) -> None:
    """Clean up after a direct upload whose server died or which was cancelled before it began. Called by the task."""
    _hold(job_id, _clean_up)


def _clean_up(progress: jobs.Progress) -> None:
    if _is_done(Image.objects.alive().filter(pk=progress.job.subject_id).first()):
        return  # the server died after its last step
    _undo(progress.job)
    progress.check()
    raise Conflict(_("The server stopped while the data was arriving. Send it again."))


# -- what people do with it ------------------------------------------------------------------------------------------
def retry(ctx: RequestContext, image: Image) -> Job:
    """Fetch again from the same URL with the same wishes; a file that was sent must be chosen again: Conflict."""
    job = jobs.latest_for("image", [image.pk]).get(str(image.pk))
    if job is None or job.is_live:
        raise Conflict(_("Nothing failed that could be tried again."))
    if job.arguments.get("method") != "web-download":
        policy.require(ctx, "modify_image", image)
        raise Conflict(_("The file has to be sent again: choose it once more."))
    return start(
        ctx,
        image,
        {"name": "web-download", "uri": job.arguments["uri"]},
        target_format=job.arguments.get("target_format"),
        expected=job.arguments.get("expected"),
        stores=[job.arguments["store"]] if job.arguments.get("store") else None,
    )


def cancel(ctx: RequestContext, image: Image) -> Job:
    """Stop what is being done with the image; its record stays, queued."""
    job = jobs.latest_for("image", [image.pk]).get(str(image.pk))
    if job is None or not job.is_live:
        raise Conflict(_("Nothing is running."))
    return jobs.cancel(ctx, job)


def throw_away(ctx: RequestContext, image: Image) -> None:
    """Delete the record of an image that never got its data, and whatever is under way for it."""
    from images.services import catalogue

    if image.status != Status.QUEUED and image.status not in BUSY:
        raise Conflict(_("The image has its data; delete it instead."))
    catalogue.delete(ctx, image)


def look_up(ctx: RequestContext, newest: Iterable[Job]) -> dict[str, subjects.Subject]:
    """The images that jobs are about, for the Work page: those the asker may see, and whether Retry would do something."""
    from images.services.actions import actions

    by_id = {job.subject_id: job for job in newest}
    found = {}
    for image in Image.objects.visible_to(ctx).filter(pk__in=by_id):
        key = str(image.pk)
        retry_url = reverse("images:retry", args=[image.pk]) if actions(ctx, image, by_id[key])["retry"] else ""
        found[key] = subjects.Subject(reverse("images:detail", args=[image.pk]), retry_url)
    return found


subjects.register("image", look_up)
