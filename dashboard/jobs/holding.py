"""Holding a job while its work is done, and recording how it ended."""

import contextlib
import logging
from collections.abc import Iterator

from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core.errors import Error
from dashboard.jobs import marks
from dashboard.jobs.heartbeat import heart
from dashboard.jobs.models import LIVE, Job, Status
from dashboard.jobs.progress import JobCancelled, Progress, Taken, announce, announce_list, claim, stopping

log = logging.getLogger(__name__)


@contextlib.contextmanager
def running(job_id: object) -> Iterator[Progress]:
    """Hold the job while its work is done, and record the outcome. Raises Taken when it is not ours to do.

    Leaving cleanly is success; an Error is an expected failure with its sentence; JobCancelled is a wish fulfilled;
    anything else is logged and recorded as a crash. None of them is raised further.
    """
    job = Job.objects.filter(pk=str(job_id)).first()
    if job is None:
        raise Taken(str(job_id))
    progress = _claimed(job)
    announce(job)
    announce_list(job)
    try:
        yield progress
    except Taken:
        _leave(progress)
    except JobCancelled:
        _end(progress, Status.CANCELLED, "")
    except Error as error:
        _end(progress, Status.FAILED, str(error))
    except Exception:
        if is_stopping():
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


def _claimed(job: Job, *, only_from: str = Status.QUEUED) -> Progress:
    """Hold the job, then claim it: who waits for this process to be idle never overlooks one that was just claimed."""
    mine = heart.hold(job.pk)
    try:
        if only_from == Status.QUEUED and is_stopping():
            raise Taken(str(job.pk))
        return claim(job, only_from=only_from)
    except BaseException:
        if mine:
            heart.release(job.pk)
        raise


def _end(progress: Progress, status: Status, message: str) -> None:
    progress.end()
    if progress.lost:
        return
    if status == Status.CANCELLED:
        message = who_cancelled(progress.job)
    finish(progress.job, status, message)


def who_cancelled(job: Job) -> str:
    """The sentence that was kept with the wish to stop."""
    return Job.objects.filter(pk=job.pk).values_list("message", flat=True).first() or _("Cancelled.")


def _leave(progress: Progress) -> None:
    """The process is ending: give the job back, so that this does not count as one of its attempts."""
    job = progress.job
    if is_stopping() and not progress.lost:
        Job.objects.filter(pk=job.pk, status=Status.RUNNING, lease=job.lease, attempts=job.attempts).update(
            status=Status.QUEUED, lease="", heartbeat_at=None, attempts=max(job.attempts - 1, 0)
        )


def lease(job: Job, name: str = "send") -> Progress:
    """Take a `waiting` job for this process, without a context manager: `mark` it, and `finish` it in the end."""
    total = job.total
    progress = _claimed(job, only_from=Status.WAITING)
    progress.step(name, total)
    announce_list(job)
    return progress


def finish(job: Job, status: str, message: str = "") -> bool:
    """Record the outcome and tell it; False when the job was over already."""
    now = timezone.now()
    figures = {"stage": job.stage, "steps": job.steps, "done": job.done, "total": job.total, "rate": 0.0}
    ended = Job.objects.filter(pk=job.pk, status__in=LIVE).update(status=status, message=message, lease="", finished_at=now, **figures)
    heart.release(job.pk)
    marks.forget(job.pk)
    if not ended:
        return False
    job.status, job.message, job.finished_at, job.lease, job.rate = status, message, now, "", 0.0
    announce(job)
    announce_list(job)
    return True


def stop(timeout: float = 3.0) -> bool:
    """This process is about to end: its jobs stop at their next check, are queued for the next process, and none is begun.

    Returns once they have, or False after `timeout` seconds.
    """
    stopping.set()
    return heart.wait_idle(timeout)


def is_stopping() -> bool:
    """Whether failures are those of a process that ends, not of the work."""
    return stopping.is_set()
