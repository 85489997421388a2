"""An image as Glance writes it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from images.models import Image

ROOT = "/v2"  # relative to the endpoint, as Glance has it: clients put the endpoint in front
_PLAIN = (
    *("name", "disk_format", "container_format", "visibility", "size", "virtual_size", "status", "checksum", "protected"),
    *("min_ram", "min_disk", "owner", "os_hidden", "os_hash_algo", "os_hash_value"),
)


def image(image: Image) -> dict[str, Any]:
    """One image; its properties, tags and locations should be prefetched. Custom properties stand at the top level."""
    body: dict[str, Any] = {p.name: p.value for p in image.properties.all()}
    body.update({field: getattr(image, field) for field in _PLAIN})
    body.update(
        id=str(image.id),
        created_at=time(image.created_at),
        updated_at=time(image.updated_at),
        tags=[tag.value for tag in image.tags.all()],
        self=f"{ROOT}/images/{image.id}",
        file=f"{ROOT}/images/{image.id}/file",
        schema=f"{ROOT}/schemas/image",
    )
    if stores := list(dict.fromkeys(location.blob.store for location in image.locations.all())):
        body["stores"] = ",".join(stores)
    return body


def images(found: Iterable[Image], links: dict[str, str]) -> dict[str, Any]:
    """A page of images."""
    return {"images": [image(one) for one in found], **links, "schema": f"{ROOT}/schemas/images"}


def time(moment: datetime) -> str:
    """Whole seconds, in UTC: 2026-01-01T00:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
