"""Whether a worker is at work: each housekeeping run leaves its time in the cache, which all processes of one installation share."""

import time

from django.core.cache import cache

KEY = "jobs.worker-reported-at"
WORKER_SILENCE = 30
"""Seconds without a report after which the workers count as gone; housekeeping comes every five."""


def report() -> None:
    """A worker is at work now."""
    cache.set(KEY, time.time(), timeout=None)


def idle_for() -> float | None:
    """Seconds since a worker reported last; None when none has since the start."""
    reported = cache.get(KEY)
    return None if reported is None else max(0.0, time.time() - reported)
