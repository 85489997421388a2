"""The Work page, and the bell that shows what is running now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from dashboard.core import errors
from dashboard.core.context import RequestContext
from dashboard.core.http import Request, page, redirect
from dashboard.core.listing import Filter, Listing, Table
from dashboard.identity import services as identity
from dashboard.identity.decorators import local_path, signed_in
from dashboard.jobs import policy, services, subjects
from dashboard.jobs.models import LIVE, Job, Status

TONES = {Status.SUCCEEDED: "ok", Status.FAILED: "bad", Status.ERRORED: "bad", Status.CANCELLED: "warn"}
RECENT = 5  # ended jobs shown in the bell
_LIVE, _UNSUCCESSFUL = "live", "unsuccessful"


def _choices() -> Sequence[tuple[str, Any]]:
    ends = [(str(status.value), status.label) for status in TONES]
    return [(_LIVE, gettext_lazy("Running now")), (_UNSUCCESSFUL, gettext_lazy("Failed or error")), *ends]


def _of_status(queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
    groups = {_LIVE: LIVE, _UNSUCCESSFUL: {Status.FAILED, Status.ERRORED}}
    return queryset.filter(status__in=groups.get(value, {value}))


TABLE = Table(
    sorts={"title": "title", "user": "user_name", "started": "created_at"},
    default_sort="-started",
    search=lambda queryset, text: queryset.filter(Q(title__icontains=text) | Q(user_name__icontains=text)),
    filters=(Filter("status", gettext_lazy("Outcome"), _choices, apply=_of_status),),
    keep=("tab",),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One job as the asker sees it."""

    job: Job
    project: str
    url: str
    retry_url: str
    may_cancel: bool
    why_not: str

    @property
    def tone(self) -> str:
        return TONES.get(Status(self.job.status), "working")


def _rows(ctx: RequestContext, jobs: Sequence[Job]) -> list[Row]:
    newest: dict[tuple[str, str], Job] = {}
    for kind in {job.subject_type for job in jobs}:
        ids = [job.subject_id for job in jobs if job.subject_type == kind]
        newest |= {(kind, key): job for key, job in services.latest_for(kind, ids).items()}
    found = subjects.find(ctx, newest.values())
    names = identity.project_names(job.project_id for job in jobs)
    return [_row(ctx, job, found.get((job.subject_type, job.subject_id)), newest, names) for job in jobs]


def _row(ctx: RequestContext, job: Job, subject: subjects.Subject | None, newest: dict[tuple[str, str], Job], names: dict[str, str]) -> Row:
    last = newest.get((job.subject_type, job.subject_id)) == job
    may = policy.allows(ctx, "cancel_job", job)
    return Row(
        job=job,
        project=names.get(job.project_id, job.project_id),
        url=subject.url if subject else "",
        retry_url=subject.retry_url if subject and last and not job.is_live else "",
        may_cancel=may and not job.cancel_requested,
        why_not=_("It is being cancelled already.") if job.cancel_requested else "" if may else policy.why("cancel_job"),
    )


@require_safe
@signed_in
def work(request: Request) -> HttpResponse:
    """The project's jobs, newest first; for administrators also those of all projects."""
    everywhere = request.ctx.is_admin and request.GET.get("tab") == "all"
    jobs = Job.objects.visible_to(request.ctx)
    if not everywhere:
        jobs = jobs.filter(project_id=request.ctx.project_id)
    size = request.user.page_size  # type: ignore[union-attr]
    listing = Listing(TABLE, request.GET, jobs, path=reverse("jobs:list"), page_size=size)
    context = {
        "listing": listing,
        "rows": _rows(request.ctx, listing.rows),
        "everywhere": everywhere,
        "running": jobs.live().count(),
    }
    return page(request, "jobs/work.html", context, partial="jobs/_table.html")


@require_safe
@signed_in
def bell(request: Request) -> HttpResponse:
    """What is running in the project now, and what ended last."""
    jobs = Job.objects.filter(project_id=request.ctx.project_id)
    running = list(jobs.live().order_by("-created_at")[:20])
    ended = list(jobs.exclude(status__in=LIVE).order_by("-created_at")[:RECENT])
    rows = _rows(request.ctx, [*running, *ended])
    context = {"running": rows[: len(running)], "ended": rows[len(running) :], "count": jobs.live().count()}
    return page(request, "jobs/bell.html", context, partial="jobs/_bell.html")


@require_POST
@signed_in
def cancel(request: Request, job_id: UUID) -> HttpResponse:
    """Stop a job; whatever it worked on goes back to what it was."""
    job = get_object_or_404(Job.objects.visible_to(request.ctx), pk=job_id)
    back = local_path(request.POST.get("next"), reverse("jobs:list"))
    try:
        services.cancel(request.ctx, job)
    except errors.Conflict as conflict:
        return redirect(request, back, toast=str(conflict), level="info")
    except errors.Forbidden as refusal:
        raise PermissionDenied(str(refusal)) from None
    return redirect(request, back, toast=_("“%(title)s” is being cancelled.") % {"title": job.title}, level="info")
