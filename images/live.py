"""Who hears that an image changed."""

from collections.abc import Iterable

from dashboard.jobs import live
from images.models import Image, Visibility


def audience(image: Image) -> set[str]:
    """The groups of those who may see the image: its project and the administrators, everyone when it is public."""
    groups = {f"project.{image.owner}", "admins"}
    return groups | {"everyone"} if image.visibility == Visibility.PUBLIC else groups


def changed(image: Image, before: Iterable[str] = ()) -> None:
    """Have every page that shows the image fetch it again, once the present transaction is committed.

    `before` is who could see it until now, when that may have changed.
    """
    live.changed(f"image.{image.pk}", audience(image).union(before))
