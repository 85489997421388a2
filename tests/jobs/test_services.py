"""Jobs: what becomes of work that ends well, badly, by a wish, or with its worker."""

import threading
import time
from datetime import timedelta

import pytest
from celery import current_app, shared_task
from django.db import connection
from django.utils import timezone

from dashboard.core.context import RequestContext
from dashboard.core.errors import Conflict, Forbidden, NotFound, Unavailable
from dashboard.jobs import leases, services
from dashboard.jobs.models import Job, Status
from dashboard.jobs.progress import Rate, stopping

pytestmark = pytest.mark.django_db(transaction=True)
DEAD = f"{leases.me().split(':')[0]}:4194303:1"  # this host, above the largest process id


@pytest.fixture
def sent(settings):
    """The ids that reached the task, run at once in this thread."""
    arrived: list[str] = []

    @shared_task(name="tests.collect")
    def collect(job_id):
        arrived.append(job_id)

    current_app.conf.task_always_eager = True
    yield arrived
    current_app.conf.task_always_eager = False
    current_app.tasks.pop("tests.collect", None)


def test_work_that_ends_cleanly_has_succeeded_and_tells_how_long_each_step_took(open_job):
    job = open_job()
    with services.running(job.id) as progress:
        progress.step("inspect", 10, note="qcow2")
        progress.advance(10)
        progress.step("convert", 100)
        progress.set(100)
        progress.step("store")
    job.refresh_from_db()
    assert (job.status, job.message, job.lease) == (Status.SUCCEEDED, "", "")
    assert [(s["name"], s["done"], s["note"]) for s in job.steps] == [("inspect", 10, "qcow2"), ("convert", 100, ""), ("store", 0, "")]
    assert all(s["seconds"] >= 0 for s in job.steps)
    assert job.finished_at >= job.started_at
    assert job.duration is not None


def test_an_expected_failure_keeps_its_sentence(open_job):
    job = open_job()
    with services.running(job.id):
        raise NotFound("The file is gone.")
    job.refresh_from_db()
    assert (job.status, job.message) == (Status.FAILED, "The file is gone.")


def test_a_crash_is_told_apart_and_its_inside_stays_in_the_log(open_job, caplog):
    job = open_job()
    with services.running(job.id):
        raise ZeroDivisionError("secret detail")
    job.refresh_from_db()
    assert job.status == Status.ERRORED
    assert "secret" not in job.message
    assert "secret detail" in caplog.text
    assert str(job.id) in caplog.text


def test_two_workers_never_do_the_same_job(open_job):
    job = open_job()
    with services.running(job.id) as progress:
        progress.step("inspect")
        with pytest.raises(services.Taken), services.running(job.id):
            pytest.fail("a second worker got in")
    with pytest.raises(services.Taken), services.running(job.id):
        pytest.fail("it was over")


def test_of_many_workers_that_are_told_at_once_one_works(open_job):
    job = open_job()
    worked, gate = [], threading.Barrier(6)

    def work():
        gate.wait()
        try:
            with services.running(job.id):
                worked.append(1)
        except services.Taken:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worked == [1]


def test_progress_is_told_at_most_four_times_a_second_and_never_runs_backwards(open_job, heard):
    job = open_job()
    with services.running(job.id) as progress:
        progress.step("convert", 10**9)
        heard.clear()
        began = time.monotonic()
        while time.monotonic() - began < 1.1:
            progress.advance(1000)
            progress.set(5)  # an older figure that comes late
    told = [m["done"] for _groups, m in heard if m["type"] == "progress" and m["status"] == "running"]
    assert 3 <= len(told) <= 5
    assert told == sorted(told)
    assert told[0] > 5


def test_a_message_has_all_the_numbers_a_page_needs(open_job):
    job = open_job()
    with services.running(job.id) as progress:
        progress.step("inspect", 4)
        progress.step("convert", 200)
        progress.job.rate = 10.0
        progress.job.done = 100
        message = progress.job.as_message()
    assert message == {
        "type": "progress", "job": str(job.id), "subject": "image.i1", "status": "running", "stage": "convert", "label": "Converting",
        "done": 100, "total": 200, "rate": 10, "percent": 50, "seconds_left": 10, "step": 2, "steps": 3, "title": "debian", "message": "",
    }  # fmt: skip


def test_those_outside_the_project_follow_a_public_job_without_its_reason(open_job, heard):
    job = open_job(everyone=True)
    with services.running(job.id):
        raise NotFound("The mirror of the demo project is gone.")
    ends = [(groups, m["message"]) for groups, m in heard if m["type"] == "progress" and m["status"] == "failed"]
    assert ends == [([f"project.{job.project_id}", "admins"], "The mirror of the demo project is gone."), (["everyone"], "")]


@pytest.mark.parametrize("waiting", [True, False])
def test_a_job_made_private_on_the_way_is_not_told_to_everyone_any_more(open_job, heard, waiting):
    job = open_job(plan=["send"], everyone=True, waiting=waiting)
    if waiting:
        services.mark(job, 1)
        Job.objects.filter(pk=job.pk).update(everyone=False)
        heard.clear()
        services.mark(job, 10, 10)
    else:
        with services.running(job.id) as progress:
            progress.step("send")
            Job.objects.filter(pk=job.pk).update(everyone=False)
            heard.clear()
            progress._checked = 0.0
            progress.check()
    assert [groups for groups, message in heard if "everyone" in groups and message["type"] == "progress"] == []
    assert [m for _groups, m in heard if m["type"] == "progress"]


def test_between_two_looks_a_job_made_private_is_not_told_to_everyone_either(open_job, heard):
    job = open_job(plan=["send"], everyone=True)
    with services.running(job.id) as progress:
        progress.step("send")
        Job.objects.filter(pk=job.pk).update(everyone=False)
        heard.clear()
        progress._saved = 0.0
        progress.set(10)
    told = [groups for groups, message in heard if message["type"] == "progress"]
    assert told == [[f"project.{job.project_id}", "admins"]] * 2  # the figure, and the end


def test_a_private_job_is_told_to_its_project_and_the_administrators_only(open_job, heard):
    job = open_job()
    with services.running(job.id) as progress:
        progress.step("inspect")
    assert {group for groups, _ in heard for group in groups} == {f"project.{job.project_id}", "admins"}


def test_who_cancels_is_named_and_the_work_stops_at_its_next_check(open_job, ctx):
    job = open_job()
    with services.running(job.id) as progress:
        progress.step("convert", 10)
        services.cancel(ctx, Job.objects.get(pk=job.pk))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            progress.check()
            time.sleep(0.01)
        pytest.fail("it went on")
    job.refresh_from_db()
    assert (job.status, job.message) == (Status.CANCELLED, "Cancelled by alice.")


def test_a_waiting_job_that_is_cancelled_goes_to_its_task_to_be_tidied_up(open_job, ctx, sent):
    job = open_job(kind="tests.collect", waiting=True)
    services.cancel(ctx, job)
    assert sent == [str(job.id)]
    with services.running(job.id) as progress:
        progress.step("inspect")
        pytest.fail("it went on")
    assert Job.objects.get(pk=job.pk).status == Status.CANCELLED


def test_a_reader_may_not_cancel_nor_may_another_project_and_the_rule_is_named(open_job, ctx):
    job = open_job()
    reader = RequestContext(user_id="u2", project_id=ctx.project_id, roles=frozenset({"reader"}))
    stranger = RequestContext(user_id="u3", project_id="elsewhere", roles=frozenset({"member", "reader"}))
    for asker in (reader, stranger):
        with pytest.raises(Forbidden, match="cancel_job"):
            services.cancel(asker, job)
    assert not Job.objects.get(pk=job.pk).cancel_requested


def test_what_is_over_cannot_be_cancelled(open_job, ctx):
    job = open_job()
    services.finish(job, Status.SUCCEEDED)
    with pytest.raises(Conflict):
        services.cancel(ctx, job)
    assert not services.finish(job, Status.FAILED, "too late")
    assert Job.objects.get(pk=job.pk).status == Status.SUCCEEDED


def test_work_of_a_killed_worker_is_queued_again(open_job, sent):
    job = open_job(kind="tests.collect")
    Job.objects.filter(pk=job.pk).update(status=Status.RUNNING, lease=DEAD, heartbeat_at=timezone.now(), attempts=1)
    assert services.reap() == 1
    assert sent == [str(job.id)]
    assert Job.objects.get(pk=job.pk).status == Status.QUEUED


def test_work_whose_heartbeat_on_another_host_stopped_is_queued_again(open_job, sent):
    job = open_job(kind="tests.collect")
    held = Job.objects.filter(pk=job.pk)
    held.update(status=Status.RUNNING, lease="elsewhere:7:7", heartbeat_at=timezone.now() - timedelta(seconds=5), attempts=1)
    assert services.reap() == 0
    held.update(heartbeat_at=timezone.now() - timedelta(seconds=16))
    assert services.reap() == 1
    assert sent == [str(job.id)]


def test_work_this_process_holds_is_never_taken_from_it(open_job):
    job = open_job()
    with services.running(job.id):
        Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))  # the machine slept
        assert services.reap() == 0


def test_a_worker_that_lost_its_job_stops_and_records_nothing(open_job):
    job = open_job()
    with services.running(job.id) as progress:
        Job.objects.filter(pk=job.pk).update(lease="elsewhere:7:7", attempts=2)
        progress.step("inspect")
        pytest.fail("it went on")
    job.refresh_from_db()
    assert (job.status, job.lease) == (Status.RUNNING, "elsewhere:7:7")


def test_after_three_interrupted_attempts_it_is_given_up(open_job):
    job = open_job()
    Job.objects.filter(pk=job.pk).update(attempts=3)
    with services.running(job.id) as progress:
        with pytest.raises(Unavailable):
            progress.check()
        progress.check()
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Status.FAILED, 4)
    assert "three times" in job.message


def test_a_message_the_broker_lost_is_sent_again_and_a_fresh_one_is_not(open_job, sent):
    job = open_job(kind="tests.collect")
    queued = Job.objects.filter(pk=job.pk)
    assert services.reap() == 0  # its creator is about to send it
    queued.update(created_at=timezone.now() - timedelta(seconds=6))
    assert services.reap() == 1
    assert services.reap() == 0  # it was just sent, by a process that lives
    queued.update(lease=DEAD)
    assert services.reap() == 1  # memory brokers die with their process
    assert sent == [str(job.id)] * 2


def test_a_job_is_sent_only_after_its_transaction_is_committed(open_job, sent):
    from django.db import transaction

    with transaction.atomic():
        job = open_job(kind="tests.collect")
        services.start(job)
        assert sent == []
    assert sent == [str(job.id)]


def test_the_heartbeat_goes_on_while_the_work_says_nothing(open_job):
    job = open_job()
    with services.running(job.id):
        Job.objects.filter(pk=job.pk).update(heartbeat_at=None)
        deadline = time.monotonic() + 10
        while Job.objects.get(pk=job.pk).heartbeat_at is None:
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.05)


def test_work_of_a_process_that_ends_in_order_is_left_for_the_next_without_counting(open_job):
    job = open_job()
    try:
        with services.running(job.id) as progress:
            services.stop(timeout=0)
            progress.check()
            pytest.fail("it went on")
    finally:
        stopping.clear()
    job.refresh_from_db()
    assert (job.status, job.attempts, job.lease) == (Status.QUEUED, 0, "")


def test_what_breaks_while_the_process_ends_is_not_the_works_fault(open_job):
    job = open_job()
    try:
        with services.running(job.id):
            services.stop(timeout=0)
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
    finally:
        stopping.clear()
    assert Job.objects.get(pk=job.pk).status == Status.QUEUED


def test_a_process_that_ends_waits_for_its_jobs_to_let_go_and_begins_none(open_job):
    job, later = open_job(), open_job()

    def work() -> None:
        try:
            with services.running(job.id) as progress:
                while True:
                    progress.check()
                    time.sleep(0.01)
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        deadline = time.monotonic() + 5
        while Job.objects.get(pk=job.pk).status != Status.RUNNING:
            assert time.monotonic() < deadline
        assert services.stop()
        assert Job.objects.get(pk=job.pk).status == Status.QUEUED
        with pytest.raises(services.Taken), services.running(later.id):
            pytest.fail("it was begun")
    finally:
        stopping.clear()
        worker.join(5)


def test_bytes_from_outside_are_counted_without_a_worker_and_the_last_one_is_always_told(open_job, heard):
    job = open_job(plan=["send", "inspect"], total=100, waiting=True)
    heard.clear()
    assert services.mark(job, 10)
    assert services.mark(job, 11)  # too early to be told
    assert services.mark(job, 100)
    assert [m["done"] for _g, m in heard if m["type"] == "progress"] == [10, 100]
    job.refresh_from_db()
    assert (job.status, job.done, job.steps[0]["done"], job.percent) == (Status.WAITING, 100, 100, 100)


def test_the_receiver_learns_that_it_should_stop(open_job, ctx):
    job = open_job(plan=["send"], total=100, waiting=True)
    services.lease(job)
    services.cancel(ctx, Job.objects.get(pk=job.pk))
    assert not services.mark(job, 100)
    services.finish(job, Status.CANCELLED)


def test_a_direct_upload_is_held_while_it_lasts(open_job):
    job = open_job(plan=["send", "store"], total=10, waiting=True)
    progress = services.lease(job)
    assert Job.objects.get(pk=job.pk).lease == leases.me()
    assert (progress.job.stage, progress.job.total) == ("send", 10)
    progress.set(10)
    services.finish(progress.job, Status.SUCCEEDED)
    assert (Job.objects.get(pk=job.pk).status, Job.objects.get(pk=job.pk).lease) == (Status.SUCCEEDED, "")


def test_work_that_ended_long_ago_is_forgotten_and_nothing_else(open_job, settings, monkeypatch):
    monkeypatch.setattr(services, "PRUNE", 2)
    settings.JOB_RETENTION = 30
    long_ago = timezone.now() - timedelta(days=31)
    ended = [open_job(subject_id=str(n)) for n in range(5)]
    recent, live = open_job(), open_job()
    for job in [*ended, recent]:
        services.finish(job, Status.FAILED, "No.")
    Job.objects.filter(pk__in=[job.pk for job in ended]).update(finished_at=long_ago)
    Job.objects.filter(pk=live.pk).update(created_at=long_ago)
    assert services.prune() == 5
    assert set(Job.objects.all()) == {recent, live}


def test_the_newest_job_of_each_subject_is_found_in_one_query(open_job, django_assert_num_queries):
    open_job(subject_id="a")
    newest = open_job(subject_id="a")
    other = open_job(subject_id="b")
    with django_assert_num_queries(1):
        assert services.latest_for("image", ["a", "b", "c"]) == {"a": newest, "b": other}


def test_the_rate_is_that_of_the_last_seconds(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    rate = Rate()
    [rate.at(100 * n) for n in range(10)]
    assert rate.at(1400) == pytest.approx(100 * (4 / 5) + 500 / 5)


def test_a_lease_is_alive_only_while_the_very_process_is(tmp_path):
    import subprocess
    import sys

    code = "import sys; sys.path.insert(0, '.'); from dashboard.jobs import leases; print(leases.me(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert leases.alive(name)
    host, pid, _ticks = name.split(":")
    assert not leases.alive(f"{host}:{pid}:1"), "another process with the same id"
    child.kill()
    child.wait()
    assert not leases.alive(name)
    assert leases.alive("elsewhere:1:1"), "nobody can tell from here"
    assert not leases.alive("")
