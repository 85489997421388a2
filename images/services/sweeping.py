"""Tidying up after crashes and people who went away: what nobody refers to any more is removed."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from dashboard.jobs.models import Job
from images import live
from images.models import Image, Upload
from images.services import blobs, uploads
from images.states import Status
from images.uploads import staging


def sweep() -> int:
    """Remove what nobody refers to any more: expired uploads, blobs of dead writers, files in staging. Returns how many."""
    return uploads.expire() + blobs.sweep() + _sweep_staging() + _sweep_images()


def _sweep_staging() -> int:
    removed = 0
    # Files first, rows after: a row is always written before its file, so what is seen here and has no row is left over.
    for name in {file.name.partition(".")[0] for file in staging.directory().iterdir()}:
        try:
            owner = UUID(name)
        except ValueError:
            continue
        if not _is_needed(owner):
            staging.remove(owner)
            removed += 1
    return removed


def _is_needed(owner: UUID) -> bool:
    staged = Image.objects.filter(pk=owner, status__in=[Status.UPLOADING, Status.IMPORTING])
    at_work = Job.objects.live().filter(kind__startswith="images.")
    return (
        Upload.objects.filter(pk=owner).exists()
        or staged.exists()
        or at_work.filter(subject_type="image", subject_id=str(owner)).exists()
        or at_work.filter(arguments__upload=str(owner)).exists()
    )


def _sweep_images() -> int:
    """Images said to be at work that no job works for: back to queued. Staged data waits for its import as long as it likes."""
    returned = 0
    settled = timezone.now() - timedelta(seconds=60)
    for image in Image.objects.filter(status__in=[Status.SAVING, Status.IMPORTING], updated_at__lt=settled):
        if not Job.objects.of("image", image.pk).live().exists() and uploads.back_to_queued(image, image.status):
            staging.remove(image.pk)
            live.changed(image)
            returned += 1
    return returned
