"""What the pages of this room have in common: fetching within what may be seen, dressing images for a viewer, going back."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.urls import reverse

from dashboard.core.context import RequestContext
from dashboard.core.http import Request
from dashboard.identity import services as identity
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Job
from images.models import Image
from images.presentation import ImageView, follow
from images.services.actions import actions

LIST_KEY = "images.list"


def latest_jobs(ids: Iterable[UUID]) -> dict[str, Job]:
    """The latest job of each image, by the image's id as text."""
    return jobs.latest_for("image", ids)


def present(ctx: RequestContext, images: Sequence[Image], *, query: str = "") -> list[ImageView]:
    """The images as this viewer sees them, in a fixed number of queries."""
    latest = latest_jobs([image.id for image in images]) if images else {}
    strangers = {image.owner for image in images} - {ctx.project_id}
    owners = identity.project_names(strangers) if strangers else {}
    owners[ctx.project_id or ""] = ctx.project_name
    views = []
    for image in images:
        job = follow(ctx, image, latest.get(str(image.id)))
        views.append(ImageView(image, ctx, job, owners.get(image.owner, ""), actions(ctx, image, job), query))
    return views


def remember_list(request: Request, url: str) -> None:
    """Keep where the viewer left the list, so that the way back leads there."""
    request.session[LIST_KEY] = url


def list_url(request: Request) -> str:
    return str(request.session.get(LIST_KEY) or reverse("images:list"))


def back(request: Request, image_id: Any = None) -> str:
    """Where to go after an action: the image's page when the button stood there, else the list."""
    if image_id is not None and request.POST.get("next") == "detail":
        return reverse("images:detail", args=[image_id])
    return list_url(request)
