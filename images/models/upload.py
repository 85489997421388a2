"""A tus upload: bytes on their way into staging."""

import uuid

from django.db import models
from django.utils import timezone

from dashboard.core.context import RequestContext
from dashboard.jobs.models import Job
from images.models.image import Image


class UploadQuerySet(models.QuerySet["Upload"]):
    def visible_to(self, ctx: RequestContext) -> "UploadQuerySet":
        """The asker's own uploads in the project they act in."""
        return self.filter(user_id=ctx.user_id, project_id=ctx.project_id)


class Upload(models.Model):
    """One resumable upload (tus 1.0) into one image.

    The offset is the size of the staging file, nothing else. `grant` is the SHA-256 of a secret given out at creation: whoever
    holds it may go on sending after the login that began it has ended. Removed when the image has its bytes, or at `expires_at`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    image = models.OneToOneField(Image, on_delete=models.CASCADE, related_name="upload")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    project_id = models.CharField(max_length=64)
    user_id = models.CharField(max_length=64)
    grant = models.CharField(max_length=64)
    length = models.BigIntegerField()
    metadata = models.TextField(blank=True)  # Upload-Metadata, byte for byte
    filename = models.CharField(max_length=255, blank=True)
    inspected = models.BooleanField(default=False)  # the first MiB was judged and let pass
    complete = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    objects = UploadQuerySet.as_manager()

    def __str__(self) -> str:
        return self.filename or str(self.id)
