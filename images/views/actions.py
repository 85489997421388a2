"""What is done to images with one button: delete one or many, deactivate, reactivate; each asks first, and works as a page too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.core.http import Request, page, redirect
from dashboard.identity.decorators import signed_in
from images import policy
from images.models import Image
from images.presentation import ImageView
from images.services import catalogue
from images.views.detail import look_at
from images.views.shared import back, list_url, present

MOST = 1000  # images one bulk request may name


@dataclass(frozen=True)
class Question:
    """What a confirmation asks, and the verb on its button."""

    title: str
    text: str
    button: str
    danger: bool = False


@dataclass(frozen=True)
class Deed:
    """What the button does, under the name of its action, and what is said when it is done."""

    action: str
    act: Callable[[RequestContext, Image], Any]
    done: str


@require_http_methods(["GET", "POST"])
@signed_in
def delete(request: Request, image_id: UUID) -> HttpResponse:
    """Ask, then delete one image."""
    view = look_at(request, image_id)
    question = Question(
        _("Delete “%(name)s”?") % {"name": view.title},
        _("Its data and its record are gone for good. The ID is never used again."),
        _("Delete image"),
        danger=True,
    )
    deed = Deed("delete", catalogue.delete, _("“%(name)s” was deleted.") % {"name": view.title})
    return _ask_then(request, view, question, deed, leads_to=list_url(request))


@require_http_methods(["GET", "POST"])
@signed_in
def deactivate(request: Request, image_id: UUID) -> HttpResponse:
    """Ask, then close an image's data."""
    view = look_at(request, image_id)
    question = Question(
        _("Deactivate “%(name)s”?") % {"name": view.title},
        _("It stays listed, but nobody except an administrator can use or download its data until it is reactivated."),
        _("Deactivate image"),
    )
    deed = Deed("deactivate", catalogue.deactivate, _("“%(name)s” is deactivated.") % {"name": view.title})
    return _ask_then(request, view, question, deed)


@require_http_methods(["GET", "POST"])
@signed_in
def reactivate(request: Request, image_id: UUID) -> HttpResponse:
    """Ask, then open an image's data again."""
    view = look_at(request, image_id)
    question = Question(
        _("Reactivate “%(name)s”?") % {"name": view.title},
        _("Everyone who sees it can use and download its data again."),
        _("Reactivate image"),
    )
    deed = Deed("reactivate", catalogue.reactivate, _("“%(name)s” is active again.") % {"name": view.title})
    return _ask_then(request, view, question, deed)


@require_safe
@signed_in
def why(request: Request, image_id: UUID) -> HttpResponse:
    """Why the latest work on an image did not succeed, and what can be done now."""
    view = look_at(request, image_id)
    if not view.failed:
        raise Http404
    return page(request, "images/why.html", {"view": view}, partial="images/_why.html")


@require_POST
@signed_in
def delete_many(request: Request) -> HttpResponse:
    """Say what of the selection will go and what is refused, and why; once confirmed, delete what may go."""
    ids = _selected(request)
    if not ids or len(ids) > MOST:
        text = _("Select at most %(most)s images at a time.") % {"most": MOST} if ids else _("Select the images first.")
        return redirect(request, list_url(request), toast=text, level="warning")
    images = Image.objects.visible_to(request.ctx).prefetch_related("properties").filter(pk__in=ids).order_by("name", "id")
    views = present(request.ctx, [image for image in images if policy.allows(request.ctx, "get_image", image)])
    if "confirmed" in request.POST:
        return _delete_all(request, views, missing=len(ids) - len(views))
    going = [view for view in views if view.actions["delete"].allowed]
    context = {
        "going": going,
        "staying": [view for view in views if not view.actions["delete"].allowed],
        "missing": len(ids) - len(views),
        "freed": sum(view.image.size or 0 for view in going),
        "ids": ",".join(str(view.image.id) for view in going),
        "list_url": list_url(request),
    }
    return page(request, "images/delete_many.html", context, partial="images/_delete_many.html")


def _delete_all(request: Request, views: list[ImageView], *, missing: int) -> HttpResponse:
    """Delete one by one: what has changed since the question keeps its image, not the others."""
    gone, refused = 0, []
    for view in views:
        try:
            catalogue.delete(request.ctx, view.image)
            gone += 1
        except errors.NotFound:
            missing += 1
        except errors.Error as error:
            refused.append(f"{view.title}: {error}")
    text = ngettext("%(n)s image deleted.", "%(n)s images deleted.", gone) % {"n": gone}
    if missing:
        text += " " + ngettext("%(n)s was gone already.", "%(n)s were gone already.", missing) % {"n": missing}
    if refused:
        text += " " + _("Not deleted: %(names)s") % {"names": "; ".join(refused[:5]) + ("; …" if len(refused) > 5 else "")}
    return redirect(request, list_url(request), toast=text, level="warning" if refused else "success")


def _selected(request: Request) -> list[UUID]:
    """The ids of the selection, each once; what is no id is left out."""
    found: dict[UUID, None] = {}
    for text in ",".join(request.POST.getlist("ids")).split(","):
        try:
            found[UUID(text.strip())] = None
        except ValueError:
            continue
    return list(found)


def _ask_then(request: Request, view: ImageView, question: Question, deed: Deed, *, leads_to: str = "") -> HttpResponse:
    """GET asks; POST does it and leads on with a toast, or back with the reason of the refusal."""
    if request.method == "POST":
        try:
            deed.act(request.ctx, view.image)
        except errors.NotFound as error:
            raise Http404(str(error)) from error
        except errors.Error as error:
            return redirect(request, back(request, view.image.id), toast=str(error), level="danger")
        return redirect(request, leads_to or back(request, view.image.id), toast=deed.done)
    origin = "detail" if request.GET.get("next") == "detail" else "list"
    context = {
        "view": view,
        "question": question,
        "may": view.actions[deed.action],
        "url": reverse(f"images:{deed.action}", args=[view.image.id]),
        "next": origin,
        "back_url": reverse("images:detail", args=[view.image.id]) if origin == "detail" else list_url(request),
    }
    return page(request, "images/confirm.html", context, partial="images/_confirm.html")
