"""Pages on which an image gets its bytes: create, choose another source, retry, cancel, throw away.

A form is sent once per file by the page's script, which asks for JSON and then sends the bytes to the data plane; a URL
is sent as a plain form and works without a script.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import NON_FIELD_ERRORS
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.core import errors
from dashboard.core.http import Request, add_toast, page, redirect, wants_partial
from dashboard.identity.decorators import signed_in
from images import policy
from images.forms.create import CreateForm, SourceForm
from images.models import Image
from images.presentation import ImageView
from images.services import catalogue, imports, quotas, uploads
from images.views.actions import Question
from images.views.detail import look_at
from images.views.shared import back, list_url

MOST_FILES = 100  # in one pre-flight question


@require_http_methods(["GET", "POST"])
@signed_in
def create(request: Request) -> HttpResponse:
    """A new image from a file or a URL."""
    refused = "" if policy.allows(request.ctx, "add_image") else policy.why("add_image")
    form = CreateForm(request.POST if request.method == "POST" else None, ctx=request.ctx)

    def make() -> HttpResponse:
        with transaction.atomic():  # a refused source leaves no record behind
            return _attach(request, form, catalogue.create(request.ctx, **form.image_fields()))

    def show(status: int) -> HttpResponse:
        return page(request, "images/create.html", {"form": form, "refused": refused}, status=status)

    if request.method == "GET":
        return show(403 if refused else 200)
    return _answer(request, form, make, show)


@require_http_methods(["GET", "POST"])
@signed_in
def upload(request: Request, image_id: UUID) -> HttpResponse:
    """Bytes for an image that has none: the first ones, or another source after a failure."""
    view = look_at(request, image_id)
    if request.method == "GET" and _wants_json(request):
        return JsonResponse(_state(view))
    form = SourceForm(request.POST if request.method == "POST" else None, ctx=request.ctx)

    def attach() -> HttpResponse:
        changes = form.changes(view.image)
        with transaction.atomic():
            image = catalogue.update(request.ctx, view.image, changes) if changes else view.image
            return _attach(request, form, image)

    def show(status: int) -> HttpResponse:
        return page(request, "images/upload.html", {"form": form, "view": view, "may": view.actions["upload"]}, status=status)

    return show(200) if request.method == "GET" else _answer(request, form, attach, show)


@require_GET
@signed_in
def preflight(request: Request, image_id: UUID | None = None) -> HttpResponse:
    """Whether files of these sizes would be taken, before the first byte: JSON for the forms.

    `size` and `virtual_size` repeat, once per file. All of them together are judged as well. Each becomes a new image,
    unless it is for the image of `image_id`.
    """
    if image_id:
        look_at(request, image_id)
    try:
        sizes = [_bytes(size) for size in request.GET.getlist("size")][:MOST_FILES]
        virtual = [_bytes(size) if size else None for size in request.GET.getlist("virtual_size")]
    except ValueError:
        return JsonResponse({"message": _("Sizes are whole numbers of bytes.")}, status=400)
    target = request.GET.get("target_format") or None
    virtual += [None] * (len(sizes) - len(virtual))
    files = list(zip(sizes, virtual, strict=False))
    ask = partial(quotas.preflight, request.ctx, target_format=target, new=image_id is None)
    problems = [ask([file]) for file in files]
    together = ask(files) if len(files) > 1 and not any(problems) else []
    return JsonResponse({"ok": not any(problems) and not together, "files": problems, "together": together})


@require_POST
@signed_in
def retry(request: Request, image_id: UUID) -> HttpResponse:
    """Fetch again from the same URL; sent files have to be chosen again."""
    view = look_at(request, image_id)
    try:
        imports.retry(request.ctx, view.image)
    except errors.Error as refusal:
        if isinstance(refusal, errors.Conflict) and view.actions["upload"].allowed:
            return _go(request, reverse("images:upload", args=[view.image.id]), str(refusal), "info")
        return _back(request, view, str(refusal), refusal.status)
    return _back(request, view, _("Trying “%(name)s” again.") % {"name": view.title})


@require_POST
@signed_in
def cancel(request: Request, image_id: UUID) -> HttpResponse:
    """Stop what is under way; the record stays."""
    view = look_at(request, image_id)
    try:
        imports.cancel(request.ctx, view.image)
    except errors.Error as refusal:
        return _back(request, view, str(refusal), refusal.status)
    return _back(request, view, _("Cancelling “%(name)s”.") % {"name": view.title})


@require_http_methods(["GET", "POST"])
@signed_in
def throw_away(request: Request, image_id: UUID) -> HttpResponse:
    """The record of an image that never got its bytes goes, after a question."""
    view = look_at(request, image_id)
    if request.method == "GET":
        question = Question(
            _("Throw “%(name)s” away?") % {"name": view.title},
            _("The record goes, with everything typed into it. It holds no data."),
            _("Throw away"),
            danger=True,
        )
        context = {
            "view": view,
            "question": question,
            "may": view.actions["throw_away"],
            "url": reverse("images:throw-away", args=[view.image.id]),
            "back_url": reverse("images:detail", args=[view.image.id]),
        }
        return page(request, "images/confirm.html", context, partial="images/_confirm.html")
    try:
        imports.throw_away(request.ctx, view.image)
    except errors.Error as refusal:
        return _back(request, view, str(refusal), refusal.status)
    gone = _("“%(name)s” was thrown away.") % {"name": view.title}
    return JsonResponse({"message": gone}) if _wants_json(request) else _go(request, list_url(request), gone)


def _attach(request: Request, form: SourceForm, image: Image) -> HttpResponse:
    """Begin to fetch the URL, or make the upload the page's script will send the file to."""
    data = form.cleaned_data
    target = data["target_format"] or None
    if form.from_url:
        imports.start(request.ctx, image, {"name": "web-download", "uri": data["url"]}, target_format=target, expected=form.expected)
        return redirect(request, list_url(request), toast=_("“%(name)s” is being fetched.") % {"name": image}, level="info")
    upload, grant = uploads.create(
        request.ctx, image, length=data["length"], filename=data["filename"], target_format=target, expected=form.expected
    )
    return JsonResponse(
        {
            "image": {"id": str(image.id), "name": str(image)},
            "upload": {"id": str(upload.id), "url": f"/uploads/{upload.id}", "grant": grant, "length": upload.length},
            "job": str(upload.job_id),
            "next": list_url(request),
        },
        status=201,
    )


def _answer(request: Request, form: SourceForm, act: Callable[[], HttpResponse], again: Callable[[int], HttpResponse]) -> HttpResponse:
    """What `act` answers for a valid form; else the form once more, with what is wrong in it and nothing typed lost."""
    status = 422
    if form.is_valid():
        try:
            return act()
        except errors.InvalidValue as error:
            field = str(error.fields.get("field", ""))
            form.add_error(field if field in form.fields else None, str(error.fields.get("reason") or error))
        except errors.Error as error:
            form.add_error("url" if form.from_url and isinstance(error, errors.BadRequest | errors.Forbidden) else None, str(error))
            status = error.status
    if not _wants_json(request):
        return again(status)
    wrong = {"" if name == NON_FIELD_ERRORS else name: [str(m) for m in messages] for name, messages in form.errors.items()}
    return JsonResponse({"errors": wrong, "message": " ".join(m for messages in wrong.values() for m in messages)}, status=status)


def _bytes(text: str) -> int:
    """A size that a file can have; ValueError otherwise."""
    size = int(text)
    if not 0 <= size < 2**63:
        raise ValueError(text)
    return size


def _state(view: ImageView) -> dict[str, Any]:
    """What the upload tray shows of an image whose bytes have been sent."""
    job = view.job
    return {
        "image": {"id": str(view.image.id), "name": view.title, "status": view.image.status},
        "job": {**job.as_message(), "live": job.is_live} if job else None,
    }


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _back(request: Request, view: ImageView, text: str, status: int = 200) -> HttpResponse:
    """Say what happened where the button was pressed; the live row shows the rest."""
    level = "danger" if status >= 400 else "info"
    if _wants_json(request):
        return JsonResponse({"message": text}, status=status)
    if wants_partial(request):
        return add_toast(HttpResponse(status=204), text, level)
    return redirect(request, back(request, view.image.id), toast=text, level=level)


def _go(request: Request, url: str, text: str, level: str = "success") -> HttpResponse:
    """Lead the person to `url` and say why."""
    answer = redirect(request, url, toast=text, level=level)
    if not wants_partial(request):
        return answer
    # As a boosted link would go there: the upload tray beside the page lives on.
    where = {"path": url, "target": "#page", "select": "#page", "swap": "outerHTML"}
    return HttpResponse(status=204, headers={"HX-Location": json.dumps(where)})
