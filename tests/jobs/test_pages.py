"""The Work page and the bell, as alice, bob, carol and the administrator see them."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from dashboard.core.errors import NotFound
from dashboard.jobs import services
from dashboard.jobs.models import Job, Status
from tests.factories import make_image

WORK = "/work/"


@pytest.fixture
def job(alice_page) -> Job:
    image = make_image(name="debian", status="importing")
    return services.open_job(
        alice_page.ctx, "images.import", title="debian", subject_type="image", subject_id=image.id, plan=["download", "inspect", "store"]
    )


def fail(job: Job, reason: str = "The mirror is gone.") -> None:
    with services.running(job.id) as progress:
        progress.step("download")
        raise NotFound(reason)


@pytest.mark.django_db(transaction=True)
def test_alice_sees_her_running_work_with_a_way_to_the_image_and_to_cancel(alice_page, job):
    page = alice_page.get(WORK).content.decode()
    assert f'data-job="{job.id}"' in page
    assert reverse("images:detail", args=[job.subject_id]) in page
    assert reverse("jobs:cancel", args=[job.id]) in page
    assert "Import of an image" in page


def test_bob_of_another_project_sees_none_of_it(bob_page, job):
    assert str(job.id) not in bob_page.get(WORK).content.decode()
    assert str(job.id) not in bob_page.get("/work/bell").content.decode()
    assert bob_page.post(reverse("jobs:cancel", args=[job.id])).status_code == 404


def test_carol_who_reads_sees_why_she_may_not_cancel(carol_page, job):
    page = carol_page.get(WORK).content.decode()
    assert f'data-job="{job.id}"' in page
    assert "cancel_job" in page
    assert carol_page.post(reverse("jobs:cancel", args=[job.id])).status_code == 403
    assert not Job.objects.get(pk=job.pk).cancel_requested


def test_an_administrator_finds_all_projects_in_a_tab_of_their_own(admin_page, alice_page, job):
    assert str(job.id) not in admin_page.get(WORK).content.decode()
    page = admin_page.get(WORK + "?tab=all").content.decode()
    assert str(job.id) in page
    assert "demo" in page
    assert "All projects" not in alice_page.get(WORK + "?tab=all").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_failure_shows_its_reason_and_a_way_to_try_again(alice_page, job):
    Job.objects.filter(pk=job.pk).update(arguments={"method": "web-download", "uri": "http://mirror.example/x"})
    fail(job)
    from images.models import Image

    Image.objects.filter(pk=job.subject_id).update(status="queued")
    page = alice_page.get(WORK).content.decode()
    assert "The mirror is gone." in page
    assert "pill-bad" in page
    assert "Failed" in page
    assert reverse("images:retry", args=[job.subject_id]) in page


@pytest.mark.django_db(transaction=True)
def test_only_the_newest_failure_of_an_image_can_be_tried_again(alice_page, job):
    from images.models import Image

    Job.objects.filter(pk=job.pk).update(arguments={"method": "web-download", "uri": "http://mirror.example/x"})
    fail(job)
    Image.objects.filter(pk=job.subject_id).update(status="queued")
    again = services.open_job(
        alice_page.ctx, "images.import", title="debian", subject_type="image", subject_id=job.subject_id, plan=["store"]
    )
    services.finish(again, Status.SUCCEEDED)
    assert reverse("images:retry", args=[job.subject_id]) not in alice_page.get(WORK).content.decode()


def test_work_on_a_deleted_image_is_told_without_a_dead_link(alice_page, job):
    from images.models import Image

    Image.objects.filter(pk=job.subject_id).update(status="deleted")
    services.finish(job, Status.CANCELLED, "The image was deleted by alice.")
    page = alice_page.get(WORK).content.decode()
    assert "The image was deleted by alice." in page
    assert reverse("images:detail", args=[job.subject_id]) not in page


@pytest.mark.parametrize(("query", "seen"), [("", True), ("?status=failed", True), ("?status=unsuccessful", True), ("?status=live", False)])
@pytest.mark.django_db(transaction=True)
def test_the_outcome_filter_stands_in_the_url(alice_page, job, query, seen):
    fail(job)
    assert (f'id="job-{job.id}"' in alice_page.get(WORK + query).content.decode()) is seen


def test_search_finds_by_title_and_person_and_an_empty_answer_says_what_to_do(alice_page, job):
    assert f'id="job-{job.id}"' in alice_page.get(WORK + "?q=debi").content.decode()
    assert f'id="job-{job.id}"' in alice_page.get(WORK + "?q=alice").content.decode()
    assert "Nothing matches" in alice_page.get(WORK + "?q=windows").content.decode()


def test_more_than_a_page_of_work_is_paged(alice_page):
    for n in range(30):
        services.open_job(alice_page.ctx, "images.import", title=f"image-{n:02}", subject_type="image", subject_id=uuid4(), plan=["store"])
    first, second = (alice_page.get(WORK + query).content.decode() for query in ("", "?page=2"))
    assert "image-29" in first
    assert "image-04" not in first
    assert "image-04" in second


def test_the_page_takes_the_same_queries_for_one_job_and_for_many(alice_page, django_assert_max_num_queries):
    for n in range(20):
        image = make_image(status="importing")
        services.open_job(alice_page.ctx, "images.import", title=f"image-{n:02}", subject_type="image", subject_id=image.id, plan=["store"])
    with django_assert_max_num_queries(16):
        alice_page.get(WORK)


def test_a_project_without_work_is_told_what_will_be_here(alice_page, carol_page):
    page = alice_page.get(WORK).content.decode()
    assert "No work yet" in page
    assert 'class="btn btn-primary" href="/images/create"' in page
    assert 'class="btn btn-primary" href="/images/create"' not in carol_page.get(WORK).content.decode()


@pytest.mark.django_db(transaction=True)
def test_cancelling_from_the_page_asks_the_worker_to_stop(alice_page, job):
    with services.running(job.id) as progress:
        progress.step("download")
        answer = alice_page.post(reverse("jobs:cancel", args=[job.id]))
        assert (answer.status_code, answer["Location"]) == (303, WORK)
        progress._checked = 0.0
        progress.check()
        pytest.fail("it went on")
    assert Job.objects.get(pk=job.pk).status == Status.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_the_bell_counts_what_runs_and_tells_what_ended_last(alice_page, job):
    bell = alice_page.get("/work/bell", headers={"HX-Request": "true"}).content.decode()
    assert 'data-count="1"' in bell
    assert f'data-job="{job.id}"' in bell
    assert "<html" not in bell
    fail(job)
    bell = alice_page.get("/work/bell", headers={"HX-Request": "true"}).content.decode()
    assert 'data-count="0"' in bell
    assert "The mirror is gone." in bell


@pytest.mark.parametrize("path", [WORK, "/work/bell"])
def test_strangers_are_sent_to_the_login_page(client, db, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login") or "next=" in answer["Location"]


@pytest.mark.parametrize(("silent", "seen"), [(1, "Sending"), (20, "Waiting for data")])
def test_a_sender_that_fell_silent_is_said_to_wait(alice_page, job, silent, seen):
    heard = timezone.now() - timedelta(seconds=silent)
    Job.objects.filter(pk=job.pk).update(status=Status.WAITING, stage="send", done=30, total=100, rate=7 * 2**20, heartbeat_at=heard)
    page = alice_page.get(WORK).content.decode()
    assert f'<span class="job-label">{seen}</span>' in page
    assert ("7 MiB/s" in page) == (seen == "Sending")
    assert "30 %" in page
