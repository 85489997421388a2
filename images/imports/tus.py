"""Bytes that came by a resumable upload: they lie in staging under the upload's id."""

from uuid import UUID

from django.utils.translation import gettext as _

from dashboard.core.errors import Conflict
from dashboard.jobs.models import Job
from images.models import Upload
from images.uploads import staging


def fetch(job: Job) -> UUID:
    """The owner of the staging file, which must be all there."""
    upload = Upload.objects.filter(pk=job.arguments["upload"]).first()
    if upload is None or not staging.path(upload.pk).exists():
        raise Conflict(_("The sent file is no longer there. Send it again."))
    if staging.size(upload.pk) != upload.length:
        raise Conflict(_("Only a part of the file has arrived. Send it again."))
    return upload.pk
