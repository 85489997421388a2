"""Open, start, run, follow, cancel and end jobs; and bring back those whose worker died."""

import contextlib
import datetime
import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core.context import RequestContext
from dashboard.core.errors import Conflict, Error
from dashboard.jobs import leases, policy
from dashboard.jobs.heartbeat import STALE, heart
from dashboard.jobs.models import LIVE, Job, Status
from dashboard.jobs.progress import PERIOD, JobCancelled, Progress, Rate, Taken, announce, announce_list, claim, stopping

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
    "reap",
    "receiving",
    "running",
    "start",
    "stop",
]

UNSENT = 5.0  # seconds a queued job may wait for its message to the broker
RESEND = 60.0  # seconds after which a message that nobody took is sent again

log = logging.getLogger(__name__)


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


def start(job: Job) -> None:
    """Hand the job to a worker once the present transaction is committed. A lost message is sent again by `reap`."""
    Job.objects.filter(pk=job.pk, status__in=[Status.WAITING, Status.QUEUED]).update(status=Status.QUEUED, lease="", heartbeat_at=None)
    job.refresh_from_db()
    _forget(job.pk)
    if job.status == Status.QUEUED:
        transaction.on_commit(lambda: _send(job.pk, job.kind))


def _send(job_id: uuid.UUID, kind: str) -> None:
    # While queued, the lease names who sent the message and the heartbeat says when.
    Job.objects.filter(pk=job_id, status=Status.QUEUED).update(lease=leases.me(), heartbeat_at=timezone.now())
    try:
        task = current_app.tasks.get(kind)
        if task is not None:
            task.apply_async(args=[str(job_id)])
        else:
            current_app.send_task(kind, args=[str(job_id)])
    except Exception:
        log.warning("Job %s was not sent to a worker; it will be sent again.", job_id, exc_info=True)
        Job.objects.filter(pk=job_id, status=Status.QUEUED).update(heartbeat_at=None)


@contextlib.contextmanager
def running(job_id: object) -> Iterator[Progress]:
    """Hold the job while its work is done, and record the outcome. Raises Taken when it is not ours to do.

    Leaving cleanly is success; an Error is an expected failure with its sentence; JobCancelled is a wish fulfilled;
    anything else is logged and recorded as a crash. None of them is raised further.
    """
    job = Job.objects.filter(pk=str(job_id)).first()
    if job is None or is_stopping():
        raise Taken(str(job_id))
    with _held(claim(job)) as progress:
        yield progress


@contextlib.contextmanager
def receiving(job: Job, name: str = "send") -> Iterator[Progress]:
    """As `running`, for a `waiting` job whose bytes this process receives itself; the step `name` is begun."""
    total = job.total
    with _held(claim(job, only_from=Status.WAITING)) as progress:
        progress.step(name, total)
        yield progress


@contextlib.contextmanager
def _held(progress: Progress) -> Iterator[Progress]:
    job = progress.job
    heart.hold(job.pk)
    announce(job)
    announce_list(job)
    try:
        yield progress
    except Taken:
        _leave(progress)
    except JobCancelled:
        _end(progress, Status.CANCELLED, job.message or _("Cancelled."))
    except Error as error:
        _end(progress, Status.FAILED, str(error))
    except Exception:
        if is_stopping() and progress.resumable:
            _leave(progress)
            return
        log.exception("Job %s (%s) crashed.", job.pk, job.kind)
        _end(
            progress,
            Status.ERRORED,
            _("Something went wrong on our side. An administrator finds the details in the log, under this job's id."),
        )
    else:
        _end(progress, Status.SUCCEEDED, "")
    finally:
        heart.release(job.pk)


def _end(progress: Progress, status: Status, message: str) -> None:
    progress.end()
    if progress.lost:
        return
    if status == Status.CANCELLED:
        message = Job.objects.filter(pk=progress.job.pk).values_list("message", flat=True).first() or message
    finish(progress.job, status, message)


def _leave(progress: Progress) -> None:
    """The process is ending: give the job back, so that this does not count as one of its attempts."""
    job = progress.job
    if stopping.is_set() and not progress.lost:
        Job.objects.filter(pk=job.pk, status=Status.RUNNING, lease=job.lease, attempts=job.attempts).update(
            status=Status.QUEUED, lease="", heartbeat_at=None, attempts=max(job.attempts - 1, 0)
        )


def finish(job: Job, status: str, message: str = "") -> bool:
    """Record the outcome and tell it; False when the job was over already."""
    now = timezone.now()
    figures = {"stage": job.stage, "steps": job.steps, "done": job.done, "total": job.total, "rate": 0.0}
    ended = Job.objects.filter(pk=job.pk, status__in=LIVE).update(status=status, message=message, lease="", finished_at=now, **figures)
    heart.release(job.pk)
    _forget(job.pk)
    if not ended:
        return False
    job.status, job.message, job.finished_at, job.lease, job.rate = status, message, now, "", 0.0
    announce(job)
    announce_list(job)
    return True


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
    found: dict[str, Job] = {}
    for job in Job.objects.filter(subject_type=subject_type, subject_id__in=[str(i) for i in ids]).order_by("-created_at", "-id"):
        found.setdefault(job.subject_id, job)
    return found


# -- bytes from outside ----------------------------------------------------------------------------------------------


class _Marks:
    """When each receiving job was saved last, and its rate, in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[uuid.UUID, tuple[float, Rate]] = {}

    def due(self, job_id: uuid.UUID, force: bool) -> Rate | None:
        now = time.monotonic()
        with self.lock:
            saved, rate = self.known.get(job_id, (0.0, Rate()))
            if not force and now - saved < PERIOD:
                return None
            self.known[job_id] = (now, rate)
            return rate


_marks = _Marks()


def _forget(job_id: uuid.UUID) -> None:
    with _marks.lock:
        _marks.known.pop(job_id, None)


def lease(job: Job, name: str = "send") -> Progress:
    """Take a `waiting` job for this process, without a context manager: `mark` it, and `finish` it in the end."""
    total = job.total
    progress = claim(job, only_from=Status.WAITING)
    heart.hold(job.pk)
    progress.step(name, total)
    announce_list(job)
    return progress


def mark(job: Job, done: int, total: int | None = None) -> bool:
    """Bytes have arrived: `done` so far. Throttled; cheap when too early. False when the job should not receive any more.

    Callable from any worker thread. The job is `waiting` (resumable upload) or held by this process (`lease`).
    """
    total = job.total if total is None else total
    rate = _marks.due(job.pk, force=total is not None and done >= total)
    if rate is None:
        return not job.cancel_requested
    job.done, job.total = done, total
    job.rate = rate.at(done)
    for step in job.steps:
        if step["name"] == job.stage:
            step.update(done=done, total=total)
    receiving_now = Job.objects.filter(pk=job.pk).filter(Q(status=Status.WAITING) | Q(status=Status.RUNNING, lease=leases.me()))
    kept = receiving_now.update(done=done, total=total, rate=job.rate, steps=job.steps, stage=job.stage, heartbeat_at=timezone.now())
    if not kept or receiving_now.filter(cancel_requested=True).exists():
        job.cancel_requested = True
        return False
    announce(job)
    return True


# -- work whose worker died ------------------------------------------------------------------------------------------


def reap() -> int:
    """Queue again what no living worker holds, and send again what no worker was told of. Returns how many were sent."""
    now = timezone.now()
    stale = now - datetime.timedelta(seconds=STALE)
    sent = 0
    for job in Job.objects.filter(status=Status.RUNNING):
        if heart.holds(job.pk) and job.lease == leases.me():
            continue
        if leases.alive(job.lease) and job.heartbeat_at is not None and job.heartbeat_at > stale:
            continue
        again = Job.objects.filter(pk=job.pk, status=Status.RUNNING, lease=job.lease, attempts=job.attempts)
        if again.update(status=Status.QUEUED, lease="", heartbeat_at=None):
            log.warning("Job %s (%s) lost its worker %s; queued again.", job.pk, job.kind, job.lease)
            _send(job.pk, job.kind)
            sent += 1
    for job in Job.objects.filter(status=Status.QUEUED):
        if job.heartbeat_at is None:
            due = job.created_at < now - datetime.timedelta(seconds=UNSENT)
        else:
            due = not leases.alive(job.lease) or job.heartbeat_at < now - datetime.timedelta(seconds=RESEND)
        if due:
            _send(job.pk, job.kind)
            sent += 1
    return sent


def stop(timeout: float = 3.0) -> bool:
    """This process is about to end: its jobs stop at their next check, are queued for the next process, and none is begun.

    Returns once they have, or False after `timeout` seconds.
    """
    stopping.set()
    return heart.wait_idle(timeout)


def is_stopping() -> bool:
    """Whether failures are those of a process that ends, not of the work."""
    return stopping.is_set()
