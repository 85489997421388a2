"""Bytes that were staged by the API: they lie in staging under the image's id."""

from uuid import UUID

from django.utils.translation import gettext as _

from dashboard.core.errors import Conflict
from images.models import Image
from images.uploads import staging


def fetch(image: Image) -> UUID:
    """The owner of the staging file, which must be there."""
    if not staging.path(image.pk).exists():
        raise Conflict(_("There is no staged data for this image. Stage it first."))
    return image.pk
