"""Progress of one job: counted in memory, saved and published at most four times a second."""

import threading
import time
from collections import deque

from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.core.errors import Unavailable
from dashboard.jobs import leases, live
from dashboard.jobs.models import Job, Status

PERIOD = 0.25  # seconds between two savings, and between two looks at the cancel flag
WINDOW = 5.0  # seconds over which the rate is averaged
ATTEMPTS = 3


class JobCancelled(Exception):
    """Somebody asked for this job to stop."""


class Taken(Exception):
    """The job is held by another worker, over, or gone: leave it alone, clean nothing."""


stopping = threading.Event()
"""Set when this process is about to end: jobs then stop at their next check and are queued for the next process."""


class Rate:
    """Bytes a second, as a moving mean over the last few seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def at(self, done: int) -> float:
        now = time.monotonic()
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        then, before = self._samples[0]
        return (done - before) / (now - then) if now > then else 0.0


def announce(job: Job) -> None:
    """Send the job's figures to those who may follow it. The reason of a failure stays within the project."""
    message = job.as_message()
    number = f"{job.pk}.{time.monotonic_ns()}"
    live.publish([f"project.{job.project_id}", "admins"], message, number=number)
    # Asked afresh: it may have been made private since the last look.
    if job.everyone and Job.objects.filter(pk=job.pk, everyone=True).exists():
        live.publish(["everyone"], {**message, "message": ""}, number=number)


def announce_list(job: Job) -> None:
    """Tell the Work page and the bell that the list of jobs changed."""
    live.changed("jobs", [f"project.{job.project_id}", "admins"])


class Progress:
    """What a job tells about itself while it runs. Safe to call from several threads; never runs backwards within a step."""

    def __init__(self, job: Job, *, resumable: bool = True) -> None:
        self.job = job
        self.resumable = resumable  # another process can go on with it
        self.lost = False
        self._lock = threading.RLock()
        self._began: float | None = None  # of the present step, once this worker has begun one
        self._saved = 0.0
        self._checked = 0.0
        self._rate = Rate()

    def step(self, name: str, total: int | None = None, note: str = "") -> None:
        """Begin a step: the former one is finished with the time it took, later ones are yet to come."""
        with self._lock:
            self._end_step()
            names = [str(s["name"]) for s in self.job.steps]
            if name not in names:
                self.job.steps.append({"name": name})
                names.append(name)
            here = names.index(name)
            for later in self.job.steps[here:]:
                later.update(done=0, total=None, seconds=0, note="")
            self.job.stage, self.job.done, self.job.total, self.job.rate = name, 0, total, 0.0
            self._current().update(total=total, note=note)
            self._began, self._rate = time.monotonic(), Rate()
            self._rate.at(0)
            self._save()
        self.check()

    def advance(self, n: int) -> None:
        with self._lock:
            self.set(self.job.done + n)

    def set(self, done: int, total: int | None = None) -> None:
        """The step has come to `done`; a smaller figure than before is ignored."""
        with self._lock:
            if total is not None:
                self.job.total = total
            self.job.done = max(self.job.done, done)
            if time.monotonic() - self._saved >= PERIOD:
                self._save()

    def note(self, text: str) -> None:
        """A remark kept with the present step, such as what was found out."""
        with self._lock:
            self._current()["note"] = text

    def check(self) -> None:
        """Raise JobCancelled when asked to stop, Unavailable after too many attempts, Taken when the job is no longer ours to do."""
        if self.lost or (stopping.is_set() and self.resumable):
            raise Taken(str(self.job.pk))
        if stopping.is_set():
            raise Unavailable(_("The server is being stopped. Send the data again in a moment."))
        if self.job.attempts > ATTEMPTS:
            raise Unavailable(_("The work was interrupted three times and was given up."))
        with self._lock:
            now = time.monotonic()
            if now - self._checked < PERIOD:
                return
            self._checked = now
            found = self._mine().values_list("cancel_requested", "everyone").first()
        if found is None:
            self.lost = True
            raise Taken(str(self.job.pk))
        asked, self.job.everyone = found  # who may follow it can change on the way
        if asked:
            raise JobCancelled

    def end(self) -> None:
        """Close the present step's figures; the outcome is recorded by whoever finishes the job."""
        with self._lock:
            self._end_step()

    def _mine(self) -> QuerySet[Job]:
        # `attempts` tells this claim from a later one by the same process.
        return Job.objects.filter(pk=self.job.pk, status=Status.RUNNING, lease=self.job.lease, attempts=self.job.attempts)

    def _current(self) -> dict[str, object]:
        return next((s for s in self.job.steps if s["name"] == self.job.stage), {})

    def _end_step(self) -> None:
        # A step that this worker has not begun is one of bytes from outside, since the job was opened.
        outside = (timezone.now() - self.job.created_at).total_seconds()
        seconds = outside if self._began is None else time.monotonic() - self._began
        current = self._current()
        if current and not current.get("seconds"):
            current.update(done=self.job.done, total=self.job.total, seconds=round(seconds, 3))

    def _save(self) -> None:
        job = self.job
        self._saved = time.monotonic()
        job.rate = self._rate.at(job.done)
        self._current().update(done=job.done, total=job.total)
        job.heartbeat_at = timezone.now()
        kept = self._mine().update(
            stage=job.stage, steps=job.steps, done=job.done, total=job.total, rate=job.rate, heartbeat_at=job.heartbeat_at
        )
        if kept:
            announce(job)
        else:
            self.lost = True


def claim(job: Job, *, only_from: str = Status.QUEUED) -> Progress:
    """Take the job with one compare-and-set UPDATE; Taken when another was faster or it is over."""
    now = timezone.now()
    won = Job.objects.filter(pk=job.pk, status=only_from).update(
        status=Status.RUNNING,
        lease=leases.me(),
        heartbeat_at=now,
        attempts=F("attempts") + 1,
        started_at=Coalesce(F("started_at"), now),
    )
    if not won:
        raise Taken(str(job.pk))
    job.refresh_from_db()
    return Progress(job, resumable=only_from == Status.QUEUED)
