"""What jobs are about. Rooms above say how to look their things up, so that this one need not know them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dashboard.core.context import RequestContext
from dashboard.jobs.models import Job


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing the asker may see: its page, and where its last work can be tried again (empty: it cannot)."""

    url: str
    retry_url: str = ""


LookUp = Callable[[RequestContext, Iterable[Job]], dict[str, Subject]]
_known: dict[str, LookUp] = {}


def register(subject_type: str, look_up: LookUp) -> None:
    """Have `look_up` find subjects of this type: those the asker may see, by id. It gets each subject's newest job."""
    _known[subject_type] = look_up


def find(ctx: RequestContext, jobs: Iterable[Job]) -> dict[tuple[str, str], Subject]:
    """The subjects of the jobs by (type, id); what is gone or not to be seen is left out."""
    by_type: dict[str, dict[str, Job]] = {}
    for job in jobs:
        by_type.setdefault(job.subject_type, {})[job.subject_id] = job
    return {
        (kind, key): subject
        for kind, newest in by_type.items()
        if kind in _known
        for key, subject in _known[kind](ctx, newest.values()).items()
    }
