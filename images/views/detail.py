"""One image: everything known about it, its journey, its history; and the form that changes it."""

from typing import Any, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.core import errors
from dashboard.core.http import Request, page, redirect
from dashboard.identity import services as identity
from dashboard.identity.decorators import signed_in
from dashboard.jobs import labels
from dashboard.jobs.models import Job
from images import policy
from images.forms.edit import EditForm
from images.forms.record import PROPERTIES
from images.models import Image
from images.presentation import ImageView, follow, journey
from images.services import catalogue
from images.services.actions import actions
from images.views.shared import latest_jobs, list_url

TABS = ("overview", "properties", "history")
HISTORY_LENGTH = 50


@require_safe
@signed_in
def detail(request: Request, image_id: UUID) -> HttpResponse:
    """The page of an image, or for htmx only what changes on it."""
    view = look_at(request, image_id)
    tab = request.GET.get("tab", TABS[0])
    tab = tab if tab in TABS else TABS[0]
    context = {"view": view, "tab": tab, "list_url": list_url(request), "here": here(view, tab), **_counts(view)}
    if tab == "history":
        context["history"] = [_chapter(job) for job in _history(view)[:HISTORY_LENGTH] if follow(request.ctx, view.image, job)]
    return page(request, "images/detail.html", context, partial="images/_detail.html")


@require_http_methods(["GET", "POST"])
@signed_in
def edit(request: Request, image_id: UUID) -> HttpResponse:
    """Change what may be changed in the state the image is in; only what was changed in the form is written."""
    view = look_at(request, image_id)
    if not view.actions["edit"].allowed:
        raise PermissionDenied(view.actions["edit"].reason)
    if request.method == "GET":
        return _form_page(request, view, EditForm(ctx=request.ctx, view=view))
    form = EditForm(request.POST, ctx=request.ctx, view=view)
    if not form.is_valid():
        return _form_page(request, view, form, status=422)
    changed = form.changed()
    try:
        if changed:
            catalogue.update(request.ctx, view.image, _changes(changed))
    except errors.NotFound as error:
        raise Http404(str(error)) from error
    except errors.Error as error:
        field = str(error.fields.get("field", ""))
        form.add_error(field if field in form.fields else None, str(error.fields.get("reason") or error))
        return _form_page(request, view, form, status=422)
    toast = _("“%(name)s” is saved.") % {"name": view.title} if changed else _("Nothing was changed.")
    return redirect(request, reverse("images:detail", args=[image_id]), toast=toast, level="success" if changed else "info")


def look_at(request: Request, image_id: UUID) -> ImageView:
    """The image as this viewer sees it, with all its parts; 404 when it is not to be seen."""
    image = Image.objects.visible_to(request.ctx).with_details().filter(pk=image_id).first()
    if image is None or not policy.allows(request.ctx, "get_image", image):
        raise Http404
    job = follow(request.ctx, image, latest_jobs([image.id]).get(str(image.id)))
    return ImageView(image, request.ctx, job, identity.project_name(image.owner), actions(request.ctx, image, job))


def here(view: ImageView, tab: str) -> str:
    """The URL of a tab of this page."""
    url = reverse("images:detail", args=[view.image.id])
    return url if tab == TABS[0] else f"{url}?tab={tab}"


def _history(view: ImageView) -> Any:
    """The jobs of the image that this viewer may follow, newest first."""
    jobs = Job.objects.of("image", view.image.id).order_by("-created_at", "-id")
    return jobs if view.own or view.ctx.is_admin else jobs.filter(everyone=True)


def _chapter(job: Job) -> dict[str, Any]:
    took = job.finished_at - job.created_at if job.finished_at else None
    return {"job": job, "steps": journey(job), "took": took, "label": labels.kind(job.kind)}


def _counts(view: ImageView) -> dict[str, Any]:
    return {"property_count": len(view.properties), "history_count": _history(view).count()}


def _form_page(request: Request, view: ImageView, form: EditForm, *, status: int = 200) -> HttpResponse:
    return page(request, "images/edit.html", {"view": view, "form": form}, status=status)


def _changes(changed: dict[str, Any]) -> catalogue.Changes:
    """What the form found changed, in the catalogue's words: an emptied property is removed."""
    fields = {name: value for name, value in changed.items() if name not in PROPERTIES}
    for nullable in ("name", "disk_format"):
        if fields.get(nullable) == "":
            fields[nullable] = None
    given = {name: changed[name] for name in PROPERTIES if name in changed}
    if kept := {name: value for name, value in given.items() if value}:
        fields["properties_set"] = kept
    if emptied := [name for name, value in given.items() if not value]:
        fields["properties_removed"] = emptied
    return cast(catalogue.Changes, fields)
