"""One thread per process that says, every two seconds, "still at it" for all the jobs this process holds."""

import logging
import threading
import uuid

from django.db import connection
from django.utils import timezone

from dashboard.jobs import leases
from dashboard.jobs.models import Job, Status

INTERVAL = 2.0  # seconds
MISSES = 5
STALE = 15.0  # seconds without a beat after which the worker is taken for dead

log = logging.getLogger(__name__)


class Heart:
    """The jobs this process holds. The thread lives only while there are any."""

    def __init__(self) -> None:
        self._held: dict[uuid.UUID, int] = {}  # with the beats in a row that found no row
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def hold(self, job_id: uuid.UUID) -> bool:
        """Beat for the job from now on; False when this process held it already."""
        with self._lock:
            if job_id in self._held:
                return False
            self._held[job_id] = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="job-heartbeat", daemon=True)
                self._thread.start()
            return True

    def release(self, job_id: uuid.UUID) -> None:
        with self._lock:
            self._held.pop(job_id, None)
            self._wake.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is held any more; False when that took too long."""
        with self._lock:
            return self._wake.wait_for(lambda: not self._held, timeout=timeout)

    def holds(self, job_id: uuid.UUID) -> bool:
        with self._lock:
            return job_id in self._held

    def _beat(self) -> None:
        while True:
            with self._lock:
                self._wake.wait_for(lambda: not self._held, timeout=INTERVAL)
                if not self._held:
                    self._thread = None
                    return
                held = list(self._held)
            try:
                mine = Job.objects.filter(pk__in=held, lease=leases.me(), status=Status.RUNNING)
                if mine.update(heartbeat_at=timezone.now()) < len(held):
                    self._miss(set(held) - set(mine.values_list("pk", flat=True)))
            except Exception:  # the database may be away for a moment; the next beat tells
                log.warning("A heartbeat was not written.", exc_info=True)
            finally:
                connection.close()

    def _miss(self, gone: set[uuid.UUID]) -> None:
        """Forget jobs that are not ours any more; not at once, for a row may still wait for its commit."""
        with self._lock:
            for job_id in gone & self._held.keys():
                self._held[job_id] += 1
                if self._held[job_id] > MISSES:
                    del self._held[job_id]


heart = Heart()
