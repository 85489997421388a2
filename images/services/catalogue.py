"""The records of the catalogue: find, create, change, tag, deactivate, reactivate, delete."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core.context import RequestContext
from dashboard.core.errors import Conflict, Forbidden, InvalidValue, NotFound
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Job
from dashboard.jobs.models import Status as JobStatus
from images import live, policy
from images.models import Image, ImageProperty, ImageTag, Upload, Visibility
from images.services import blobs, fields, quotas
from images.states import LIFECYCLE, Status
from images.uploads import staging


class Changes(TypedDict, total=False):
    """What to change: only the keys given are touched. `tags` replaces all tags; properties are set and removed one by one."""

    name: str | None
    visibility: str
    protected: bool
    os_hidden: bool
    owner: str
    disk_format: str | None
    container_format: str | None
    min_disk: int
    min_ram: int
    properties_set: Mapping[str, str]
    properties_removed: Collection[str]
    tags: Sequence[str]


_LISTS = frozenset({"properties_set", "properties_removed", "tags"})


def get(ctx: RequestContext, image_id: UUID | str) -> Image:
    """The image with its properties, tags and locations; NotFound when the asker may not see it."""
    image = Image.objects.visible_to(ctx).with_details().filter(pk=_uuid(image_id)).first()
    if image is None or not policy.allows(ctx, "get_image", image):
        raise policy.not_found(image_id)
    return image


def create(
    ctx: RequestContext,
    *,
    id: UUID | str | None = None,
    name: str | None = None,
    visibility: str | None = None,
    protected: bool = False,
    os_hidden: bool = False,
    owner: str | None = None,
    disk_format: str | None = None,
    container_format: str | None = None,
    min_disk: int = 0,
    min_ram: int = 0,
    tags: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> Image:
    """A new record, `queued` until it gets its data. An id may be chosen once and never again, not even after deletion."""
    if not ctx.project_id:
        raise Forbidden(policy.why("add_image"), rule="add_image")
    given = {
        "name": name,
        "visibility": visibility or Visibility.SHARED.value,
        "protected": protected,
        "os_hidden": os_hidden,
        "owner": ctx.project_id if owner is None else owner,
        "disk_format": disk_format,
        "container_format": container_format,
        "min_disk": min_disk,
        "min_ram": min_ram,
    }
    image = Image(**{field: fields.check(field, value) for field, value in given.items()})
    if id is not None:
        image.id = _chosen(id)
    if image.owner != ctx.project_id and not policy.allows(ctx, "add_image", image):
        raise Forbidden(_("You are not permitted to create images owned by '%s'.") % fields.shown(image.owner))
    policy.require(ctx, "add_image", image)
    _require_visibility(ctx, image, image.visibility)
    with transaction.atomic():
        quotas.require_room(image.owner, images=1)
        try:
            with transaction.atomic():
                image.save(force_insert=True)
        except IntegrityError:
            raise Conflict(_("Image ID %s already exists!") % image.id) from None
        _write_properties(image, properties or {}, ())
        _write_tags(image, tags)
    live.changed(image)
    return _reload(image)


def update(ctx: RequestContext, image: Image, changes: Changes) -> Image:
    """The image with the changes made, all of them or none."""
    values = {field: fields.check(field, value) for field, value in changes.items() if field not in _LISTS}
    with transaction.atomic():
        row = _locked(ctx, "modify_image", image)
        before = live.audience(row)
        values = {field: value for field, value in values.items() if getattr(row, field) != value}
        _require_change(ctx, row, values)
        for field, value in values.items():
            setattr(row, field, value)
        if "properties_set" in changes or "properties_removed" in changes:
            _write_properties(row, changes.get("properties_set", {}), changes.get("properties_removed", ()))
        if "tags" in changes:
            _write_tags(row, changes["tags"])
        if changes:
            row.updated_at = timezone.now()
            row.save(update_fields=[*values, "updated_at"])
        if "visibility" in values:
            Job.objects.of("image", row.pk).live().update(everyone=row.visibility == Visibility.PUBLIC)
    live.changed(row, before)
    return _reload(row)


def delete(ctx: RequestContext, image: Image) -> None:
    """Remove the image in whatever state it is: its data, its upload, its running work. Only the id is kept, so that none reuses it."""
    with transaction.atomic():
        row = _locked(ctx, "delete_image", image)
        if row.protected:
            raise Forbidden(_("Image %s is protected and cannot be deleted.") % row.pk)
        audience = live.audience(row)
        LIFECYCLE.move(row, Status.DELETED, deleted_at=timezone.now())
        row.properties.all().delete()
        row.tags.all().delete()
        _stop_work(ctx, row)
        blobs.release(row)
    live.changed(row, audience)


def deactivate(ctx: RequestContext, image: Image) -> Image:
    """Close the image's data to everyone but administrators; it stays listed."""
    return _switch(ctx, image, "deactivate", Status.DEACTIVATED)


def reactivate(ctx: RequestContext, image: Image) -> Image:
    """Open the image's data again."""
    return _switch(ctx, image, "reactivate", Status.ACTIVE)


def add_tag(ctx: RequestContext, image: Image, tag: str) -> Image:
    """Put a tag on the image; one it has already stays."""
    with transaction.atomic():
        row = _locked(ctx, "modify_image", image)
        _write_tags(row, [*row.tags.values_list("value", flat=True), tag])
        _touch(row)
    live.changed(row)
    return _reload(row)


def remove_tag(ctx: RequestContext, image: Image, tag: str) -> Image:
    """Take a tag off; NotFound when the image has no such tag."""
    with transaction.atomic():
        row = _locked(ctx, "modify_image", image)
        if not row.tags.filter(value=fields.text("tag", tag)).delete()[0]:
            raise NotFound(_("The image has no tag “%s”.") % fields.shown(tag))
        _touch(row)
    live.changed(row)
    return _reload(row)


# -- parts ----------------------------------------------------------------------------------------------------------


def _uuid(value: UUID | str) -> UUID:
    """An image id; what cannot be one belongs to no image."""
    if isinstance(value, UUID):
        return value
    try:
        found = UUID(value)
    except ValueError:
        raise policy.not_found(fields.shown(value)) from None
    if str(found) != value.lower():  # UUID() also takes braces, urn: and missing dashes
        raise policy.not_found(fields.shown(value))
    return found


def _chosen(value: UUID | str) -> UUID:
    try:
        return _uuid(value)
    except NotFound:
        raise InvalidValue(field="id", reason=_("this must be a UUID.")) from None


def _locked(ctx: RequestContext, rule: str, image: Image) -> Image:
    """The row as it is now, held until the end of the transaction; the rule is asked about this one, not about what was read before."""
    row = Image.objects.alive().select_for_update().filter(pk=image.pk).first()
    if row is None:
        raise policy.not_found(image.pk)
    policy.require(ctx, rule, row)
    return row


def _reload(image: Image) -> Image:
    return Image.objects.with_details().get(pk=image.pk)


def _touch(row: Image) -> None:
    row.updated_at = timezone.now()
    row.save(update_fields=["updated_at"])


def _require_change(ctx: RequestContext, row: Image, values: Mapping[str, Any]) -> None:
    """What is decided field by field: owner, visibility, formats."""
    if "owner" in values and not ctx.is_admin:
        raise Forbidden(_("Owner can't be updated by non admin."))
    if "visibility" in values:
        _require_visibility(ctx, row, values["visibility"])
    for field in ("disk_format", "container_format"):
        if field in values and row.status != Status.QUEUED:
            raise Forbidden(_("Attribute %s can be only replaced for a queued image.") % field)


def _require_visibility(ctx: RequestContext, image: Image, visibility: str) -> None:
    rule = {Visibility.PUBLIC: "publicize_image", Visibility.COMMUNITY: "communitize_image"}.get(Visibility(visibility))
    if rule:
        policy.require(ctx, rule, image)


def _write_properties(image: Image, given: Mapping[str, str], removed: Collection[str]) -> None:
    wanted = fields.check_properties(given)
    present = set(image.properties.values_list("name", flat=True))
    for name in removed:
        fields.check_property_name(name)
    gone = (present & set(removed)) - set(wanted)
    kept = (present - gone) | set(wanted)
    if len(kept) > len(present):
        fields.require_number(
            kept, settings.IMAGE_PROPERTY_QUOTA, _("Maximum number of properties is %(limit)s; the image would have %(number)s.")
        )
    image.properties.filter(name__in=gone).delete()
    rows = [ImageProperty(image=image, name=name, value=value) for name, value in wanted.items()]
    ImageProperty.objects.bulk_create(rows, update_conflicts=True, unique_fields=["image", "name"], update_fields=["value"])


def _write_tags(image: Image, given: Sequence[str]) -> None:
    wanted = fields.check_tags(given)
    present = set(image.tags.values_list("value", flat=True))
    if len(wanted) > len(present):
        fields.require_number(wanted, settings.IMAGE_TAG_QUOTA, _("Maximum number of tags is %(limit)s; the image would have %(number)s."))
    image.tags.filter(value__in=present - set(wanted)).delete()
    ImageTag.objects.bulk_create([ImageTag(image=image, value=tag) for tag in wanted if tag not in present], ignore_conflicts=True)


def _switch(ctx: RequestContext, image: Image, verb: str, target: Status) -> Image:
    source = Status.ACTIVE if target == Status.DEACTIVATED else Status.DEACTIVATED
    with transaction.atomic():
        row = _locked(ctx, verb, image)
        if row.status == target:
            return _reload(row)
        if row.status != source:
            raise Forbidden(_("Not allowed to %(verb)s image in status '%(status)s'.") % {"verb": verb, "status": row.status})
        LIFECYCLE.move(row, target, only_from={source})
    live.changed(row)
    return _reload(row)


def _stop_work(ctx: RequestContext, image: Image) -> None:
    """End the image's jobs and take back what was on its way. Who may delete the image may do this, whoever began the work."""
    ids = [image.pk, *Upload.objects.filter(image=image).values_list("pk", flat=True)]
    Upload.objects.filter(image=image).delete()
    for job in Job.objects.of("image", image.pk).live():
        message = _("The image was deleted by {name}.").format(name=ctx.user_name or ctx.user_id)
        Job.objects.filter(pk=job.pk).update(cancel_requested=True, message=message)
        if job.status in {JobStatus.WAITING, JobStatus.QUEUED}:
            jobs.start(job)
    transaction.on_commit(lambda: _clear_staging(ids), robust=True)


def _clear_staging(ids: Collection[UUID]) -> None:
    for found in ids:
        staging.remove(found)
