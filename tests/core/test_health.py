"""/healthz and /readyz, as a load balancer reads them."""

import json
import time

import pytest
from django.core.cache import cache
from django.db import connection

from dashboard.asgi import application
from dashboard.jobs import health

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker():
    health.report()
    yield
    cache.delete(health.KEY)


async def test_alive_needs_nothing_but_the_event_loop(django_db_blocker):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/healthz", "headers": []}
    with django_db_blocker.block():
        await application(scope, None, send)
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"]) == {"status": "ok"}


def test_ready_when_database_store_and_worker_are(client, worker):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "workers": "ok", "staging": "ok", "store local": "ok"}}


def test_a_silent_worker_is_named_with_its_silence(client):
    assert client.get("/readyz").json()["checks"]["workers"] == "No worker has reported since the start."
    cache.set(health.KEY, time.time() - 90, timeout=None)
    answer = client.get("/readyz")
    cache.delete(health.KEY)
    assert answer.status_code == 503
    assert answer.json()["checks"]["workers"] == "No worker has reported for 90 seconds."


def test_a_store_that_is_gone_is_named(client, worker, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    driver = "images.stores.filesystem.FileSystemStore"
    settings.STORES = {**settings.STORES, "archive": {"driver": driver, "root": str(tmp_path / "file" / "blobs")}}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "ok",
        "workers": "ok",
        "staging": "ok",
        "store local": "ok",
        "store archive": "The store does not answer.",
    }


def test_a_staging_folder_that_is_gone_is_named(client, worker, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    settings.STAGING = tmp_path / "file" / "staging"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["staging"] == "The staging folder does not answer."


def test_a_database_without_our_tables_is_named(client, worker):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE identity_domain RENAME TO elsewhere")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "The database does not answer."
