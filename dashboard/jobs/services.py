"""Open, start, run, follow, cancel, end and forget jobs; and bring back those whose worker died."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core.context import RequestContext
from dashboard.core.errors import Conflict
from dashboard.jobs import policy
from dashboard.jobs.holding import finish, is_stopping, lease, running, stop, who_cancelled
from dashboard.jobs.marks import mark
from dashboard.jobs.models import LIVE, Job, Status
from dashboard.jobs.progress import JobCancelled, Progress, Taken, announce_list
from dashboard.jobs.sending import reap, start

__all__ = [
    "JobCancelled",
    "Progress",
    "Taken",
    "cancel",
    "finish",
    "is_stopping",
    "latest_for",
    "lease",
    "mark",
    "open_job",
    "prune",
    "reap",
    "running",
    "start",
    "stop",
    "who_cancelled",
]

PRUNE = 500  # rows removed in one statement, so that no writer waits long


def open_job(
    ctx: RequestContext,
    kind: str,
    *,
    title: str,
    subject_type: str,
    subject_id: object,
    plan: Sequence[str],
    total: int | None = None,
    arguments: dict[str, Any] | None = None,
    everyone: bool = False,
    waiting: bool = False,
) -> Job:
    """Record a piece of work. `waiting`: for bytes from outside; otherwise it is queued, and `start` sends it to a worker."""
    job = Job.objects.create(
        kind=kind,
        title=title[:255],
        subject_type=subject_type,
        subject_id=str(subject_id),
        project_id=ctx.project_id or "",
        user_id=ctx.user_id,
        user_name=ctx.user_name,
        everyone=everyone,
        arguments=arguments or {},
        status=Status.WAITING if waiting else Status.QUEUED,
        stage=plan[0] if plan else "",
        steps=[{"name": name, "done": 0, "total": total if i == 0 else None, "seconds": 0, "note": ""} for i, name in enumerate(plan)],
        total=total,
    )
    announce_list(job)
    return job


def cancel(ctx: RequestContext, job: Job) -> Job:
    """Ask the job to stop. Its own task cleans up after it, so a job without a worker is sent to one for that."""
    policy.require(ctx, "cancel_job", job)
    message = _("Cancelled by {name}.").format(name=ctx.user_name or ctx.user_id)
    if not Job.objects.filter(pk=job.pk, status__in=LIVE).update(cancel_requested=True, message=message):
        raise Conflict(_("This work is over already."))
    if Job.objects.filter(pk=job.pk, status__in=[Status.WAITING, Status.QUEUED]).exists():
        start(job)
    else:
        job.refresh_from_db()
    announce_list(job)
    return job


def latest_for(subject_type: str, ids: Iterable[object]) -> dict[str, Job]:
    """The newest job of each subject that has one, by subject id."""
    of_subject = Job.objects.filter(subject_type=OuterRef("subject_type"), subject_id=OuterRef("subject_id"))
    newest = Subquery(of_subject.order_by("-created_at", "-id").values("pk")[:1])
    jobs = Job.objects.filter(subject_type=subject_type, subject_id__in=[str(i) for i in ids], pk=newest)
    return {job.subject_id: job for job in jobs}


def prune() -> int:
    """Forget work that ended more than VITRINE_JOB_RETENTION days ago, a bounded number at a time. Returns how many."""
    horizon = timezone.now() - timedelta(days=settings.JOB_RETENTION)
    over = Job.objects.exclude(status__in=LIVE).filter(finished_at__lt=horizon).values_list("pk", flat=True)
    forgotten = 0
    while pks := list(over[:PRUNE]):
        forgotten += Job.objects.filter(pk__in=pks).delete()[0]
    return forgotten
