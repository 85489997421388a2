"""The create page: what it asks, what it refuses, and what it leaves behind."""

import hashlib

import pytest
from django.test import override_settings
from django.urls import reverse

from dashboard.core.errors import BadRequest
from dashboard.jobs.models import Job
from images.forms.create import suffix_format, url_filename
from images.models import Image, Upload
from images.services import checksums
from tests.factories import make_image

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
CREATE = "/images/create"
SHA256 = hashlib.sha256(b"x").hexdigest()


def a_file(**overrides):
    return {
        "source": "file", "filename": "debian-12.qcow2", "length": "1048576", "disk_format": "qcow2", "visibility": "private", **overrides
    }  # fmt: skip


def an_address(**overrides):
    return {"source": "url", "url": "https://images.example/debian-12.qcow2", "visibility": "private", **overrides}


def test_alice_is_offered_files_and_an_address(alice_page):
    page = alice_page.get(CREATE).content.decode()
    assert 'type="file"' in page
    assert 'name="url"' in page
    assert "needs JavaScript" in page  # said only where there is none


def test_carol_who_only_reads_is_told_why_she_cannot(carol_page):
    answer = carol_page.get(CREATE)
    assert answer.status_code == 403
    assert "add_image" in answer.content.decode()
    assert carol_page.post(CREATE, a_file(), headers=JSON).status_code == 403
    assert not Image.objects.exists()


def test_a_stranger_is_sent_to_the_login(client):
    answer = client.get(CREATE)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login")


def test_a_file_becomes_an_image_that_waits_for_its_bytes(alice_page):
    answer = alice_page.post(
        CREATE,
        a_file(description="Golden", architecture="x86_64", min_disk="5", min_ram="512", tags="web, db,web ", protected="on"),
        headers=JSON,
    )
    assert answer.status_code == 201
    image = Image.objects.get()
    upload = Upload.objects.get()
    assert (image.name, image.status, image.disk_format, image.container_format) == ("debian-12", "uploading", "qcow2", "bare")
    assert (image.min_disk, image.min_ram, image.protected, image.visibility) == (5, 512, True, "private")
    assert {p.name: p.value for p in image.properties.all()} == {"architecture": "x86_64", "description": "Golden"}
    assert [t.value for t in image.tags.all()] == ["db", "web"]
    said = answer.json()
    assert said["image"] == {"id": str(image.id), "name": "debian-12"}
    assert said["upload"]["url"] == f"/uploads/{upload.id}"
    assert said["upload"]["length"] == 1048576
    assert hashlib.sha256(said["upload"]["grant"].encode()).hexdigest() == upload.grant
    assert said["job"] == str(upload.job_id)


def test_conversion_and_checksum_are_remembered_for_the_journey(alice_page):
    alice_page.post(CREATE, a_file(target_format="raw", checksum=f"{SHA256.upper()}  debian-12.qcow2"), headers=JSON)
    arguments = Job.objects.get().arguments
    assert arguments["target_format"] == "raw"
    assert arguments["expected"] == {"algo": "sha256", "value": SHA256}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"visibility": "public"}, "visibility"),
        ({"min_disk": "-1"}, "min_disk"),
        ({"checksum": "abc123"}, "checksum"),
        ({"disk_format": "floppy"}, "disk_format"),
        ({"name": "x" * 256}, "name"),
        ({"tags": "y" * 256}, "tags"),
        ({"length": "0"}, ""),
        ({"length": ""}, ""),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(alice_page, wrong, field):
    answer = alice_page.post(CREATE, a_file(**wrong), headers=JSON)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]
    assert not Image.objects.exists()
    assert not Job.objects.exists()


def test_the_administrator_may_make_it_public(admin_page):
    assert admin_page.post(CREATE, a_file(visibility="public"), headers=JSON).status_code == 201
    assert Image.objects.get().visibility == "public"


@override_settings(QUOTAS={"image_size_total": 0, "image_stage_total": -1, "image_count_total": -1, "image_count_uploading": -1})
def test_over_quota_nothing_half_made_stays(alice_page):
    answer = alice_page.post(CREATE, a_file(), headers=JSON)
    assert answer.status_code == 413
    assert "image storage" in answer.json()["message"]
    assert not Image.objects.exists()
    assert not Upload.objects.exists()


@override_settings(IMAGE_SIZE_CAP=1000)
def test_over_the_size_cap_nothing_half_made_stays(alice_page):
    answer = alice_page.post(CREATE, a_file(), headers=JSON)
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["message"]
    assert not Image.objects.exists()


# -- an address, without JavaScript ------------------------------------------------------------------------------------
def test_an_address_is_fetched_in_the_background(alice_page, monkeypatch):
    monkeypatch.setattr("images.imports.addresses.check", lambda address: address)  # does not look the host up
    answer = alice_page.post(CREATE, an_address(url="https://images.example/debian%2012.qcow2", target_format="raw"))
    assert answer.status_code == 303
    assert answer["Location"] == reverse("images:list")
    image = Image.objects.get()
    assert (image.name, image.disk_format, image.status) == ("debian 12", "qcow2", "importing")
    job = Job.objects.get()
    assert job.arguments["uri"] == "https://images.example/debian%2012.qcow2"
    assert job.arguments["target_format"] == "raw"


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "debian.qcow2", "http://"])
def test_what_is_no_address_comes_back_with_all_that_was_typed(alice_page, url):
    answer = alice_page.post(CREATE, an_address(url=url, description="Golden & old", disk_format="qcow2"))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Golden &amp; old" in page
    assert 'class="invalid-feedback"' in page
    assert not Image.objects.exists()


def test_an_address_of_this_machine_is_refused_beside_its_field(alice_page):
    answer = alice_page.post(CREATE, an_address(url="http://127.0.0.1/secret.qcow2"))
    assert 400 <= answer.status_code < 500
    assert answer.context["form"].errors["url"]
    assert not Image.objects.exists()


def test_an_address_that_hides_its_format_asks_for_it(alice_page):
    answer = alice_page.post(CREATE, an_address(url="https://images.example/jammy.img"))
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["disk_format"]


# -- pre-flight ------------------------------------------------------------------------------------------------------
def test_preflight_lets_a_small_file_pass(alice_page):
    answer = alice_page.get("/images/preflight", {"size": 1000, "virtual_size": 2000, "target_format": "raw"})
    assert answer.json() == {"ok": True, "files": [[]], "together": []}


@override_settings(QUOTAS={"image_size_total": 1, "image_stage_total": -1, "image_count_total": -1, "image_count_uploading": -1})
def test_preflight_counts_all_files_together(alice_page):
    each = 700 * 1024
    answer = alice_page.get(f"/images/preflight?size={each}&virtual_size=&size={each}&virtual_size=").json()
    assert not answer["ok"]
    assert answer["files"] == [[], []]
    assert "1 MiB" in " ".join(answer["together"])


@override_settings(QUOTAS={"image_size_total": -1, "image_stage_total": -1, "image_count_total": -1, "image_count_uploading": 1})
def test_preflight_counts_one_running_upload_per_file(alice_page):
    answer = alice_page.get("/images/preflight?size=1000&size=1000").json()
    assert answer["files"] == [[], []]
    assert answer["together"] == ["2 more is needed; the project has 0 of 1 running uploads in use."]


@override_settings(QUOTAS={"image_size_total": -1, "image_stage_total": -1, "image_count_total": 1, "image_count_uploading": -1})
def test_a_full_project_takes_no_new_image_but_still_the_bytes_of_one_it_has(alice_page):
    asked = {"size": 1000}
    image = make_image(status="queued", size=None)
    for page, path in ((CREATE, "/images/preflight"), (f"/images/{image.id}/upload", f"/images/{image.id}/preflight")):
        assert f'data-preflight="{path}"' in alice_page.get(page).content.decode()
    refused = alice_page.get("/images/preflight", asked).json()
    assert refused["files"] == [["1 more is needed; the project has 1 of 1 images in use."]]
    assert alice_page.get(f"/images/{image.id}/preflight", asked).json() == {"ok": True, "files": [[]], "together": []}


def test_preflight_for_an_image_nobody_may_see_is_not_answered(alice_page, partner):
    image = make_image(status="queued", size=None, owner=partner.id)
    assert alice_page.get(f"/images/{image.id}/preflight", {"size": 1000}).status_code == 404


def test_preflight_refuses_with_numbers(alice_page):
    answer = alice_page.get("/images/preflight", {"size": 2**50}).json()
    assert not answer["ok"]
    assert "1 PiB" in answer["files"][0][0] or "1024 TiB" in answer["files"][0][0]


@pytest.mark.parametrize("size", ["big", "-1", "9" * 400, "9" * 5000])
def test_preflight_of_nonsense_is_a_sentence(alice_page, size):
    assert alice_page.get("/images/preflight", {"size": size}).status_code == 400
    assert alice_page.get("/images/preflight", {"size": 1, "virtual_size": size}).status_code == 400


def test_a_file_larger_than_any_disk_is_refused_by_the_form(alice_page):
    answer = alice_page.post(CREATE, a_file(length="9" * 400), headers=JSON)
    assert answer.status_code == 422 and "length" in answer.json()["errors"]
    assert not Image.objects.exists()


# -- checksums and names -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [SHA256, f"  {SHA256.upper()}\n", f"sha256:{SHA256}", f"{SHA256}  disk.img", f"{SHA256} *disk.img", f"SHA256 (disk.img) = {SHA256}"],
)
def test_every_usual_way_to_write_a_sum_is_understood(text):
    assert checksums.parse(text, "disk.img") == {"algo": "sha256", "value": SHA256}


def test_of_a_whole_file_of_sums_the_line_of_the_file_counts():
    lines = f"# sums\n{'0' * 64}  other.img\n{SHA256} *images/disk.img\n{'1' * 64}  third.img\n"
    assert checksums.parse(lines, "disk.img") == {"algo": "sha256", "value": SHA256}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "not a checksum"),
        ("abc123", "6 hex digits"),
        (f"md5: {SHA256}", "length is that of sha256"),
        (f"{'0' * 64}  a.img\n{'1' * 64}  b.img", "disk.img"),
    ],
)
def test_what_is_no_sum_is_refused_in_words(text, says):
    with pytest.raises(BadRequest, match=says):
        checksums.parse(text, "disk.img")


def test_no_sum_is_no_expectation():
    assert checksums.parse(" \n", "disk.img") is None


@pytest.mark.parametrize(("name", "found"), [("a.QCOW2", "qcow2"), ("a.vhd", "vhd"), ("a.img", None), ("qcow2", None)])
def test_a_suffix_names_a_format_or_nothing(name, found):
    assert suffix_format(name) == found


def test_an_address_ends_in_a_file_name():
    assert url_filename("https://h/a/b%20c.iso?x=1#y") == "b c.iso"
