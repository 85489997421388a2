"""The Job row."""

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dashboard.core.context import RequestContext
from dashboard.jobs import labels


class Status(models.TextChoices):
    WAITING = "waiting", _("Waiting for data")  # for bytes from outside: no worker holds it
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")  # for a reason we expected
    ERRORED = "errored", _("Error")  # a crash of ours
    CANCELLED = "cancelled", _("Cancelled")


SILENCE = timedelta(seconds=6)  # without a byte, after which a sender counts as paused; static/js/live.js knows it too
LIVE = frozenset({Status.WAITING, Status.QUEUED, Status.RUNNING})


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, ctx: RequestContext) -> "JobQuerySet":
        """The project's jobs; an administrator sees all."""
        return self if ctx.is_admin else self.filter(project_id=ctx.project_id)

    def live(self) -> "JobQuerySet":
        return self.filter(status__in=LIVE)

    def of(self, subject_type: str, subject_id: object) -> "JobQuerySet":
        return self.filter(subject_type=subject_type, subject_id=str(subject_id))


class Job(models.Model):
    """One piece of work on one subject, with its steps, its progress and its outcome.

    `kind` is the name of the Celery task that runs it. `steps` is the plan, in order: a list of
    {"name", "done", "total", "seconds", "note"}, sizes in bytes; `stage` names the current one, whose figures are also in
    `done`, `total` (None while unknown) and `rate` (bytes a second). `everyone` is true when people outside the project may
    follow it too (the subject is public).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    title = models.CharField(max_length=255, blank=True)
    subject_type = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=64)
    project_id = models.CharField(max_length=64, db_index=True)
    user_id = models.CharField(max_length=64)
    user_name = models.CharField(max_length=255, blank=True)
    everyone = models.BooleanField(default=False)
    arguments = models.JSONField(default=dict)

    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    stage = models.CharField(max_length=30, blank=True)
    steps = models.JSONField(default=list)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    rate = models.FloatField(default=0)
    message = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)

    attempts = models.PositiveSmallIntegerField(default=0)
    lease = models.CharField(max_length=120, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["subject_type", "subject_id", "-created_at"], name="job_of_subject"),
            models.Index(fields=["project_id", "-created_at"], name="job_of_project"),
            models.Index(fields=["status", "heartbeat_at"], name="job_live"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.title or self.subject_id}"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def is_silent(self) -> bool:
        """Whether it waits for bytes from outside and none came of late: the sender paused, or its network is away."""
        heard = self.heartbeat_at
        return self.status == Status.WAITING and (heard is None or timezone.now() - heard > SILENCE)

    @property
    def percent(self) -> int | None:
        """Of the current step, 0 to 100; None while its total is unknown. Never 100 while it runs."""
        if not self.total:
            return None
        full = self.done >= self.total and self.status != Status.RUNNING
        return min(100 if full else 99, int(self.done * 100 / self.total))

    @property
    def label(self) -> str:
        """What is going on, in a word: the step while bytes move, else the status."""
        moving = self.status == Status.RUNNING or (self.status == Status.WAITING and self.done and not self.is_silent)
        return labels.step(self.stage) if moving and self.stage else str(Status(self.status).label)

    @property
    def kind_label(self) -> str:
        return labels.kind(self.kind)

    @property
    def step_number(self) -> int:
        """Of the current step, counted from 1; 0 before the first."""
        names = [step["name"] for step in self.steps]
        return names.index(self.stage) + 1 if self.stage in names else 0

    @property
    def seconds_left(self) -> int | None:
        """Of the current step at the present rate; None while unknown."""
        if not self.total or self.rate <= 0 or self.status not in LIVE or self.is_silent:
            return None
        return int(max(self.total - self.done, 0) / self.rate + 0.5)

    @property
    def duration(self) -> float | None:
        """Seconds from the start to the end, or until now; None before the start."""
        begin = self.started_at or (self.created_at if self.finished_at else None)
        return ((self.finished_at or timezone.now()) - begin).total_seconds() if begin else None

    def as_message(self) -> dict[str, Any]:
        """The figures as the socket sends them."""
        return {
            "type": "progress",
            "job": str(self.pk),
            "subject": f"{self.subject_type}.{self.subject_id}",
            "status": str(self.status),
            "stage": self.stage,
            "label": self.label,
            "done": self.done,
            "total": self.total,
            "rate": 0 if self.is_silent else round(self.rate),
            "percent": self.percent,
            "seconds_left": self.seconds_left,
            "step": self.step_number,
            "steps": len(self.steps),
            "title": self.title,
            "message": self.message,
        }
