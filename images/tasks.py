"""Celery entry points of the room: they carry an id to a service."""

from celery import shared_task

from images.services import imports, sweeping


@shared_task(name="images.import")  # type: ignore[untyped-decorator]
def run_import(job_id: str) -> None:
    imports.run(job_id)


@shared_task(name="images.upload")  # type: ignore[untyped-decorator]
def clean_up_upload(job_id: str) -> None:
    """A direct upload is done by the web process; a worker gets its job only when that one died or it was cancelled."""
    imports.interrupted(job_id)


@shared_task(name="images.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    sweeping.sweep()
