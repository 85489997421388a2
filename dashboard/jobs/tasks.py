"""Celery entry points of the room."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from dashboard.jobs import health, services


@shared_task(name="jobs.reap")  # type: ignore[untyped-decorator]
def reap() -> None:
    health.report()
    services.reap()


@shared_task(name="jobs.prune")  # type: ignore[untyped-decorator]
def prune() -> None:
    services.prune()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def let_go(**_kwargs: Any) -> None:
    """A worker process is told to end: its jobs go back to the queue."""
    services.stop(timeout=0)
