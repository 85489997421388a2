"""What a project may take is counted from rows, and two who ask at once do not both get the last of it."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from dashboard.core.errors import QuotaExceeded, StorageFull, TooLarge
from images.models import Image, Upload
from images.services import quotas
from images.states import Status
from images.uploads import staging
from tests.factories import make_image, make_job

MIB = 2**20


@pytest.fixture
def limits(settings: Any) -> Any:
    def set_(**given: int) -> None:
        settings.QUOTAS = {**settings.QUOTAS, **given}

    return set_


def sending(length: int) -> Image:
    """An image whose bytes come by a resumable upload."""
    image = make_image(status="uploading")
    Upload.objects.create(
        image=image,
        job=make_job(image),
        project_id=image.owner,
        user_id="u",
        grant="g",
        length=length,
        expires_at=timezone.now() + timedelta(1),
    )
    return image


def test_nothing_is_limited_unless_said(demo: Any):
    quotas.require_room(demo.id, size=2**60, staging=2**60, images=10**6, uploading=10**6)
    assert quotas.usage(demo.id)[quotas.SIZE_TOTAL].free is None


def test_usage_counts_active_bytes_and_announced_ones(demo: Any):
    make_image(size=5 * MIB)
    make_image(size=7 * MIB, status="deactivated")
    make_image(size=3 * MIB, status="saving")
    sending(11 * MIB)
    make_image(size=100 * MIB, status="deleted")
    make_image(status="queued", size=None)
    used = {name: figure.usage for name, figure in quotas.usage(demo.id).items()}
    assert used == {
        quotas.SIZE_TOTAL: 26 * MIB,
        quotas.STAGE_TOTAL: 11 * MIB,
        quotas.COUNT_TOTAL: 5,
        quotas.COUNT_UPLOADING: 2,
    }


def test_other_projects_do_not_count(demo: Any, partner: Any):
    make_image(size=5 * MIB, owner=partner.id)
    assert quotas.usage(demo.id)[quotas.SIZE_TOTAL].usage == 0


def test_the_last_byte_fits_and_one_more_does_not(demo: Any, limits: Any):
    limits(image_size_total=10)
    make_image(size=9 * MIB)
    quotas.require_room(demo.id, size=MIB)
    with pytest.raises(QuotaExceeded) as refused:
        quotas.require_room(demo.id, size=MIB + 1)
    assert str(refused.value) == "1.0 MiB more is needed; the project has 9 MiB of 10 MiB image storage in use."


@pytest.mark.parametrize(
    ("name", "asked"),
    [("image_stage_total", {"staging": 2 * MIB}), ("image_count_total", {"images": 1}), ("image_count_uploading", {"uploading": 1})],
)
def test_each_limit_holds_for_itself(demo: Any, limits: Any, name: str, asked: dict[str, int]):
    sending(MIB)
    limits(**{name: 1})
    with pytest.raises(QuotaExceeded) as refused:
        quotas.require_room(demo.id, **asked)
    assert refused.value.status == 413
    assert refused.value.fields["quota"] == name


def test_an_image_that_grew_by_conversion_is_measured_again(demo: Any, limits: Any):
    limits(image_size_total=10)
    image = sending(4 * MIB)
    make_image(size=5 * MIB)
    quotas.require_growth(image, 5 * MIB)
    with pytest.raises(QuotaExceeded):
        quotas.require_growth(image, 6 * MIB)
    # What was reserved is never refused at the end, even when an administrator has lowered the limit meanwhile.
    limits(image_size_total=1)
    quotas.require_growth(image, 4 * MIB)


def test_a_transfer_of_unknown_length_may_bring_what_is_left(demo: Any, limits: Any, settings: Any):
    assert quotas.budget(demo.id) == settings.IMAGE_SIZE_CAP
    limits(image_size_total=10)
    make_image(size=4 * MIB)
    assert quotas.budget(demo.id) == 6 * MIB


def test_size_cap_and_disk_are_measured(settings: Any):
    settings.IMAGE_SIZE_CAP = 10 * MIB
    quotas.require_size(10 * MIB)
    with pytest.raises(TooLarge, match=r"10\.0 MiB is more than the 10 MiB allowed"):
        quotas.require_size(10 * MIB + 1)
    with pytest.raises(StorageFull):
        quotas.require_space(2**62)
    with pytest.raises(StorageFull):
        quotas.require_space(2**62, "local")


def test_preflight_names_every_problem_with_its_numbers(alice: Any, limits: Any, settings: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(staging, "free", lambda: 6 * MIB)
    limits(image_size_total=1)
    settings.IMAGE_SIZE_CAP = 2 * MIB
    problems = quotas.preflight(alice.ctx, [(3 * MIB, 4 * MIB)], target_format="raw")
    assert len(problems) == 4
    assert problems[-1] == "7 MiB are needed and 6 MiB are free on the disk."
    assert quotas.preflight(alice.ctx, [(MIB, None)]) == []


def test_preflight_judges_storage_by_the_larger_of_sent_and_converted(alice: Any, limits: Any):
    limits(image_size_total=10)
    says = "11 MiB more is needed; the project has 0 B of 10 MiB image storage in use."
    assert quotas.preflight(alice.ctx, [(MIB, 11 * MIB)]) == []
    assert quotas.preflight(alice.ctx, [(MIB, 11 * MIB)], target_format="qcow2") == []
    assert quotas.preflight(alice.ctx, [(MIB, 11 * MIB)], target_format="raw") == [says]
    assert quotas.preflight(alice.ctx, [(11 * MIB, MIB)], target_format="raw") == [says]
    # Together each file counts with its own larger figure: 6 + 5, though the sizes sum to 6 and the disks to 7.
    assert quotas.preflight(alice.ctx, [(MIB, 6 * MIB), (5 * MIB, MIB)], target_format="raw") == [says]


def test_preflight_judges_staging_by_what_is_sent(alice: Any, limits: Any):
    limits(image_stage_total=2)
    assert quotas.preflight(alice.ctx, [(MIB, 11 * MIB), (MIB, None)], target_format="raw") == []
    assert len(quotas.preflight(alice.ctx, [(MIB, None), (MIB + 1, None)])) == 1


def test_preflight_counts_as_many_images_and_uploads_as_there_are_files(alice: Any, limits: Any):
    sending(MIB)
    two, three = [(MIB, None)] * 2, [(MIB, None)] * 3
    limits(image_count_total=3)
    assert quotas.preflight(alice.ctx, two) == []
    assert quotas.preflight(alice.ctx, three) == ["3 more is needed; the project has 1 of 3 images in use."]
    assert quotas.preflight(alice.ctx, three, new=False) == []
    limits(image_count_total=-1, image_count_uploading=3)
    assert quotas.preflight(alice.ctx, two) == []
    assert quotas.preflight(alice.ctx, three) == ["3 more is needed; the project has 1 of 3 running uploads in use."]


def test_preflight_holds_the_cap_against_each_file_not_their_sum(alice: Any, settings: Any):
    settings.IMAGE_SIZE_CAP = 2 * MIB
    assert quotas.preflight(alice.ctx, [(2 * MIB, None), (2 * MIB, None)]) == []


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_only_as_many_get_room_as_there_is(demo: Any, limits: Any):
    limits(image_count_total=3)
    start, refused = threading.Barrier(8), []

    def take() -> None:
        start.wait()
        try:
            with transaction.atomic():
                quotas.require_room(demo.id, images=1)
                Image.objects.create(id=uuid.uuid4(), owner=demo.id, status=Status.QUEUED)
        except QuotaExceeded as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Image.objects.filter(owner=demo.id).count() == 3
    assert len(refused) == 5
