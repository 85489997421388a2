"""The people of the tests: alice owns (member of demo), bob is in another project (partner), carol only reads (demo), admin is admin.

`alice`, `bob`, `carol`, `admin` are API clients with a token; `alice_page` and so on are browsers with a session.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.test.utils import override_settings

from dashboard.identity import services, tokens
from dashboard.identity.models import Project, User
from tests.factories import PASSWORD, make_project, make_user
from tests.mirror import Mirror


@pytest.fixture(scope="session", autouse=True)
def _cheap_settings() -> Iterator[None]:
    """A quick password hash, and static files under their own names: nothing has collected them."""
    storages = {**django_settings.STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], STORAGES=storages):
        yield


class ApiClient:
    """An API user: JSON in, JSON out, X-Auth-Token on every request."""

    def __init__(self, user: User, project: Project) -> None:
        self.user, self.project = user, project
        self.ctx = services.context_for(user, project)
        self.token, self.token_row = tokens.issue(user, project)
        self.client = Client()

    def request(self, method: str, path: str, data: Any = None, *, format: str = "json", **extra: Any) -> Any:
        """`data` becomes the query of a GET and the JSON body of the rest; bytes go as they are, with `content_type` of yours."""
        extra["headers"] = {"X-Auth-Token": self.token, **extra.get("headers", {})}
        if method in {"get", "head"}:
            return getattr(self.client, method)(path, data, **extra)
        if data is not None or format == "json":
            extra.setdefault("content_type", "application/json")
        return getattr(self.client, method)(path, "" if data is None else data, **extra)

    def get(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.request("get", path, data, **extra)

    def head(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.request("head", path, data, **extra)

    def post(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.request("post", path, data, **extra)

    def put(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.request("put", path, data, **extra)

    def patch(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.request("patch", path, data, **extra)

    def delete(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.request("delete", path, data, **extra)


class PageClient(Client):
    """A browser with a session; `.user`, `.project` and `.ctx` say whose."""

    def __init__(self, user: User, project: Project) -> None:
        super().__init__()
        self.user, self.project = user, project
        self.ctx = services.context_for(user, project)
        self.force_login(user, backend="dashboard.identity.authentication.PasswordBackend")


@pytest.fixture
def password() -> str:
    """Everybody's password."""
    return PASSWORD


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A web server of ours to fetch from, honest or not."""
    with Mirror() as running:
        yield running


@pytest.fixture
def demo(db: None) -> Project:
    return make_project("demo")


@pytest.fixture
def partner(db: None) -> Project:
    return make_project("partner")


def _alice() -> tuple[User, Project]:
    return make_user("alice", project := make_project("demo")), project


def _bob() -> tuple[User, Project]:
    return make_user("bob", project := make_project("partner")), project


def _carol() -> tuple[User, Project]:
    return make_user("carol", project := make_project("demo"), "reader"), project


def _admin() -> tuple[User, Project]:
    return make_user("admin", project := make_project("admin"), "admin"), project


@pytest.fixture
def alice(db: None) -> ApiClient:
    return ApiClient(*_alice())


@pytest.fixture
def bob(db: None) -> ApiClient:
    return ApiClient(*_bob())


@pytest.fixture
def carol(db: None) -> ApiClient:
    return ApiClient(*_carol())


@pytest.fixture
def admin(db: None) -> ApiClient:
    return ApiClient(*_admin())


@pytest.fixture
def alice_page(db: None) -> PageClient:
    return PageClient(*_alice())


@pytest.fixture
def bob_page(db: None) -> PageClient:
    return PageClient(*_bob())


@pytest.fixture
def carol_page(db: None) -> PageClient:
    return PageClient(*_carol())


@pytest.fixture
def admin_page(db: None) -> PageClient:
    return PageClient(*_admin())
