"""Makers of test data: plain functions with defaults."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dashboard.core.context import RequestContext
from dashboard.identity import services
from dashboard.identity.models import Project, User

if TYPE_CHECKING:
    from dashboard.jobs.models import Job
    from images.models import Image

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def make_project(name: str = "", **fields: Any) -> Project:
    """A project; one of that name is used again."""
    services.bootstrap_admin(PASSWORD)
    name = name or f"project-{next(_numbers)}"
    domain_id = fields.pop("domain_id", services.DEFAULT_DOMAIN)
    found = Project.objects.filter(name=name, domain_id=domain_id).first()
    return found or services.create_project(name, domain_id=domain_id, **fields)


def make_user(name: str = "", project: Project | None = None, role: str = "member", password: str = PASSWORD, **fields: Any) -> User:
    """A user, with a role on `project` when one is given; one of that name is used again."""
    services.bootstrap_admin(PASSWORD)
    name = name or f"user-{next(_numbers)}"
    domain_id = fields.pop("domain_id", services.DEFAULT_DOMAIN)
    user = User.objects.filter(name=name, domain_id=domain_id).first()
    user = user or services.create_user(name, password, domain_id=domain_id, default_project=project, **fields)
    if project:
        services.grant(user, project, role)
    return user


def ctx_for(user: User, project: Project | None) -> RequestContext:
    """What a service receives when `user` acts in `project`."""
    return services.context_for(user, project)


def make_image(**overrides: Any) -> "Image":
    """An image record, active and of project demo unless said otherwise. It has no bytes; `tags` and `properties` are made too."""
    from images.models import Image, ImageProperty, ImageTag

    tags, properties = overrides.pop("tags", ()), overrides.pop("properties", {})
    owner = overrides.pop("owner", None) or make_project("demo").id
    fields = {"name": f"image-{next(_numbers)}", "status": "active", "disk_format": "qcow2", "container_format": "bare", **overrides}
    if fields["status"] in {"active", "deactivated"}:
        fields = {"size": 1024, "checksum": "0" * 32, "os_hash_algo": "sha512", "os_hash_value": "0" * 128, **fields}
    image = Image.objects.create(owner=owner, **fields)
    ImageTag.objects.bulk_create([ImageTag(image=image, value=tag) for tag in tags])
    ImageProperty.objects.bulk_create([ImageProperty(image=image, name=name, value=value) for name, value in properties.items()])
    return image


def make_job(image: "Image", *, plan: Sequence[str] = ("send", "inspect", "hash", "store", "activate"), **overrides: Any) -> "Job":
    """A job on an image, running unless said otherwise, in the first step of its plan."""
    from dashboard.jobs.models import Job

    steps = [{"name": name, "done": 0, "total": None, "seconds": 0, "note": ""} for name in plan]
    fields = {"kind": "images.import", "title": str(image), "status": "running", "stage": plan[0], "steps": steps}
    subject = {"subject_type": "image", "subject_id": str(image.pk), "project_id": image.owner, "user_id": "somebody"}
    return Job.objects.create(**{**fields, **subject, **overrides})
