"""What tests of jobs share: a context, a job, and an ear that hears what is published."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dashboard.core.context import RequestContext
from dashboard.jobs import live, services
from dashboard.jobs.models import Job


@pytest.fixture
def ctx(demo) -> RequestContext:
    return RequestContext(user_id="u1", user_name="alice", project_id=demo.id, roles=frozenset({"member", "reader"}))


@pytest.fixture
def open_job(ctx) -> Callable[..., Job]:
    def make(**fields: Any) -> Job:
        fields = {"title": "debian", "subject_type": "image", "subject_id": "i1", "plan": ["inspect", "convert", "store"], **fields}
        return services.open_job(fields.pop("ctx", ctx), fields.pop("kind", "tests.nothing"), **fields)

    return make


@pytest.fixture
def heard(monkeypatch) -> Iterator[list[tuple[list[str], dict[str, Any]]]]:
    """Every message published, with its groups; they are delivered as well."""
    messages: list[tuple[list[str], dict[str, Any]]] = []
    publish = live.publish

    def listen(groups, message, *, number=""):
        messages.append((list(groups), message))
        publish(groups, message, number=number)

    monkeypatch.setattr(live, "publish", listen)
    yield messages
