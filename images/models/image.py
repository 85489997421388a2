"""Image, its properties, tags and locations, and the one query that says who sees what."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dashboard.core.context import RequestContext
from images.models.blob import Blob
from images.states import Status


class Visibility(models.TextChoices):
    PRIVATE = "private", _("Private")
    SHARED = "shared", _("Shared")
    COMMUNITY = "community", _("Community")
    PUBLIC = "public", _("Public")


class ImageQuerySet(models.QuerySet["Image"]):
    def alive(self) -> "ImageQuerySet":
        return self.exclude(status__in=[Status.DELETED, Status.PENDING_DELETE])

    def visible_to(self, ctx: RequestContext) -> "ImageQuerySet":
        """What the asker may fetch by id: own, public, community; an administrator all. Deleted ones never."""
        if ctx.is_admin:
            return self.alive()
        return self.alive().filter(Q(owner=ctx.project_id) | Q(visibility__in=[Visibility.PUBLIC, Visibility.COMMUNITY]))

    def listed_for(self, ctx: RequestContext) -> "ImageQuerySet":
        """What the default list shows: as `visible_to`, without other projects' community images (Glance's rule)."""
        if ctx.is_admin:
            return self.alive()
        return self.alive().filter(Q(owner=ctx.project_id) | Q(visibility=Visibility.PUBLIC))

    def with_details(self) -> "ImageQuerySet":
        """With properties, tags and locations in a fixed number of queries."""
        return self.prefetch_related("properties", "tags", "locations__blob")


class Image(models.Model):
    """A record of the catalogue. Field names are Glance's; sizes in bytes, min_disk in GiB, min_ram in MiB.

    `owner` is a project's id and never empty. Deleted images stay as tombstones: an id is never used again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 (Glance tells null from "")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.SHARED)
    protected = models.BooleanField(default=False)
    os_hidden = models.BooleanField(default=False)
    owner = models.CharField(max_length=255)
    disk_format = models.CharField(max_length=20, null=True, blank=True)  # noqa: DJ001
    container_format = models.CharField(max_length=20, null=True, blank=True)  # noqa: DJ001
    min_disk = models.PositiveIntegerField(default=0)
    min_ram = models.PositiveIntegerField(default=0)
    size = models.BigIntegerField(null=True)
    virtual_size = models.BigIntegerField(null=True)
    checksum = models.CharField(max_length=32, null=True)  # noqa: DJ001
    os_hash_algo = models.CharField(max_length=64, null=True)  # noqa: DJ001
    os_hash_value = models.CharField(max_length=128, null=True)  # noqa: DJ001
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "status", "-created_at", "-id"], name="image_of_owner"),
            models.Index(fields=["visibility", "status", "-created_at", "-id"], name="image_by_visibility"),
            models.Index(fields=["owner", "name", "id"], name="image_by_name"),
            models.Index(fields=["-created_at", "-id"], name="image_by_age"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)

    def target(self) -> dict[str, object]:
        """The image as policy rules see it."""
        return {"owner": self.owner, "project_id": self.owner, "visibility": self.visibility, "member_id": None}


class ImageProperty(models.Model):
    """A custom property; values are text."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="properties")
    name = models.CharField(max_length=255)
    value = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["image", "name"], name="property_once")]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class ImageTag(models.Model):
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="tags")
    value = models.CharField(max_length=255)

    class Meta:
        ordering: ClassVar = ["value"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["image", "value"], name="tag_once")]

    def __str__(self) -> str:
        return self.value


class ImageLocation(models.Model):
    """One copy of an image's bytes."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="locations")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="locations")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["image", "blob"], name="location_once")]

    def __str__(self) -> str:
        return f"{self.image_id} in {self.blob}"
