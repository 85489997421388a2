"""Pages on which an image gets its bytes: create, choose another source, retry, cancel, throw away.

A form is sent once per file by the page's script, which asks for JSON and then sends the bytes to the data plane; an
address is sent as a plain form and works without a script.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.core import errors
from dashboard.core.http import Request, add_toast, page, redirect, wants_partial
from dashboard.identity.decorators import signed_in
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Job
from images.forms.create import CreateForm, SourceForm
from images.models import Image
from images.services import catalogue, imports, quotas, uploads
from images.states import Status

MOST_FILES = 100  # one pre-flight question; more are asked in pieces by nobody


@require_http_methods(["GET", "POST"])
@signed_in
def create(request: Request) -> HttpResponse:
    """A new image from a file or an address."""
    if request.method == "GET":
        return page(request, "images/create.html", {"form": CreateForm(ctx=request.ctx)})
    form = CreateForm(request.POST, ctx=request.ctx)

    def make() -> HttpResponse:
        with transaction.atomic():  # a refused source leaves no record behind
            image = catalogue.create(request.ctx, **form.image_fields())
            return _attach(request, form, image, _("“%(name)s” is being fetched.") % {"name": image})

    return _answer(request, form, make, lambda status: page(request, "images/create.html", {"form": form}, status=status))


@require_http_methods(["GET", "POST"])
@signed_in
def upload(request: Request, image_id: UUID) -> HttpResponse:
    """Bytes for an image that has none: the first ones, or another source after a failure."""
    image = catalogue.get(request.ctx, image_id)
    if request.method == "GET" and _wants_json(request):
        return JsonResponse(_state(image))
    if request.method == "GET":
        form = SourceForm(ctx=request.ctx, initial={"source": "file"})
        return page(request, "images/upload.html", {"form": form, "image": image, "job": _job(image)})
    form = SourceForm(request.POST, ctx=request.ctx)

    def attach() -> HttpResponse:
        with transaction.atomic():
            if form.cleaned_data["disk_format"] != image.disk_format:
                catalogue.update(request.ctx, image, catalogue.Changes(disk_format=form.cleaned_data["disk_format"]))
            return _attach(request, form, image, _("“%(name)s” is being fetched.") % {"name": image})

    context = {"form": form, "image": image, "job": _job(image)}
    return _answer(request, form, attach, lambda status: page(request, "images/upload.html", context, status=status))


@require_GET
@signed_in
def preflight(request: Request) -> HttpResponse:
    """Whether files of these sizes would be taken, before the first byte: JSON for the create form.

    `size` and `virtual_size` repeat, once per file. All of them together are judged as well.
    """
    try:
        sizes = [int(size) for size in request.GET.getlist("size")][:MOST_FILES]
        virtual = [int(size) if size else None for size in request.GET.getlist("virtual_size")]
    except ValueError:
        return JsonResponse({"message": _("Sizes are whole numbers of bytes.")}, status=400)
    target = request.GET.get("target_format") or None
    virtual += [None] * (len(sizes) - len(virtual))
    answers = [quotas.preflight(request.ctx, size=size, virtual_size=v, target_format=target) for size, v in zip(sizes, virtual, strict=False)]
    problems = [[str(problem) for problem in answer.problems] for answer in answers]
    together: list[str] = []
    if len(sizes) > 1 and not any(problems):
        whole = quotas.preflight(request.ctx, size=sum(sizes), virtual_size=sum(v or 0 for v in virtual) or None, target_format=target)
        together = [str(problem) for problem in whole.problems]
    return JsonResponse({"ok": not any(problems) and not together, "files": problems, "together": together})


@require_POST
@signed_in
def retry(request: Request, image_id: UUID) -> HttpResponse:
    """Fetch again from the same address; sent files have to be chosen again."""
    image = catalogue.get(request.ctx, image_id)
    try:
        imports.retry(request.ctx, image)
    except errors.Conflict as conflict:
        if image.status == Status.QUEUED:
            return _go(request, reverse("images:upload", args=[image.id]), str(conflict), "info")
        return _back(request, str(conflict), "danger")
    return _back(request, _("Trying again."))


@require_POST
@signed_in
def cancel(request: Request, image_id: UUID) -> HttpResponse:
    """Stop what is under way; the record stays."""
    image = catalogue.get(request.ctx, image_id)
    try:
        imports.cancel(request.ctx, image)
    except errors.Conflict as conflict:
        return _back(request, str(conflict), "danger")
    return _back(request, _("Cancelling “%(name)s”.") % {"name": image}, "info")


@require_http_methods(["GET", "POST"])
@signed_in
def throw_away(request: Request, image_id: UUID) -> HttpResponse:
    """The record of an image that never got its bytes goes, after a question."""
    image = catalogue.get(request.ctx, image_id)
    if request.method == "GET":
        return page(request, "images/upload_throw_away.html", {"image": image}, partial="images/_upload_throw_away.html")
    name = str(image)
    try:
        imports.throw_away(request.ctx, image)
    except (errors.Conflict, errors.Forbidden) as refusal:
        return _back(request, str(refusal), "danger")
    if _wants_json(request):
        return JsonResponse({"message": _("“%(name)s” was thrown away.") % {"name": name}})
    return _go(request, reverse("images:list"), _("“%(name)s” was thrown away.") % {"name": name})


def _attach(request: Request, form: SourceForm, image: Image, fetching: str) -> HttpResponse:
    data = form.cleaned_data
    options = {"target_format": data["target_format"] or None, "expected": form.expected}
    if form.from_url:
        imports.start(request.ctx, image, {"name": "web-download", "uri": data["url"]}, **options)
        return redirect(request, reverse("images:list"), toast=fetching, level="info")
    upload, grant = uploads.create(request.ctx, image, length=data["length"], filename=data["filename"], **options)
    return JsonResponse(
        {
            "image": {"id": str(image.id), "name": str(image)},
            "upload": {"id": str(upload.id), "url": f"/uploads/{upload.id}", "grant": grant, "length": upload.length},
            "job": str(upload.job_id),
            "next": reverse("images:list"),
        },
        status=201,
    )


def _answer(
    request: Request, form: SourceForm, act: Callable[[], HttpResponse], again: Callable[[int], HttpResponse]
) -> HttpResponse:
    """What `act` answers for a valid form; else the form once more, with what is wrong in it."""
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
    wrong = {name or "": [str(m) for m in messages] for name, messages in form.errors.items()}
    return JsonResponse({"errors": wrong, "message": " ".join(m for messages in wrong.values() for m in messages)}, status=status)


def _state(image: Image) -> dict[str, Any]:
    """What the upload tray shows of an image whose bytes have been sent."""
    job = _job(image)
    return {
        "image": {"id": str(image.id), "name": str(image), "status": image.status},
        "job": {**job.as_message(), "live": job.is_live} if job else None,
    }


def _job(image: Image) -> Job | None:
    return jobs.latest_for("image", [str(image.id)]).get(str(image.id))


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _back(request: Request, text: str, level: str = "success") -> HttpResponse:
    """Say what happened where the button was pressed; the live row shows the rest."""
    if _wants_json(request):
        return JsonResponse({"message": text}, status=409 if level == "danger" else 200)
    if wants_partial(request):
        return add_toast(HttpResponse(status=204), text, level)
    return redirect(request, reverse("images:list"), toast=text, level=level)


def _go(request: Request, url: str, text: str, level: str = "success") -> HttpResponse:
    """Lead the person to `url` and say why."""
    if not wants_partial(request):
        return redirect(request, url, toast=text, level=level)
    response = redirect(request, url, toast=text, level=level)
    answer = HttpResponse(status=204)
    answer["HX-Redirect"] = response.headers["Location"]
    return answer
