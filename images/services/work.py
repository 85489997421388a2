"""Jobs that give an image its data: what they are asked for, what they will do, and whether who began them may still do it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from dashboard.core import qemu_img
from dashboard.core.context import RequestContext
from dashboard.core.errors import BadRequest, Forbidden, Unauthenticated
from dashboard.identity import services as identity
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Job
from images import policy
from images.models import Image, Visibility


def open_job(
    ctx: RequestContext,
    image: Image,
    kind: str,
    plan: Sequence[str],
    arguments: dict[str, Any],
    *,
    total: int | None = None,
    waiting: bool = False,
) -> Job:
    """Record work on the image, under its name; who may see the image may follow it."""
    return jobs.open_job(
        ctx,
        kind,
        title=image.name or arguments.get("filename") or str(image.pk),
        subject_type="image",
        subject_id=image.pk,
        plan=plan,
        total=total,
        arguments=arguments,
        everyone=image.visibility == Visibility.PUBLIC,
        waiting=waiting,
    )


def plan(arguments: Mapping[str, Any]) -> list[str]:
    """The steps an import with these arguments will take, in order."""
    first = {"web-download": ["download"], "tus": ["send"]}.get(arguments["method"], [])
    verify = ["verify"] if arguments.get("expected") else []
    convert = ["convert"] if arguments.get("target_format") else []
    return [*first, *verify, "inspect", *convert, "hash", "store", "activate"]


def target_format(name: str | None) -> str | None:
    """The format to convert to, None for none; BadRequest when there is no such conversion."""
    if name and name not in qemu_img.TARGETS:
        raise BadRequest(_("Images cannot be converted to '{name}'."), name=name[:40])
    return name or None


def authorise(user_id: str, project_id: str, image: Image) -> None:
    """Raise Forbidden unless this person may still give the image data: long work may outlive the login, but not the account or role."""
    try:
        ctx = identity.context_of(user_id, project_id)
    except Unauthenticated:
        raise Forbidden(_("The person who began this may no longer act in the project.")) from None
    policy.require(ctx, "upload_image", image)
