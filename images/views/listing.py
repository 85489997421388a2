"""The list of images: whose, found how, in which order."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from dashboard.core.context import RequestContext
from dashboard.core.http import Request, page
from dashboard.core.listing import Filter, Listing, Table
from dashboard.identity.decorators import signed_in
from images import policy
from images.models import Image, ImageProperty, ImageTag, Visibility
from images.presentation import FAILED
from images.states import Status
from images.views.shared import latest_jobs, present, remember_list

SCOPES = ("mine", "public", "all")
SNAPSHOT = ImageProperty.objects.filter(image=OuterRef("pk")).filter(
    Q(name="image_type", value="snapshot") | Q(name="block_device_mapping")
)
LOOKED_AT = 1000  # queued images whose last job is read to answer "which ones failed"


def search(queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Images whose name or a tag contains the text, or whose id begins with it."""
    found = Q(name__icontains=text) | Q(Exists(ImageTag.objects.filter(image=OuterRef("pk"), value__icontains=text)))
    if re.fullmatch(r"[0-9a-fA-F-]{4,36}", text):
        found |= Q(id__istartswith=text)
    return queryset.filter(found)


def of_status(queryset: QuerySet[Any], status: str) -> QuerySet[Any]:
    """By status; "failed" are those without data whose last job did not succeed, and "queued" the others without data."""
    if status not in {"failed", Status.QUEUED}:
        return queryset.filter(status=status)
    waiting = queryset.filter(status=Status.QUEUED)
    ids = list(waiting.order_by("-updated_at").values_list("id", flat=True)[:LOOKED_AT])
    failed = [UUID(key) for key, job in latest_jobs(ids).items() if job.status in FAILED]
    return waiting.filter(id__in=failed) if status == "failed" else waiting.exclude(id__in=failed)


def of_kind(queryset: QuerySet[Any], kind: str) -> QuerySet[Any]:
    return queryset.filter(Exists(SNAPSHOT) if kind == "snapshot" else ~Exists(SNAPSHOT))


def _statuses() -> Sequence[tuple[str, Any]]:
    shown = [Status.ACTIVE, Status.QUEUED, Status.SAVING, Status.UPLOADING, Status.IMPORTING, Status.DEACTIVATED]
    return [*((s.value, _("No data yet") if s is Status.QUEUED else s.label) for s in shown), ("failed", _("Failed"))]


TABLE = Table(
    sorts={
        "name": "name",
        "status": "status",
        "visibility": "visibility",
        "format": "disk_format",
        "size": "size",
        "updated": "updated_at",
    },
    default_sort="name",
    search=search,
    keep=("tab",),
    filters=(
        Filter("status", _("Status"), _statuses, apply=of_status),
        Filter("visibility", _("Visibility"), lambda: Visibility.choices),
        Filter("format", _("Format"), lambda: [(f, f.upper()) for f in settings.DISK_FORMATS], field="disk_format"),
        Filter("type", _("Type"), lambda: [("image", _("Image")), ("snapshot", _("Snapshot"))], apply=of_kind),
    ),
)


def scoped(ctx: RequestContext, scope: str) -> QuerySet[Image]:
    """The images of a tab: the project's own, the public ones, or (for administrators) all."""
    images = Image.objects.visible_to(ctx)
    if scope == "public":
        return images.filter(visibility=Visibility.PUBLIC, os_hidden=False)
    return images if scope == "all" and ctx.is_admin else images.filter(owner=ctx.project_id)


def counts(ctx: RequestContext) -> dict[str, int]:
    """How many images each tab holds, and the bytes the project's own take."""
    own, public = Q(owner=ctx.project_id), Q(visibility=Visibility.PUBLIC, os_hidden=False)
    found = Image.objects.visible_to(ctx).filter(own | public)
    return found.aggregate(mine=Count("id", filter=own), public=Count("id", filter=public), bytes=Sum("size", filter=own, default=0))


@require_safe
@signed_in
def images(request: Request) -> HttpResponse:
    """The project's images, or the public ones."""
    policy.require(request.ctx, "get_images")
    scope = "public" if request.GET.get("tab") == "public" else "mine"
    totals = counts(request.ctx)
    listing = Listing(
        TABLE,
        request.GET,
        scoped(request.ctx, scope),
        path=reverse("images:list"),
        page_size=request.user.page_size,  # type: ignore[union-attr]
        known_total=totals[scope],
    )
    return _answer(request, listing, scope, totals)


@require_safe
@signed_in
def everything(request: Request) -> HttpResponse:
    """Every project's images, for administrators."""
    if not request.ctx.is_admin:
        raise PermissionDenied
    policy.require(request.ctx, "get_images")
    rows = scoped(request.ctx, "all")
    size = request.user.page_size  # type: ignore[union-attr]
    totals = rows.aggregate(all=Count("id"), bytes=Sum("size", default=0))
    listing = Listing(TABLE, request.GET, rows, path=reverse("images:all"), page_size=size, known_total=totals["all"])
    return _answer(request, listing, "all", totals)


@require_safe
@signed_in
def row(request: Request, image_id: UUID) -> HttpResponse:
    """One row, for a page that was told the image changed; 404 when it is not (any more) in that tab or not to be seen."""
    scope = request.GET.get("tab", "mine")
    scope = scope if scope in SCOPES else "mine"
    policy.require(request.ctx, "get_images")
    image = scoped(request.ctx, scope).prefetch_related("properties").filter(pk=image_id).first()
    if image is None:
        raise Http404
    [view] = present(request.ctx, [image])
    return page(request, "images/_row.html", {"row": view, "scope": scope})


def _answer(request: Request, listing: Listing[Image], scope: str, totals: dict[str, int]) -> HttpResponse:
    related = ["properties", "tags"] if listing.query else ["properties"]
    listing.matching = listing.matching.prefetch_related(*related)
    views = present(request.ctx, listing.rows, query=listing.query)
    remember_list(request, listing.here)
    quota = settings.QUOTAS["image_size_total"]
    context = {
        "listing": listing,
        "rows": views,
        "scope": scope,
        "totals": totals,
        "create_refused": "" if policy.allows(request.ctx, "add_image") else policy.why("add_image"),
        "quota_bytes": quota * 2**20 if quota >= 0 else None,
    }
    part = "head" if request.htmx.target == "image-head" else "table"
    return page(request, "images/list.html", context, partial=f"images/_{part}.html")
