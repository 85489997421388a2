"""Who may do what with jobs."""

from dashboard.core import policy
from dashboard.core.context import RequestContext
from dashboard.jobs.models import Job

RULES = {"cancel_job": "role:admin or (role:member and project_id:%(project_id)s)"}
policy.register(RULES)

why = policy.why


def allows(ctx: RequestContext, action: str, job: Job) -> bool:
    return policy.allows(ctx, action, {"project_id": job.project_id, "user_id": job.user_id})


def require(ctx: RequestContext, action: str, job: Job) -> None:
    """Raise Forbidden, naming the rule, unless the asker may do this with the job."""
    policy.require(ctx, action, {"project_id": job.project_id, "user_id": job.user_id})
