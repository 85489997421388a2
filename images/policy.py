"""Who may do what with an image: Glance's rule names and its defaults of today, and the refusals that follow from them.

Invisible is NotFound, in the same words as an id that never existed; visible but not allowed is Forbidden.
"""

from uuid import UUID

from django.utils.translation import gettext as _

from dashboard.core import policy
from dashboard.core.context import RequestContext
from dashboard.core.errors import Forbidden, NotFound
from images.models import Image

_ADMIN_OR_MEMBER = "rule:context_is_admin or (role:member and project_id:%(project_id)s)"
# Glance's text admits every image whose visibility is `shared` and leaves membership to its query; here the rule asks itself.
_SEEN = "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s)"

RULES = {
    "get_images": "rule:context_is_admin or (role:reader and project_id:%(project_id)s)",
    "get_image": f"rule:context_is_admin or (role:reader and {_SEEN})",
    "add_image": "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
    "modify_image": _ADMIN_OR_MEMBER,
    "publicize_image": "rule:context_is_admin",
    "communitize_image": _ADMIN_OR_MEMBER,
    "delete_image": _ADMIN_OR_MEMBER,
    "upload_image": _ADMIN_OR_MEMBER,
    "download_image": f"rule:context_is_admin or (role:member and {_SEEN})",
    "deactivate": _ADMIN_OR_MEMBER,
    "reactivate": _ADMIN_OR_MEMBER,
}
policy.register(RULES)

why = policy.why


def allows(ctx: RequestContext, action: str, image: Image | None = None) -> bool:
    """Whether rule `action` lets the asker act on the image; `add_image` asks about one not saved yet, `get_images` about none."""
    return policy.allows(ctx, action, _target(ctx, image))


def require(ctx: RequestContext, action: str, image: Image | None = None) -> None:
    """Raise NotFound when the asker may not even see the image, Forbidden when the rule says no."""
    if allows(ctx, action, image):
        return
    if image is not None and image.pk and not image._state.adding and not allows(ctx, "get_image", image):
        raise not_found(image.pk)
    raise Forbidden(policy.why(action), rule=action)


def not_found(image_id: UUID | str) -> NotFound:
    """The same answer for an image that never was, was deleted, or belongs to somebody else."""
    return NotFound(_("No image found with ID %s.") % image_id)


def _target(ctx: RequestContext, image: Image | None) -> dict[str, object]:
    target = image.target() if image is not None else {"project_id": ctx.project_id, "owner": ctx.project_id}
    # An absent key matches nothing; a None would match the project of an unscoped token.
    return {name: value for name, value in target.items() if value is not None}
