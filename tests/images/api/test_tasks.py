"""`GET /image/v2/images/{id}/tasks`"""

from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.core.errors import BadRequest
from dashboard.jobs import services
from tests.factories import make_image, make_job

SENTENCE = "The server answered 404."
WEB = {"method": {"name": "web-download", "uri": "http://192.0.2.1/x.qcow2?token=hush"}}


def ask(person, image):
    return person.get(f"/image/v2/images/{image.id}/tasks")


def tasks(person, image):
    answer = ask(person, image)
    assert answer.status_code == 200, answer.content
    return answer.json()["tasks"]


def test_alice_reads_why_her_import_failed(alice):
    image = make_image(status="queued")
    job = make_job(image, status="queued", user_id=alice.user.id)
    with services.running(job.id):
        raise BadRequest(SENTENCE)
    (task,) = tasks(alice, image)
    assert (task["id"], task["type"], task["status"], task["message"]) == (str(job.id), "api_image_import", "failure", SENTENCE)
    assert (task["image_id"], task["owner"], task["user_id"]) == (str(image.id), image.owner, alice.user.id)
    assert task["created_at"] <= task["updated_at"] and task["updated_at"].endswith("Z")
    assert {task[name] for name in ("input", "result", "request_id", "expires_at")} == {None}


def test_an_image_nobody_imported_into_has_no_tasks(alice):
    make_job(make_image())
    assert tasks(alice, make_image()) == []


@pytest.mark.parametrize(
    ("ours", "glances"),
    [
        *(("waiting", "pending"), ("queued", "pending"), ("running", "processing"), ("succeeded", "success")),
        *(("failed", "failure"), ("errored", "failure"), ("cancelled", "failure")),
    ],
)
def test_the_status_is_one_that_clients_know(alice, ours, glances):
    image = make_image()
    make_job(image, status=ours)
    assert [task["status"] for task in tasks(alice, image)] == [glances]


def test_the_newest_hundred_come_newest_first(alice):
    image, now = make_image(), timezone.now()
    jobs = [make_job(image, created_at=now - timedelta(minutes=age)) for age in range(102)]
    assert [task["id"] for task in tasks(alice, image)] == [str(job.id) for job in jobs[:100]]


def test_the_secrets_of_a_url_are_not_told(alice, settings):
    settings.IMPORT_ALLOWED_HOSTS = ["192.0.2.1"]  # a documentation address is no public one
    image = make_image(status="queued")
    begun = alice.post(f"/image/v2/images/{image.id}/import", WEB)
    assert begun.status_code == 202, begun.content
    answer = ask(alice, image)
    assert len(answer.json()["tasks"]) == 1 and b"hush" not in answer.content


def test_bob_finds_no_tasks_of_an_image_he_cannot_see(bob):
    image = make_image(visibility="private")
    make_job(image, status="failed", message=SENTENCE, everyone=True)
    answer = ask(bob, image)
    assert answer.status_code == 404 and SENTENCE not in answer.content.decode()


def test_other_projects_learn_the_outcome_but_neither_the_reason_nor_who_began_it(bob, carol, admin):
    image = make_image(visibility="public")
    make_job(image, status="failed", message=SENTENCE, everyone=True, project_id=admin.project.id)
    (task,) = tasks(bob, image)
    assert (task["status"], task["message"], task["user_id"], task["owner"]) == ("failure", "", None, image.owner)
    for person in (carol, admin):
        (task,) = tasks(person, image)
        assert (task["message"], task["user_id"], task["owner"]) == (SENTENCE, "somebody", admin.project.id)


def test_other_projects_find_their_hundred_behind_jobs_kept_from_them(bob):
    image, now = make_image(visibility="public"), timezone.now()
    told = make_job(image, everyone=True, created_at=now - timedelta(hours=1))
    for _ in range(100):
        make_job(image, created_at=now)
    assert [task["id"] for task in tasks(bob, image)] == [str(told.id)]
