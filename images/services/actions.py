"""What the asker may do with an image now, and in plain words why not: for buttons that explain themselves."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from dashboard.core.context import RequestContext
from dashboard.jobs import policy as job_policy
from dashboard.jobs.models import Job
from dashboard.jobs.models import Status as JobStatus
from images import policy
from images.models import Image
from images.states import BUSY, Status

_FAILED = frozenset({JobStatus.FAILED, JobStatus.ERRORED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Action:
    """Whether it may be done; when not, the reason as one sentence."""

    allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class _Case:
    ctx: RequestContext
    image: Image
    job: Job | None

    def ruled(self, rule: str) -> str:
        return "" if policy.allows(self.ctx, rule, self.image) else policy.why(rule)


def actions(ctx: RequestContext, image: Image, job: Job | None = None) -> dict[str, Action]:
    """Every action by name. `job` is the image's latest, when the asker may follow it."""
    case = _Case(ctx, image, job)
    return {name: Action(not (reason := judge(case)), reason) for name, judge in _JUDGES.items()}


def _edit(case: _Case) -> str:
    return case.ruled("modify_image")


def _delete(case: _Case) -> str:
    if reason := case.ruled("delete_image"):
        return reason
    return _("The image is protected. Take the protection off first.") if case.image.protected else ""


def _download(case: _Case) -> str:
    if reason := case.ruled("download_image"):
        return reason
    status = case.image.status
    if status == Status.DEACTIVATED:
        return "" if case.ctx.is_admin else _("The image is deactivated; only an administrator can download it.")
    return "" if status == Status.ACTIVE else _("The image has no data yet.")


def _deactivate(case: _Case) -> str:
    if case.image.status == Status.DEACTIVATED:
        return _("The image is deactivated already.")
    if case.image.status != Status.ACTIVE:
        return _("Only an active image can be deactivated.")
    return case.ruled("deactivate")


def _reactivate(case: _Case) -> str:
    if case.image.status != Status.DEACTIVATED:
        return _("The image is not deactivated.")
    return case.ruled("reactivate")


def _upload(case: _Case) -> str:
    """Give it data from another file or URL."""
    if case.image.status in BUSY:
        return _("Data is being received or worked on already. Cancel that first.")
    if case.image.status != Status.QUEUED:
        return _("The image has its data, and that never changes. Create a new image instead.")
    if case.job is not None and case.job.is_live:
        return _("Work on this image is still running. Cancel it first.")
    return case.ruled("upload_image")


def _retry(case: _Case) -> str:
    if reason := _upload(case):
        return reason
    if case.job is None or case.job.status not in _FAILED:
        return _("Nothing failed that could be tried again.")
    return "" if case.job.arguments.get("method") == "web-download" else _("The file has to be sent again: choose it once more.")


def _cancel(case: _Case) -> str:
    if case.job is None or not case.job.is_live:
        return _("Nothing is running.")
    if case.job.cancel_requested:
        return _("It is being cancelled already.")
    return "" if job_policy.allows(case.ctx, "cancel_job", case.job) else policy.why("cancel_job")


def _throw_away(case: _Case) -> str:
    if case.image.status == Status.QUEUED or case.image.status in BUSY:
        return _delete(case)
    return _("The image has its data; delete it instead.")


_JUDGES: dict[str, Callable[[_Case], str]] = {
    "edit": _edit,
    "download": _download,
    "deactivate": _deactivate,
    "reactivate": _reactivate,
    "upload": _upload,
    "retry": _retry,
    "cancel": _cancel,
    "throw_away": _throw_away,
    "delete": _delete,
}
