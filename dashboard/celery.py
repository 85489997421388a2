"""The Celery application, and the worker that lives inside the web process when no broker is configured.

Celery carries job ids; the Job row is the truth (see dashboard.jobs). `celery -A dashboard worker` runs the same tasks elsewhere.
"""

import os
import threading
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
app = Celery("dashboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Without it the embedded worker's thread pool resolves another current application and drops every task without a word.
app.set_default()
app.autodiscover_tasks()


def embedded() -> bool:
    """True when jobs run in the web process, because the broker is its own memory."""
    return str(settings.CELERY_BROKER_URL).startswith("memory:")


class EmbeddedWorker:
    """A worker with a thread pool, and the clock that sends periodic tasks, in daemon threads of this process."""

    def __init__(self) -> None:
        self.worker: Any = None
        self.beat: Any = None

    def start(self) -> None:
        """Return once the worker takes tasks; raises RuntimeError when it does not within ten seconds."""
        ready = threading.Event()
        self.worker = app.WorkController(
            hostname="embedded@localhost",
            pool="threads",
            concurrency=settings.JOB_WORKERS + 1,  # one more, so that housekeeping never waits behind conversions
            loglevel="WARNING",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            ready_callback=lambda consumer: ready.set(),
        )
        threading.Thread(target=self.worker.start, daemon=True, name="celery-worker").start()
        if not ready.wait(10):
            raise RuntimeError("The embedded worker did not start.")
        self.beat = EmbeddedService(app, thread=True, scheduler_cls=Scheduler)
        self.beat.daemon = True
        self.beat.start()
        app.send_task("jobs.reap")  # not five seconds later: what the last process left is picked up at once

    def stop(self) -> None:
        """Take no more tasks. Running ones let go of their jobs, which are picked up again at the next start."""
        from dashboard.jobs import services as jobs

        if self.beat is not None:
            self.beat.stop()
        jobs.stop()
        if self.worker is not None:
            self.worker.terminate()
