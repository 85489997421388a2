"""`POST /image/v2/images/{id}/import`"""

import pytest

from dashboard.jobs.models import Job
from tests.factories import make_image

WEB = {"method": {"name": "web-download", "uri": "http://192.0.2.1/x.qcow2"}}
DIRECT = {"method": {"name": "glance-direct"}}


def ask(person, image, body, **extra):
    return person.post(f"/image/v2/images/{image.id}/import", body, **extra)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"method": "web-download"},
        {"method": {}},
        {"method": {"name": 7}},
        {"method": {"name": "copy-image"}},
        {"method": {"name": "web-download"}},
        {"method": {"name": "web-download", "uri": 7}},
        {"method": {"name": "web-download", "uri": ""}},
        {"method": {"name": "web-download", "uri": "file:///etc/passwd"}},
        {"method": {"name": "web-download", "uri": "ftp://example.org/x"}},
        {"method": {"name": "web-download", "uri": "http://example.org:22/x"}},
        {"method": {"name": "web-download", "uri": "example.org"}},
        {**WEB, "all_stores": "yes"},
        {**WEB, "all_stores_must_succeed": 1},
        {**WEB, "all_stores": True, "stores": ["local"]},
        {**WEB, "stores": "local"},
        {**WEB, "stores": [7]},
    ],
)
def test_a_request_that_makes_no_sense_is_a_400_and_changes_nothing(alice, body):
    image = make_image(status="queued")
    answer = ask(alice, image, body)
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    image.refresh_from_db()
    assert image.status == "queued" and not Job.objects.exists()


def test_an_unknown_store_is_a_409(alice):
    image = make_image(status="queued")
    assert ask(alice, image, {**WEB, "stores": ["moon"]}).status_code == 409
    assert ask(alice, image, WEB, headers={"X-Image-Meta-Store": "moon"}).status_code == 409
    assert ask(alice, image, {**WEB, "stores": ["local"]}, headers={"X-Image-Meta-Store": "local"}).status_code == 400


@pytest.mark.parametrize("status", ["saving", "uploading", "importing", "active", "deactivated", "killed"])
def test_a_download_begins_only_with_a_queued_image(alice, status):
    assert ask(alice, make_image(status=status), WEB).status_code == 409


@pytest.mark.parametrize("status", ["queued", "saving", "importing", "active", "deactivated", "killed"])
def test_staged_data_is_imported_only_when_it_was_staged(alice, status):
    assert ask(alice, make_image(status=status), DIRECT).status_code == 409


@pytest.mark.parametrize("missing", ["disk_format", "container_format"])
def test_both_formats_must_be_known_first(alice, missing):
    answer = ask(alice, make_image(status="queued", **{missing: None}), WEB)
    assert answer.status_code == 409 and missing in answer.json()["error"]["message"]


def test_readers_and_strangers_import_nothing(carol, bob, alice):
    image = make_image(status="queued")
    assert ask(carol, image, WEB).status_code == 403
    assert ask(bob, image, WEB).status_code == 404
    assert ask(bob, make_image(status="queued", visibility="community"), WEB).status_code == 403


def test_alice_begins_a_download_and_gets_a_job(alice, settings):
    settings.IMPORT_ALLOWED_HOSTS = ["192.0.2.1"]  # a documentation address is no public one
    image = make_image(status="queued")
    answer = ask(alice, image, WEB)
    assert (answer.status_code, answer.content) == (202, b"")
    image.refresh_from_db()
    job = Job.objects.get()
    assert image.status == "importing"
    assert (job.kind, job.subject_id, job.arguments["uri"]) == ("images.import", str(image.id), WEB["method"]["uri"])
    assert ask(alice, image, WEB).status_code == 409
