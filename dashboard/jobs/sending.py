"""Jobs on their way to a worker, and those that have to be sent again because worker or message was lost."""

import datetime
import logging
import uuid

from celery import current_app
from django.db import transaction
from django.utils import timezone

from dashboard.jobs import leases, marks
from dashboard.jobs.heartbeat import STALE, heart
from dashboard.jobs.models import Job, Status

UNSENT = 5.0  # seconds a queued job may wait for its message to the broker
RESEND = 60.0  # seconds after which a message that nobody took is sent again

log = logging.getLogger(__name__)


def start(job: Job) -> None:
    """Hand the job to a worker once the present transaction is committed. A lost message is sent again by `reap`."""
    Job.objects.filter(pk=job.pk, status__in=[Status.WAITING, Status.QUEUED]).update(status=Status.QUEUED, lease="", heartbeat_at=None)
    job.refresh_from_db()
    marks.forget(job.pk)
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
