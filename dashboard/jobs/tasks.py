"""Celery entry points of the room."""

from celery import shared_task

from dashboard.jobs import health, services

BEAT = {"jobs.reap": ("jobs.reap", 5.0)}
"""What the scheduler sends: name → (task, every so many seconds)."""


@shared_task(name="jobs.reap")  # type: ignore[untyped-decorator]
def reap() -> None:
    health.report()
    services.reap()
