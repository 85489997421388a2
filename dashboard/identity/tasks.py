"""Celery entry points of the room."""

from celery import shared_task
from django.core.management import call_command

from dashboard.identity import tokens


@shared_task(name="identity.prune")  # type: ignore[untyped-decorator]
def prune() -> None:
    """Drop tokens and sessions whose time is over."""
    tokens.prune()
    call_command("clearsessions")
