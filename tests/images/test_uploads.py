"""A resumable upload belongs to who began it, in the project it was begun in, as long as that person may still do it."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from dashboard.core.errors import BadRequest, Conflict, Forbidden, InvalidTransition, NotFound, QuotaExceeded, TooLarge
from dashboard.identity import services as identity
from dashboard.jobs.models import Job
from images.models import Image, Upload
from images.services import uploads
from images.uploads import staging
from tests.factories import make_image, make_project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> None:
    settings.STAGING = tmp_path / "staging"


@pytest.fixture
def queued(alice: Any) -> Image:
    return make_image(status="queued", disk_format="raw", owner=alice.project.id)


def begun(alice: Any, image: Image, length: int = 100, **more: Any) -> tuple[Upload, str]:
    return uploads.create(alice.ctx, image, length=length, filename="disk.raw", **more)


def fill(upload: Upload, data: bytes) -> None:
    file = staging.Appender(upload.pk)
    file.append(data)
    file.sync()
    file.close()


def test_beginning_moves_the_image_and_opens_a_waiting_job(alice: Any, queued: Image):
    upload, grant = begun(alice, queued, target_format="qcow2", expected={"algo": "md5", "value": "0" * 32})
    job = Job.objects.get(pk=upload.job_id)
    queued.refresh_from_db()
    assert queued.status == "uploading"
    assert (job.kind, job.status, job.total, job.user_id) == ("images.import", "waiting", 100, alice.user.id)
    assert [step["name"] for step in job.steps] == ["send", "verify", "inspect", "convert", "hash", "store", "activate"]
    assert job.arguments["upload"] == str(upload.pk)
    assert grant not in Upload.objects.values_list("grant", flat=True)


def test_only_one_upload_at_a_time(alice: Any, queued: Image):
    begun(alice, queued)
    with pytest.raises(InvalidTransition):
        begun(alice, Image.objects.get(pk=queued.pk))
    assert Upload.objects.count() == Job.objects.count() == 1


def test_what_is_refused_leaves_no_trace(alice: Any, carol: Any, bob: Any, queued: Image, settings: Any):
    with pytest.raises(Forbidden):
        begun(carol, queued)
    with pytest.raises(NotFound):
        begun(bob, queued)
    settings.QUOTAS = {**settings.QUOTAS, "image_size_total": 0}
    with pytest.raises(QuotaExceeded):
        begun(alice, queued)
    settings.QUOTAS = {**settings.QUOTAS, "image_size_total": -1}
    settings.IMAGE_SIZE_CAP = 99
    with pytest.raises(TooLarge):
        begun(alice, queued)
    Image.objects.filter(pk=queued.pk).update(disk_format=None)
    with pytest.raises(BadRequest, match="must be set prior to saving data"):
        begun(alice, Image.objects.get(pk=queued.pk), length=5)
    queued.refresh_from_db()
    assert queued.status == "queued"
    assert not Upload.objects.exists()
    assert not Job.objects.exists()


def test_it_is_found_by_its_creator_in_its_project_only(alice: Any, bob: Any, carol: Any, admin: Any, queued: Image):
    upload, grant = begun(alice, queued)
    assert uploads.find(upload.pk, alice.ctx) == upload
    assert uploads.find(str(upload.pk), grant=grant) == upload
    for ctx in (bob.ctx, carol.ctx, admin.ctx):
        with pytest.raises(NotFound):
            uploads.find(upload.pk, ctx)
    other = make_project("other")
    identity.grant(alice.user, other, "member")
    for ctx, secret in ((identity.context_for(alice.user, other), None), (None, "guess"), (None, ""), (None, upload.grant)):
        with pytest.raises(NotFound):
            uploads.find(upload.pk, ctx, secret)


@pytest.mark.parametrize("loss", ["disabled", "role", "reader", "project"])
def test_a_grant_ends_with_the_account_or_the_role(alice: Any, queued: Image, loss: str):
    upload, grant = begun(alice, queued)
    if loss == "disabled":
        identity.set_enabled(alice.user, False)
    elif loss == "project":
        identity.set_enabled(alice.project, False)
    else:
        identity.revoke(alice.user, alice.project, "member")
        if loss == "reader":
            identity.grant(alice.user, alice.project, "reader")
    with pytest.raises(NotFound):
        uploads.find(upload.pk, grant=grant)


def test_giving_up_returns_the_image_and_the_space(alice: Any, queued: Image):
    upload, _grant = begun(alice, queued)
    fill(upload, b"x" * 50)
    uploads.terminate(upload)
    queued.refresh_from_db()
    assert queued.status == "queued"
    assert not staging.path(upload.pk).exists()
    assert not Upload.objects.exists()
    assert Job.objects.get().status == "cancelled"


def test_a_complete_upload_is_handed_over_once(alice: Any, queued: Image):
    upload, _grant = begun(alice, queued)
    assert uploads.keep(upload, 99)
    assert Job.objects.get().status == "waiting"
    assert uploads.keep(upload, 100)
    uploads.complete(upload)
    assert Job.objects.get().status == "queued"
    with pytest.raises(Conflict):
        uploads.terminate(upload)


def test_forgotten_uploads_expire_and_complete_ones_do_not(alice: Any, queued: Image):
    forgotten, grant = begun(alice, queued)
    fill(forgotten, b"x" * 50)
    done, _grant = begun(alice, make_image(status="queued", owner=alice.project.id))
    uploads.complete(done)
    assert uploads.expire() == 0
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotFound):
        uploads.find(forgotten.pk, grant=grant)
    assert uploads.expire() == 1
    queued.refresh_from_db()
    assert queued.status == "queued"
    assert Job.objects.get(pk=forgotten.job_id).message == "No bytes came for 7 days; the upload was dropped."
    assert not staging.path(forgotten.pk).exists()
    assert Upload.objects.get() == done


def test_bytes_make_it_live_longer(alice: Any, queued: Image):
    upload, _grant = begun(alice, queued)
    Upload.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
    uploads.keep(upload, 10)
    assert Upload.objects.get().expires_at > timezone.now() + timedelta(days=6)


# -- staging --------------------------------------------------------------------------------------------------------
def test_the_size_of_the_file_is_the_offset_zeros_included(alice: Any, queued: Image):
    upload, _grant = begun(alice, queued)
    assert staging.size(upload.pk) == 0
    fill(upload, b"data" + bytes(200_000))
    assert staging.size(upload.pk) == 200_004
    fill(upload, b"more")
    assert staging.path(upload.pk).read_bytes() == b"data" + bytes(200_000) + b"more"


def test_unverified_bytes_do_not_count_and_are_taken_back_by_the_next_writer(alice: Any, queued: Image):
    upload, _grant = begun(alice, queued)
    fill(upload, b"verified")
    crashed = staging.Appender(upload.pk)
    crashed.tentative()
    crashed.append(b"perhaps wrong")
    os.ftruncate(crashed.fileno(), crashed.size)
    crashed.close()
    assert staging.size(upload.pk) == 8
    assert staging.settled(upload.pk) == 8
    assert staging.path(upload.pk).read_bytes() == b"verified"
    staging.remove(upload.pk)
    assert list(staging.directory().iterdir()) == []


def test_two_processes_do_not_write_one_file(alice: Any, queued: Image):
    from images.uploads.locks import Locked

    upload, _grant = begun(alice, queued)
    first = staging.Appender(upload.pk)
    with pytest.raises(Locked):
        staging.Appender(upload.pk)
    first.close()
    staging.Appender(upload.pk).close()


@pytest.mark.parametrize("name", ["..", "x", "../../etc/passwd", ""])
def test_only_ids_name_files(name: str):
    with pytest.raises(ValueError, match="badly formed"):
        staging.path(name)
