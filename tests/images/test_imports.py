"""The import journey on real files, with real qemu-img and a real mirror: what arrives, what is refused, what a crash leaves."""

import hashlib
import os
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from dashboard.core import qemu_img
from dashboard.core.errors import BadRequest, Conflict, Error, Forbidden, QuotaExceeded
from dashboard.identity import services as identity
from dashboard.jobs import leases
from dashboard.jobs import services as jobs
from dashboard.jobs.models import Job
from dashboard.jobs.models import Status as JobStatus
from images import stores
from images.models import Blob, Image, Upload
from images.services import data, imports, sweeping, uploads
from images.services.actions import actions
from images.states import Status
from images.uploads import staging
from tests.factories import make_image
from tests.waiting import until

MIB = 2**20
DEAD = f"{leases.me().split(':')[0]}:4194303:1"  # a process of this host that does not exist
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.qemu,
    pytest.mark.skipif(not qemu_img.available(), reason="qemu-img is not installed"),
]


@pytest.fixture(autouse=True)
def _places(settings, tmp_path):
    settings.STAGING = tmp_path / "staging"
    settings.STORES = {"local": {"driver": "images.stores.filesystem.FileSystemStore", "root": str(tmp_path / "blobs")}}
    settings.DEFAULT_STORE = "local"
    settings.IMPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    settings.IMPORT_ALLOWED_PORTS = []


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> dict[str, Path]:
    """One disk with something written on it, in several formats."""
    folder = tmp_path_factory.mktemp("disk")
    raw = folder / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(48 * MIB)
        for at in (0, 7 * MIB, 30 * MIB):
            file.seek(at)
            file.write(os.urandom(2 * MIB))
    made = {"raw": raw}
    for name, driver in (("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vhd", "vpc")):
        made[name] = folder / f"disk.{name}"
        options = ["-o", "force_size=on"] if driver == "vpc" else []
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options, str(raw), str(made[name])], check=True)
    return made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def bytes_of(image: Image) -> bytes:
    [location] = image.locations.all()
    return b"".join(bytes(piece) for piece in stores.get(location.blob.store).read(location.blob.key))


def queued(disk_format: str = "qcow2", **fields) -> Image:
    return make_image(status="queued", disk_format=disk_format, **fields)


def download(alice, image: Image, url: str, **options) -> Job:
    """Begin a web-download and do its work here."""
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": url}, **options)
    imports.run(job.id)
    return refreshed(job, image)


def send(alice, image: Image, data: bytes, **options) -> tuple[Upload, Job]:
    """A finished resumable upload whose job waits for a worker."""
    upload, _grant = uploads.create(alice.ctx, image, length=len(data), filename="disk", **options)
    staging.path(upload.id).write_bytes(data)
    uploads.complete(upload)
    return upload, upload.job


def refreshed(job: Job, image: Image) -> Job:
    job.refresh_from_db()
    image.refresh_from_db()
    return job


def assert_back_to_queued(image: Image, job: Job, reason: str) -> None:
    """Image as before, nothing left anywhere, the reason kept."""
    refreshed(job, image)
    assert (image.status, image.size, image.virtual_size, image.checksum) == ("queued", None, None, None)
    assert reason.lower() in job.message.lower()
    assert list(staging.directory().iterdir()) == []
    assert not Upload.objects.exists()
    assert not Blob.objects.exists()
    assert not [found for found in Path(django_settings.STORES["local"]["root"]).rglob("*") if found.is_file()]


# -- what arrives ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk", "vdi", "vhdx", "vhd"])
def test_a_file_from_the_web_becomes_an_active_image(alice, mirror, disk, disk_format):
    data = disk[disk_format].read_bytes()
    image = queued(disk_format)
    job = download(alice, image, mirror.serve("/disk", data))
    assert (job.status, job.message) == (JobStatus.SUCCEEDED, "")
    assert [s["name"] for s in job.steps] == ["download", "inspect", "hash", "store", "activate"]
    assert (image.status, image.size, image.virtual_size) == ("active", len(data), 48 * MIB)
    assert (image.checksum, image.os_hash_value) == (hashlib.md5(data).hexdigest(), hashlib.sha512(data).hexdigest())
    assert bytes_of(image) == data
    assert list(staging.directory().iterdir()) == []


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi", "vhdx", "vhd"])
def test_converted_to_raw_it_is_what_qemu_makes_of_it(alice, disk, disk_format, heard_progress):
    image = queued(disk_format)
    _upload, job = send(alice, image, disk[disk_format].read_bytes(), target_format="raw")
    imports.run(job.id)
    refreshed(job, image)
    assert (job.status, job.message) == (JobStatus.SUCCEEDED, "")
    assert (image.status, image.disk_format, image.size, image.virtual_size) == ("active", "raw", 48 * MIB, 48 * MIB)
    assert sha256(bytes_of(image)) == sha256(disk["raw"].read_bytes())
    assert not Upload.objects.exists()
    assert list(staging.directory().iterdir()) == []
    assert {"inspect", "convert", "hash", "store", "activate"} <= {m.get("stage") for m in heard_progress}
    assert job.steps[0]["name"] == "send"


def test_converted_to_qcow2_it_is_smaller_and_holds_the_same_disk(alice, disk, tmp_path):
    image = queued("raw")
    _upload, job = send(alice, image, disk["raw"].read_bytes(), target_format="qcow2")
    imports.run(job.id)
    refreshed(job, image)
    assert (image.status, image.disk_format, image.virtual_size) == ("active", "qcow2", 48 * MIB)
    assert (image.size or 0) < 10 * MIB
    back = tmp_path / "back.qcow2"
    back.write_bytes(bytes_of(image))
    compared = subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", str(back), str(disk["raw"])], check=False)
    assert compared.returncode == 0


def test_the_same_format_again_and_installation_media_are_kept_as_they_are(alice, disk):
    data = disk["qcow2"].read_bytes()
    image = queued("qcow2")
    _upload, job = send(alice, image, data, target_format="qcow2")
    imports.run(job.id)
    refreshed(job, image)
    assert image.status == "active"
    assert bytes_of(image) == data


def test_staged_data_is_imported(alice, disk):
    data = disk["qcow2"].read_bytes()
    image = make_image(status="uploading", disk_format="qcow2")
    staging.directory()
    staging.path(image.id).write_bytes(data)
    job = imports.start(alice.ctx, image, {"name": "glance-direct"})
    imports.run(job.id)
    refreshed(job, image)
    assert image.status == "active"
    assert bytes_of(image) == data
    assert list(staging.directory().iterdir()) == []


@pytest.mark.parametrize("algo", ["md5", "sha256", "sha512"])
def test_a_right_checksum_lets_it_pass(alice, mirror, disk, algo):
    data = disk["qcow2"].read_bytes()
    image = queued()
    expected = {"algo": algo, "value": hashlib.new(algo, data).hexdigest().upper()}
    job = download(alice, image, mirror.serve("/disk", data), expected=expected)
    assert image.status == "active"
    assert "verify" in [s["name"] for s in job.steps if s["done"] == len(data)]


# -- what is refused -------------------------------------------------------------------------------------------------
def test_a_wrong_checksum_is_found_before_any_program_touches_the_file(alice, mirror, disk, monkeypatch):
    monkeypatch.setattr(qemu_img, "_run", lambda *args, **kwargs: pytest.fail("a program was run"))
    image = queued()
    job = download(alice, image, mirror.serve("/disk", disk["qcow2"].read_bytes()), expected={"algo": "sha256", "value": "0" * 64})
    assert job.status == JobStatus.FAILED
    assert_back_to_queued(image, job, "checksum")


def test_a_hostile_file_is_refused_after_its_first_mebibyte(alice, mirror, tmp_path):
    canary, hostile = tmp_path / "canary", tmp_path / "hostile.qcow2"
    canary.write_bytes(b"secret" * 1000)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", str(canary), "-F", "raw", str(hostile), "64M"], check=True)
    data = hostile.read_bytes().ljust(2 * MIB, b"\0")

    def page(visit):
        visit.begin(Content_Length=10**9)
        visit.wfile.write(data)
        visit.wfile.flush()
        gone.wait(10)  # the rest never comes: the refusal must not wait for it

    gone = threading.Event()
    mirror.pages["/disk"] = page
    image, began = queued(), time.monotonic()
    job = download(alice, image, mirror.url("/disk"))
    gone.set()
    assert time.monotonic() - began < 5
    assert job.status == JobStatus.FAILED
    assert_back_to_queued(image, job, "backing")


def test_a_file_of_another_format_than_declared_is_refused(alice, mirror, disk):
    image = queued("raw")
    job = download(alice, image, mirror.serve("/disk", disk["qcow2"].read_bytes()))
    assert_back_to_queued(image, job, "declared")


def test_an_empty_file_is_refused(alice, mirror):
    image = queued("raw")
    job = download(alice, image, mirror.serve("/disk", b""))
    assert_back_to_queued(image, job, "empty")


def test_a_missing_file_is_told_and_retry_fetches_it_when_it_is_there(alice, mirror, disk):
    image = queued()
    job = download(alice, image, mirror.url("/disk"), target_format="raw")
    assert_back_to_queued(image, job, "404")
    mirror.serve("/disk", disk["qcow2"].read_bytes())
    again = imports.retry(alice.ctx, image)
    imports.run(again.id)
    refreshed(again, image)
    assert (image.status, image.disk_format) == ("active", "raw")


def test_a_sent_file_cannot_be_fetched_again_and_the_reason_says_what_to_do(alice):
    image = queued("raw")
    _upload, job = send(alice, image, b"")
    imports.run(job.id)
    with pytest.raises(Conflict, match="choose it once more"):
        imports.retry(alice.ctx, Image.objects.get(pk=image.pk))


@pytest.mark.parametrize(("quota", "length_known"), [(1, True), (1, False)])
def test_a_download_over_the_quota_ends_with_the_numbers(alice, mirror, disk, settings, quota, length_known):
    settings.QUOTAS = {**settings.QUOTAS, "image_size_total": quota}
    data = disk["qcow2"].read_bytes()

    def page(visit):
        visit.begin(**({"Content_Length": len(data)} if length_known else {}))
        visit.wfile.write(data)

    mirror.pages["/disk"] = page
    image = queued()
    job = download(alice, image, mirror.url("/disk"))
    assert_back_to_queued(image, job, "1 MiB")


def test_a_small_file_that_would_become_a_disk_over_the_quota_is_not_converted(alice, mirror, disk, settings, monkeypatch):
    settings.QUOTAS = {**settings.QUOTAS, "image_size_total": 20}
    monkeypatch.setattr(qemu_img, "convert", lambda *args, **kwargs: pytest.fail("it was converted"))
    image = queued()
    job = download(alice, image, mirror.serve("/disk", disk["qcow2"].read_bytes()), target_format="raw")
    assert_back_to_queued(image, job, "48 MiB")


def test_a_virtual_disk_over_the_cap_is_refused(alice, mirror, disk, settings):
    settings.IMAGE_SIZE_CAP = 20 * MIB
    image = queued()
    job = download(alice, image, mirror.serve("/disk", disk["qcow2"].read_bytes()))
    assert_back_to_queued(image, job, "larger than this server allows")


def test_two_downloads_at_once_cannot_share_the_same_room(alice, mirror, disk, settings):
    data = disk["qcow2"].read_bytes()
    settings.QUOTAS = {**settings.QUOTAS, "image_size_total": len(data) * 3 // 2 // MIB}
    go_on = threading.Event()

    def slow(visit):
        visit.begin(Content_Length=len(data))
        visit.wfile.write(data[: 2 * MIB])
        visit.wfile.flush()
        go_on.wait(10)
        visit.wfile.write(data[2 * MIB :])

    mirror.pages["/slow"] = slow
    first, second = queued(), queued()
    job = imports.start(alice.ctx, first, {"name": "web-download", "uri": mirror.url("/slow")})
    thread = in_thread(imports.run, job.id)
    until(lambda: Image.objects.get(pk=first.pk).size == len(data))
    other = imports.start(alice.ctx, second, {"name": "web-download", "uri": mirror.serve("/disk", data)})
    imports.run(other.id)
    go_on.set()
    thread.join(20)
    assert refreshed(other, second).status == JobStatus.FAILED
    assert refreshed(job, first).status == JobStatus.SUCCEEDED


def test_a_user_disabled_meanwhile_gets_no_image(alice, mirror, disk):
    image = queued()
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": mirror.serve("/disk", disk["qcow2"].read_bytes())})
    identity.set_enabled(alice.user, False)
    imports.run(job.id)
    assert_back_to_queued(image, job, "may no longer act")


def test_a_member_whose_role_was_taken_away_gets_no_image(alice, mirror, disk):
    image = queued()
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": mirror.serve("/disk", disk["qcow2"].read_bytes())})
    identity.revoke(alice.user, alice.project, "member")
    identity.grant(alice.user, alice.project, "reader")
    imports.run(job.id)
    assert_back_to_queued(image, job, "upload_image")


# -- beginning -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "uri", ["http://10.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "nonsense", "", None, "http://a@127.0.0.1/"]
)
def test_a_forbidden_address_is_refused_at_once_and_nothing_is_begun(alice, uri):
    image = queued()
    with pytest.raises(BadRequest):
        imports.start(alice.ctx, image, {"name": "web-download", "uri": uri})
    assert Image.objects.get(pk=image.pk).status == "queued"
    assert not Job.objects.exists()


def test_two_imports_into_one_image_are_one_too_many(alice, mirror):
    image = queued()
    method = {"name": "web-download", "uri": mirror.url("/disk")}
    imports.start(alice.ctx, image, method)
    with pytest.raises(Conflict):
        imports.start(alice.ctx, Image.objects.get(pk=image.pk), method)
    with pytest.raises(Conflict):
        uploads.create(alice.ctx, Image.objects.get(pk=image.pk), length=1, filename="x")
    assert Job.objects.count() == 1


def test_staged_data_must_be_there(alice):
    with pytest.raises(Conflict):
        imports.start(alice.ctx, queued(), {"name": "glance-direct"})
    image = make_image(status="uploading")
    with pytest.raises(Conflict):
        imports.start(alice.ctx, image, {"name": "glance-direct"})
    assert Image.objects.get(pk=image.pk).status == "uploading"


def test_what_is_being_sent_is_not_imported_under_the_senders_feet(alice):
    image = queued("raw")
    uploads.create(alice.ctx, image, length=10, filename="x")
    with pytest.raises(Conflict, match="still being sent"):
        imports.start(alice.ctx, Image.objects.get(pk=image.pk), {"name": "glance-direct"})


def test_readers_and_strangers_import_nothing(alice, bob, carol, mirror):
    image = queued(visibility="public")
    for asker in (bob, carol):
        with pytest.raises(Forbidden):
            imports.start(asker.ctx, image, {"name": "web-download", "uri": mirror.url("/disk")})


@pytest.mark.parametrize(
    "options",
    [
        {"target_format": "vhs"}, {"expected": {"algo": "sha256", "value": "abc"}}, {"expected": {"algo": "crc32", "value": "0" * 8}},
        {"expected": {"algo": "md5", "value": "g" * 32}}, {"stores": ["nowhere"]},
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_met_are_refused_before_anything_begins(alice, mirror, options):
    image = queued()
    with pytest.raises(Error):
        imports.start(alice.ctx, image, {"name": "web-download", "uri": mirror.url("/disk")}, **options)
    assert Image.objects.get(pk=image.pk).status == "queued"


def test_formats_must_be_known_and_the_method_too(alice, mirror):
    with pytest.raises(BadRequest):
        imports.start(alice.ctx, queued(container_format=None), {"name": "web-download", "uri": mirror.url("/disk")})
    with pytest.raises(BadRequest):
        imports.start(alice.ctx, queued(), {"name": "copy-image"})


def test_a_project_at_its_limit_of_running_uploads_begins_no_more(alice, mirror, settings):
    settings.QUOTAS = {**settings.QUOTAS, "image_count_uploading": 1}
    method = {"name": "web-download", "uri": mirror.url("/disk")}
    imports.start(alice.ctx, queued(), method)
    with pytest.raises(QuotaExceeded):
        imports.start(alice.ctx, queued(), method)


# -- cancelling, deleting --------------------------------------------------------------------------------------------
def in_thread(call, *args) -> threading.Thread:
    def run() -> None:
        try:
            call(*args)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def held_mirror(mirror, disk):
    """A mirror that sends a part of the disk and then holds its breath."""
    data = disk["qcow2"].read_bytes()
    release = threading.Event()

    def page(visit):
        visit.begin(Content_Length=len(data))
        visit.wfile.write(data[: 2 * MIB])
        visit.wfile.flush()
        release.wait(20)

    mirror.pages["/disk"] = page
    yield mirror
    release.set()


def test_a_download_is_cancelled_while_nothing_arrives(alice, held_mirror):
    image = queued()
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": held_mirror.url("/disk")})
    worker = in_thread(imports.run, job.id)
    until(lambda: (Job.objects.get(pk=job.pk).stage, Image.objects.get(pk=image.pk).size is not None) == ("download", True))
    imports.cancel(alice.ctx, image)
    worker.join(10)
    assert not worker.is_alive()
    assert refreshed(job, image).status == JobStatus.CANCELLED
    assert_back_to_queued(image, job, "Cancelled by alice")


def test_an_image_deleted_during_its_download_leaves_nothing(alice, held_mirror):
    image = queued()
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": held_mirror.url("/disk")})
    worker = in_thread(imports.run, job.id)
    until(lambda: Image.objects.get(pk=image.pk).size is not None)
    imports.throw_away(alice.ctx, Image.objects.get(pk=image.pk))
    worker.join(10)
    assert not worker.is_alive()
    refreshed(job, image)
    assert image.status == Status.DELETED
    assert job.status in {JobStatus.CANCELLED, JobStatus.FAILED}
    assert "deleted" in job.message
    assert list(staging.directory().iterdir()) == []
    assert not Blob.objects.exists()


@pytest.mark.parametrize("step", ["verify", "inspect", "convert", "hash", "store", "activate"])
def test_it_can_be_cancelled_at_every_step(alice, disk, step, monkeypatch):
    """The wish comes at the very moment the step begins; qemu-img must not live on."""
    data = disk["qcow2"].read_bytes()
    image = queued()
    _upload, job = send(alice, image, data, target_format="raw", expected={"algo": "md5", "value": hashlib.md5(data).hexdigest()})
    begin = jobs.Progress.step

    def cancel_then(self, name, total=None, note=""):
        if name == step:
            imports.cancel(alice.ctx, image)
            self._checked = 0.0
        begin(self, name, total, note)

    monkeypatch.setattr(jobs.Progress, "step", cancel_then)
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.CANCELLED
    assert_back_to_queued(image, job, "Cancelled by alice")


def test_a_running_conversion_is_killed(alice, tmp_path):
    source = tmp_path / "big.raw"
    with source.open("wb") as file:
        for _n in range(192):
            file.write(os.urandom(MIB))
    image = queued("raw")
    _upload, job = send(alice, image, source.read_bytes(), target_format="qcow2")
    worker = in_thread(imports.run, job.id)
    until(lambda: Job.objects.get(pk=job.pk).stage == "convert")
    imports.cancel(alice.ctx, image)
    worker.join(10)
    assert not worker.is_alive()
    assert_back_to_queued(image, job, "Cancelled by alice")


def test_an_upload_given_up_before_it_was_complete_leaves_nothing(alice):
    image = queued("raw")
    upload, _grant = uploads.create(alice.ctx, image, length=10, filename="x")
    staging.path(upload.id).write_bytes(b"12345")
    imports.cancel(alice.ctx, image)
    imports.run(upload.job_id)
    assert_back_to_queued(image, upload.job, "Cancelled by alice")


def test_throwing_away_is_for_images_without_data(alice):
    with pytest.raises(Conflict):
        imports.throw_away(alice.ctx, make_image())
    image = queued()
    imports.throw_away(alice.ctx, image)
    assert Image.objects.get(pk=image.pk).status == Status.DELETED


# -- after a crash ---------------------------------------------------------------------------------------------------
def die(job: Job, image: Image, **fields) -> None:
    """The row as a killed worker leaves it."""
    Image.objects.filter(pk=image.pk).update(status=Status.IMPORTING)
    values = {"status": JobStatus.RUNNING, "lease": DEAD, "heartbeat_at": timezone.now(), "attempts": 1, **fields}
    Job.objects.filter(pk=job.pk).update(**values)


def test_a_conversion_whose_worker_was_killed_is_done_again_from_the_sent_file(alice, disk):
    image = queued()
    upload, job = send(alice, image, disk["qcow2"].read_bytes(), target_format="raw")
    die(job, image, stage="convert")
    staging.path(upload.id).with_suffix(".converted").write_bytes(b"half")
    assert jobs.reap() == 1
    imports.run(job.id)
    refreshed(job, image)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
    assert sha256(bytes_of(image)) == sha256(disk["raw"].read_bytes())
    assert list(staging.directory().iterdir()) == []


def test_a_finished_download_is_not_fetched_again(alice, mirror, disk):
    data, image = disk["qcow2"].read_bytes(), queued()
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": mirror.serve("/disk", data)})
    staging.directory()
    staging.path(image.id).write_bytes(data)
    die(job, image, stage="inspect", arguments={**job.arguments, "fetched": len(data)})
    jobs.reap()
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.SUCCEEDED
    assert mirror.visits == []


def test_a_download_cut_by_a_kill_begins_again(alice, mirror, disk):
    data, image = disk["qcow2"].read_bytes(), queued()
    job = imports.start(alice.ctx, image, {"name": "web-download", "uri": mirror.serve("/disk", data)})
    staging.directory()
    staging.path(image.id).write_bytes(b"half")
    die(job, image, stage="download")
    jobs.reap()
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.SUCCEEDED
    assert bytes_of(image) == data


def test_a_sent_file_that_is_gone_fails_with_that_reason(alice, disk):
    image = queued()
    upload, job = send(alice, image, disk["qcow2"].read_bytes())
    die(job, image, stage="store")
    staging.remove(upload.id)
    jobs.reap()
    imports.run(job.id)
    assert_back_to_queued(image, job, "no longer there")


@pytest.mark.parametrize("staged", [False, True])
def test_a_file_that_the_store_had_when_the_worker_was_killed_need_not_be_sent_again(alice, disk, staged: bool):
    image, sent = queued(), disk["qcow2"].read_bytes()
    if staged:
        Image.objects.filter(pk=image.pk).update(status="uploading")
        staging.path(image.id).write_bytes(sent)
        job = imports.start(alice.ctx, image, {"name": "glance-direct"})
    else:
        _upload, job = send(alice, image, sent)
    lost = data.store_file(staging.path(job.arguments.get("upload") or image.id)).blob
    Blob.objects.filter(pk=lost.pk).update(lease=DEAD)
    die(job, image, stage="activate")
    jobs.reap()
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.SUCCEEDED, job.message
    assert bytes_of(image) == sent
    assert list(staging.directory().iterdir()) == []
    sweeping.sweep()
    assert bytes_of(image) == sent
    assert Blob.objects.get().key != lost.key


def test_a_worker_killed_after_the_last_step_had_succeeded(alice, disk):
    image = queued()
    _upload, job = send(alice, image, disk["qcow2"].read_bytes())
    imports.run(job.id)
    Job.objects.filter(pk=job.pk).update(status=JobStatus.RUNNING, lease=DEAD, attempts=1, finished_at=None)
    jobs.reap()
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.SUCCEEDED
    assert image.status == "active"


def test_after_three_killed_workers_it_is_given_up(alice, disk):
    image = queued()
    _upload, job = send(alice, image, disk["qcow2"].read_bytes())
    die(job, image, stage="convert", attempts=3)
    jobs.reap()
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.FAILED
    assert_back_to_queued(image, job, "three times")


def test_a_second_delivery_of_the_same_task_does_nothing(alice, disk):
    image = queued()
    _upload, job = send(alice, image, disk["qcow2"].read_bytes())
    imports.run(job.id)
    imports.run(job.id)
    imports.run("00000000-0000-0000-0000-000000000000")
    assert refreshed(job, image).status == JobStatus.SUCCEEDED
    assert image.locations.count() == 1


def test_a_direct_upload_whose_server_was_killed_is_told_and_undone(alice):
    image = make_image(status="saving", size=10)
    job = jobs.open_job(alice.ctx, "images.upload", title="x", subject_type="image", subject_id=image.id, plan=["send"], waiting=True)
    Job.objects.filter(pk=job.pk).update(status=JobStatus.RUNNING, lease=DEAD, attempts=1)
    jobs.reap()
    imports.interrupted(job.id)
    assert refreshed(job, image).status == JobStatus.FAILED
    assert_back_to_queued(image, job, "Send it again")


def test_a_direct_upload_whose_server_was_killed_after_its_last_step_is_told_to_be_done(alice, disk):
    image = queued()
    _upload, done = send(alice, image, disk["qcow2"].read_bytes())
    imports.run(done.id)
    job = jobs.open_job(alice.ctx, "images.upload", title="x", subject_type="image", subject_id=image.id, plan=["send"], waiting=True)
    Job.objects.filter(pk=job.pk).update(status=JobStatus.RUNNING, lease=DEAD, attempts=1)
    jobs.reap()
    imports.interrupted(job.id)
    assert refreshed(job, image).status == JobStatus.SUCCEEDED
    assert image.status == "active"


@pytest.mark.parametrize("kind", ["images.import", "images.upload"])
def test_work_that_died_after_it_gave_the_image_back_leaves_the_next_alone(alice, kind: str):
    image = queued("raw")
    died = jobs.open_job(
        alice.ctx, kind, title="x", subject_type="image", subject_id=image.id, plan=["send"], arguments={"method": "glance-direct"}
    )
    upload, _grant = uploads.create(alice.ctx, image, length=10, filename="x")
    for path in (staging.path(upload.id), staging.path(image.id)):
        path.write_bytes(b"x")
    (imports.run if kind == "images.import" else imports.interrupted)(died.id)
    assert refreshed(died, image).status == JobStatus.FAILED
    assert image.status == "uploading"
    assert Upload.objects.filter(pk=upload.pk).exists()
    assert staging.path(image.id).exists()
    assert staging.path(upload.id).exists()


def test_an_image_is_not_given_back_before_its_staged_bytes_are_gone(alice, monkeypatch):
    """Somebody who stages anew at once would lose the new bytes, which have the same name."""
    image = make_image(status="uploading", disk_format="qcow2")
    staging.path(image.id).write_bytes(b"no qcow2")
    job = imports.start(alice.ctx, image, {"name": "glance-direct"})
    there: list[bool] = []
    give_back = uploads.back_to_queued

    def looked_at(*given: Any) -> Any:
        there.append(staging.path(image.id).exists())
        return give_back(*given)

    monkeypatch.setattr(uploads, "back_to_queued", looked_at)
    imports.run(job.id)
    assert refreshed(job, image).status == JobStatus.FAILED
    assert there == [False]


# -- tidying ---------------------------------------------------------------------------------------------------------
def test_the_sweep_removes_what_nobody_refers_to_and_nothing_else(alice):
    image = queued("raw")
    upload, _grant = uploads.create(alice.ctx, image, length=10, filename="x")
    staged = make_image(status="uploading")
    working = make_image(status="importing")
    jobs.open_job(alice.ctx, "images.import", title="x", subject_type="image", subject_id=working.id, plan=["download"])
    kept = [staging.path(upload.id), staging.path(staged.id), staging.path(working.id), staging.directory() / "not-ours"]
    left = [staging.path(make_image().id), staging.path("0" * 32).with_suffix(".converted")]
    for path in kept + left:
        path.write_bytes(b"x")
    sweeping.sweep()
    assert sorted(staging.directory().iterdir()) == sorted(kept)


def test_an_image_at_work_for_which_nobody_works_is_queued_again(alice):
    image = make_image(status="importing", size=10)
    Image.objects.filter(pk=image.pk).update(updated_at=timezone.now() - timedelta(minutes=2))
    sweeping.sweep()
    image.refresh_from_db()
    assert (image.status, image.size) == ("queued", None)


# -- who hears of it -------------------------------------------------------------------------------------------------
@pytest.fixture
def heard_progress(monkeypatch):
    from dashboard.jobs import live

    messages: list[dict[str, object]] = []
    monkeypatch.setattr(live, "publish", lambda groups, message, number="": messages.append(message))
    return messages


def test_a_public_image_is_told_to_everyone_and_a_private_one_to_its_project_only(alice):
    from images import live

    project = f"project.{alice.project.id}"
    assert live.audience(make_image(visibility="public")) == {project, "admins", "everyone"}
    for visibility in ("private", "shared", "community"):
        assert live.audience(make_image(visibility=visibility)) == {project, "admins"}


def test_the_catalogue_offers_retry_for_what_was_fetched_and_tells_why_not_for_what_was_sent(alice, mirror):
    image = queued()
    job = download(alice, image, mirror.url("/gone"))
    assert actions(alice.ctx, image, job)["retry"].allowed
    assert imports.look_up(alice.ctx, [job])[str(image.id)].retry_url
