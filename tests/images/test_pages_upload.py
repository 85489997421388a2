"""Another source for an image without data; retry, cancel, throw away."""

import uuid

import pytest
from django.urls import reverse

from dashboard.jobs import services as jobs
from dashboard.jobs.models import Job
from images.models import Image
from images.services import catalogue, uploads

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
FILE = {"source": "file", "filename": "disk.qcow2", "length": "4096", "disk_format": "qcow2"}


def url(name, image):
    return reverse(f"images:{name}", args=[image.id])


@pytest.fixture
def waiting(alice_page):
    """An image of alice's that has no bytes yet."""
    return catalogue.create(alice_page.ctx, name="web-01", disk_format="vmdk", container_format="bare", visibility="private")


@pytest.fixture
def sending(alice_page, waiting):
    """The same with an upload under way."""
    uploads.create(alice_page.ctx, waiting, length=4096, filename="disk.vmdk")
    return Image.objects.get(pk=waiting.pk)


@pytest.fixture
def failed(alice_page, sending):
    """The same after the file was refused."""
    uploads.fail(sending.upload, "The file is a virus.")
    return Image.objects.get(pk=sending.pk)


def test_the_page_says_why_the_last_try_ended(alice_page, failed):
    page = alice_page.get(url("upload", failed)).content.decode()
    assert "The file is a virus." in page
    assert 'type="file"' in page


def test_another_file_of_another_format_may_follow(alice_page, failed):
    answer = alice_page.post(url("upload", failed), FILE, headers=JSON)
    assert answer.status_code == 201
    image = Image.objects.get(pk=failed.pk)
    assert (image.disk_format, image.status, image.upload.filename) == ("qcow2", "uploading", "disk.qcow2")


def test_a_second_upload_to_one_image_is_refused_and_the_first_goes_on(alice_page, sending):
    answer = alice_page.post(url("upload", sending), {**FILE, "disk_format": "vmdk"}, headers=JSON)
    assert answer.status_code == 409
    assert answer.json()["message"]
    assert Image.objects.get(pk=sending.pk).upload.filename == "disk.vmdk"
    assert "Cancel that first" in alice_page.get(url("upload", sending)).content.decode()


def test_the_tray_learns_the_state_in_the_server_s_words(alice_page, failed):
    said = alice_page.get(url("upload", failed), headers=JSON).json()
    assert said["image"] == {"id": str(failed.id), "name": "web-01", "status": "queued"}
    assert (said["job"]["status"], said["job"]["message"], said["job"]["live"]) == ("failed", "The file is a virus.", False)


def test_a_private_image_of_another_project_is_not_there(bob_page, waiting):
    for name in ("upload", "throw-away"):
        assert bob_page.get(url(name, waiting)).status_code == 404
    for name in ("upload", "retry", "cancel", "throw-away"):
        assert bob_page.post(url(name, waiting), FILE, headers=JSON).status_code == 404
    assert bob_page.get(reverse("images:upload", args=[uuid.uuid4()])).status_code == 404


def test_carol_who_only_reads_can_change_nothing(carol_page, sending):
    assert carol_page.post(url("upload", sending), FILE, headers=JSON).status_code in {403, 409}
    assert carol_page.post(url("cancel", sending), headers=JSON).status_code == 403
    assert carol_page.post(url("throw-away", sending), headers=JSON).status_code == 403
    assert Image.objects.get(pk=sending.pk).status == "uploading"
    assert Job.objects.get().cancel_requested is False


def test_retry_of_a_sent_file_leads_to_choosing_it_again(alice_page, failed):
    answer = alice_page.post(url("retry", failed), follow=True)
    assert answer.redirect_chain[-1] == (url("upload", failed), 303)
    assert "choose it once more" in answer.content.decode()


def test_retry_of_an_address_fetches_it_again(alice_page, waiting, monkeypatch):
    monkeypatch.setattr("images.imports.addresses.check", lambda address: address)  # does not look the host up
    address = {"source": "url", "url": "https://images.example/disk.vmdk"}
    assert alice_page.post(url("upload", waiting), address).status_code == 303
    first = Job.objects.get()
    jobs.finish(first, "failed", "The host is away.")
    Image.objects.filter(pk=waiting.pk).update(status="queued")
    assert alice_page.post(url("retry", waiting)).status_code == 303
    again = Job.objects.exclude(pk=first.pk).get()
    assert again.arguments["uri"] == "https://images.example/disk.vmdk"
    assert Image.objects.get(pk=waiting.pk).status == "importing"


def test_retry_where_nothing_failed_says_so(alice_page, waiting):
    answer = alice_page.post(url("retry", waiting), headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert "Nothing failed" in answer.headers.get("HX-Trigger", "") or "HX-Location" in answer.headers


def test_cancel_asks_the_work_to_stop(alice_page, sending):
    assert alice_page.post(url("cancel", sending)).status_code == 303
    job = Job.objects.get()
    assert job.cancel_requested or job.status == "cancelled"


def test_cancel_of_nothing_is_a_conflict(alice_page, waiting):
    assert alice_page.post(url("cancel", waiting), headers=JSON).status_code == 409


def test_throwing_away_asks_first_and_then_the_record_is_gone(alice_page, failed):
    asked = alice_page.get(url("throw-away", failed))
    assert "Throw “web-01” away?" in asked.content.decode()
    assert Image.objects.alive().filter(pk=failed.pk).exists()
    answer = alice_page.post(url("throw-away", failed))
    assert (answer.status_code, answer["Location"]) == (303, reverse("images:list"))
    assert not Image.objects.alive().filter(pk=failed.pk).exists()


def test_a_protected_record_stays(alice_page, waiting):
    Image.objects.filter(pk=waiting.pk).update(protected=True)
    answer = alice_page.post(url("throw-away", waiting), headers=JSON)
    assert answer.status_code == 403
    assert Image.objects.alive().filter(pk=waiting.pk).exists()
