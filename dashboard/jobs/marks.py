"""Bytes that come from outside: counted for jobs that no worker runs."""

import threading
import time
import uuid

from django.db.models import Q
from django.utils import timezone

from dashboard.jobs import leases
from dashboard.jobs.models import Job, Status
from dashboard.jobs.progress import PERIOD, Rate, announce


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


def forget(job_id: uuid.UUID) -> None:
    with _marks.lock:
        _marks.known.pop(job_id, None)


def mark(job: Job, done: int, total: int | None = None) -> bool:
    """Bytes have arrived: `done` so far. Throttled; cheap when too early. False when the job should not receive any more.

    Callable from any worker thread. The job is `waiting` (resumable upload) or held by this process (`lease`).
    """
    total = job.total if total is None else total
    rate = _marks.due(job.pk, force=total is not None and done >= total)
    if rate is None:
        return not job.cancel_requested
    job.done, job.total = done, total
    job.rate, job.heartbeat_at = rate.at(done), timezone.now()
    for step in job.steps:
        if step["name"] == job.stage:
            step.update(done=done, total=total)
    receiving_now = Job.objects.filter(pk=job.pk).filter(Q(status=Status.WAITING) | Q(status=Status.RUNNING, lease=leases.me()))
    kept = receiving_now.update(done=done, total=total, rate=job.rate, steps=job.steps, stage=job.stage, heartbeat_at=job.heartbeat_at)
    found = receiving_now.values_list("cancel_requested", "everyone").first() if kept else None
    if found is None or found[0]:
        job.cancel_requested = True
        return False
    job.everyone = found[1]  # who may follow it can change on the way
    announce(job)
    return True
