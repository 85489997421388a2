"""One thread per process that says, every two seconds, "still at it" for all the jobs this process holds."""

import logging
import threading
import uuid

from django.db import connection
from django.utils import timezone

from dashboard.jobs import leases
from dashboard.jobs.models import Job, Status

INTERVAL = 2.0  # seconds
STALE = 15.0  # seconds without a beat after which the worker is taken for dead

log = logging.getLogger(__name__)


class Heart:
    """The jobs this process holds. The thread lives only while there are any."""

    def __init__(self) -> None:
        self._held: set[uuid.UUID] = set()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def hold(self, job_id: uuid.UUID) -> None:
        with self._lock:
            self._held.add(job_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="job-heartbeat", daemon=True)
                self._thread.start()

    def release(self, job_id: uuid.UUID) -> None:
        with self._lock:
            self._held.discard(job_id)
            self._wake.notify_all()

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
                Job.objects.filter(pk__in=held, lease=leases.me(), status=Status.RUNNING).update(heartbeat_at=timezone.now())
            except Exception:  # the database may be away for a moment; the next beat tells
                log.warning("A heartbeat was not written.", exc_info=True)
            finally:
                connection.close()


heart = Heart()
