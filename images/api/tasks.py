"""Tasks: what became of the imports of an image, and why one failed."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.views import View
from dashboard.jobs.models import Job
from dashboard.jobs.models import Status as JobStatus
from images.api.representation import time
from images.models import Image
from images.presentation import follow
from images.services import catalogue

MOST = 100
STATUS = {  # Glance's word for each of ours
    JobStatus.WAITING: "pending",
    JobStatus.QUEUED: "pending",
    JobStatus.RUNNING: "processing",
    JobStatus.SUCCEEDED: "success",
    JobStatus.FAILED: "failure",
    JobStatus.ERRORED: "failure",
    JobStatus.CANCELLED: "failure",
}


class TasksView(View):
    """`/v2/images/{id}/tasks`"""

    def get(self, request: Request, image_id: str) -> Response:
        image = catalogue.get(self.ctx, image_id)
        jobs = Job.objects.of("image", image.id).order_by("-created_at", "-id")
        if image.owner != self.ctx.project_id and not self.ctx.is_admin:
            jobs = jobs.filter(everyone=True)  # before the cut: jobs kept from the asker must not use up the places
        followed = (follow(self.ctx, image, job) for job in jobs[:MOST])
        return Response({"tasks": [task(image, job) for job in followed if job]})


def task(image: Image, job: Job) -> dict[str, Any]:
    """A job as Glance writes a task. What it was asked to do is left out: a URL may hold a secret."""
    return {
        "id": str(job.id),
        "type": "api_image_import",
        "status": STATUS[JobStatus(job.status)],
        "owner": job.project_id if job.user_id else image.owner,  # of whoever began it, where that may be told
        "user_id": job.user_id or None,
        "image_id": str(image.id),
        "request_id": None,
        "input": None,
        "result": None,
        "message": job.message,
        "created_at": time(job.created_at),
        "updated_at": time(job.finished_at or job.heartbeat_at or job.started_at or job.created_at),
        "expires_at": None,
    }
