"""The catalogue: who may do what with which image, and what stays behind."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connection

from dashboard.core.errors import Conflict, Forbidden, InvalidValue, LimitExceeded, NotFound, QuotaExceeded
from dashboard.jobs import services as jobs
from images.models import Blob, Image, ImageLocation, ImageProperty, ImageTag, Upload
from images.services import catalogue, uploads
from images.services.actions import actions
from images.states import BUSY, Status
from images.uploads import staging
from tests.factories import make_image

Changes = catalogue.Changes


def refused(call, *args, **kwargs):
    """The text of the refusal."""
    with pytest.raises(Forbidden) as refusal:
        call(*args, **kwargs)
    return str(refusal.value)


# -- create ---------------------------------------------------------------------------------------------------------
def test_alice_creates_an_image_of_her_project(alice):
    image = catalogue.create(
        alice.ctx, name="debian", disk_format="qcow2", container_format="bare", tags=["b", "a"], properties={"os": "x"}
    )
    assert (image.status, image.visibility, image.owner) == ("queued", "shared", alice.project.id)
    assert [t.value for t in image.tags.all()] == ["a", "b"]
    assert {p.name: p.value for p in image.properties.all()} == {"os": "x"}


def test_carol_only_reads(carol):
    assert "add_image" in refused(catalogue.create, carol.ctx, name="x")
    image = make_image()
    for verb in (catalogue.delete, catalogue.deactivate, catalogue.reactivate):
        refused(verb, carol.ctx, image)
    refused(catalogue.update, carol.ctx, image, Changes(name="mine"))
    refused(catalogue.add_tag, carol.ctx, image, "mine")
    refused(catalogue.remove_tag, carol.ctx, image, "mine")
    image.refresh_from_db()
    assert image.name != "mine" and image.status == "active"


def test_only_an_administrator_creates_for_another_project_or_for_everyone(alice, bob, admin):
    assert "owned by" in refused(catalogue.create, alice.ctx, owner=bob.project.id)
    assert "publicize_image" in refused(catalogue.create, alice.ctx, visibility="public")
    assert catalogue.create(admin.ctx, owner=bob.project.id, visibility="public").owner == bob.project.id
    assert catalogue.create(alice.ctx, visibility="community").visibility == "community"


def test_an_id_is_given_once_and_never_again(alice, bob):
    chosen = uuid.uuid4()
    image = catalogue.create(alice.ctx, id=str(chosen))
    assert image.id == chosen
    with pytest.raises(Conflict):
        catalogue.create(alice.ctx, id=chosen)
    catalogue.delete(alice.ctx, image)
    with pytest.raises(Conflict):
        catalogue.create(bob.ctx, id=chosen)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "n" * 256},
        {"name": "a\x00b"},
        {"name": "\ud800"},
        {"name": 7},
        {"owner": ""},
        {"owner": "o" * 256},
        {"visibility": "secret"},
        {"protected": "yes"},
        {"os_hidden": 1},
        {"disk_format": "floppy"},
        {"container_format": "box"},
        {"min_disk": -1},
        {"min_ram": 2**31},
        {"min_ram": True},
        {"min_disk": 1.5},
        {"id": "not-a-uuid"},
        {"id": uuid.uuid4().hex},
        {"tags": ["t" * 256]},
        {"tags": [""]},
        {"tags": [None]},
        {"properties": {"p": 1}},
        {"properties": {"": "x"}},
        {"properties": {"p" * 256: "x"}},
        {"properties": {"name": "x"}},
        {"properties": {"p": "v" * 65536}},
    ],
)
def test_a_value_that_will_not_do_creates_nothing(alice, wrong):
    with pytest.raises(InvalidValue):
        catalogue.create(alice.ctx, **wrong)
    assert not Image.objects.exists() and not ImageTag.objects.exists() and not ImageProperty.objects.exists()


@pytest.mark.parametrize("name", ["os_glance_import_task", "os_glance", "status", "size", "checksum", "deleted", "locations"])
def test_names_the_service_keeps_for_itself_are_refused(alice, name):
    refused(catalogue.create, alice.ctx, properties={name: "x"})
    image = make_image()
    refused(catalogue.update, alice.ctx, image, Changes(properties_set={name: "x"}))
    refused(catalogue.update, alice.ctx, image, Changes(properties_removed=[name]))


def test_limits_of_tags_and_properties_hold_but_never_stop_a_removal(alice, settings):
    settings.IMAGE_TAG_QUOTA = settings.IMAGE_PROPERTY_QUOTA = 2
    with pytest.raises(LimitExceeded):
        catalogue.create(alice.ctx, tags=["a", "b", "c"])
    with pytest.raises(LimitExceeded):
        catalogue.create(alice.ctx, properties={"a": "", "b": "", "c": ""})
    image = make_image(tags=["a", "b", "c", "d"], properties={"a": "", "b": "", "c": "", "d": ""})
    with pytest.raises(LimitExceeded):
        catalogue.add_tag(alice.ctx, image, "e")
    with pytest.raises(LimitExceeded):
        catalogue.update(alice.ctx, image, Changes(properties_set={"e": ""}))
    image = catalogue.update(alice.ctx, image, Changes(tags=["a", "b", "c"], properties_removed=["d"], properties_set={"a": "new"}))
    assert {p.name: p.value for p in image.properties.all()} == {"a": "new", "b": "", "c": ""}


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_as_many_are_created_as_the_quota_has_room_for(alice, settings):
    settings.QUOTAS = {**settings.QUOTAS, "image_count_total": 3}

    def create(number):
        try:
            catalogue.create(alice.ctx, name=str(number))
        except QuotaExceeded:
            return 0
        finally:
            connection.close()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 3
    assert Image.objects.count() == 3


# -- see ------------------------------------------------------------------------------------------------------------
def test_what_bob_may_not_see_answers_as_if_it_never_existed(alice, bob):
    image = make_image(visibility="private")
    nowhere = uuid.uuid4()
    texts = []
    for wanted in (image.id, nowhere):
        with pytest.raises(NotFound) as refusal:
            catalogue.get(bob.ctx, wanted)
        texts.append(str(refusal.value).replace(str(wanted), "ID"))
    assert texts[0] == texts[1]
    with pytest.raises(NotFound):
        catalogue.update(bob.ctx, image, Changes(name="mine"))
    with pytest.raises(NotFound):
        catalogue.delete(bob.ctx, image)


@pytest.mark.parametrize("spelling", ["{%s}", "urn:uuid:%s", "%s ", "%s\n", "x%s"])
def test_an_id_has_one_spelling(alice, spelling):
    image = make_image()
    assert catalogue.get(alice.ctx, str(image.id).upper()).id == image.id
    for wrong in (spelling % image.id, image.id.hex):
        with pytest.raises(NotFound):
            catalogue.get(alice.ctx, wrong)


def test_bob_sees_a_public_image_and_may_not_touch_it(alice, bob):
    image = make_image(visibility="public")
    assert catalogue.get(bob.ctx, image.id).id == image.id
    refused(catalogue.update, bob.ctx, image, Changes(name="mine"))
    refused(catalogue.delete, bob.ctx, image)


# -- change ---------------------------------------------------------------------------------------------------------
def test_alice_changes_what_she_likes_in_one_go_or_not_at_all(alice):
    image = make_image(name="old", tags=["a"], properties={"p": "1", "q": "2"})
    before = image.updated_at
    image = catalogue.update(
        alice.ctx, image, Changes(name=None, tags=["b"], properties_set={"p": "3"}, properties_removed=["q"], min_ram=64)
    )
    assert (image.name, image.min_ram, image.status) == (None, 64, "active")
    assert image.updated_at > before
    with pytest.raises(Forbidden):
        catalogue.update(alice.ctx, image, Changes(name="new", tags=["c"], visibility="public"))
    image = catalogue.get(alice.ctx, image.id)
    assert (image.name, [t.value for t in image.tags.all()]) == (None, ["b"])


def test_only_an_administrator_gives_an_image_to_another_project(alice, bob, admin):
    image = make_image()
    assert "Owner" in refused(catalogue.update, alice.ctx, image, Changes(owner=bob.project.id))
    assert catalogue.update(admin.ctx, image, Changes(owner=bob.project.id)).owner == bob.project.id
    with pytest.raises(NotFound):
        catalogue.get(alice.ctx, image.id)


def test_the_format_changes_only_while_there_is_no_data(alice, admin):
    queued = make_image(status="queued")
    assert catalogue.update(alice.ctx, queued, Changes(disk_format="raw")).disk_format == "raw"
    for status in (*BUSY, Status.ACTIVE, Status.DEACTIVATED):
        image = make_image(status=status)
        assert catalogue.update(alice.ctx, image, Changes(disk_format="qcow2")).disk_format == "qcow2"  # the same is no change
        for changes in (Changes(disk_format="ami"), Changes(container_format="ami")):
            refused(catalogue.update, alice.ctx, image, changes)
            refused(catalogue.update, admin.ctx, image, changes)


def test_running_work_is_shown_to_those_who_may_see_the_image(alice, admin):
    image = make_image(status="queued")
    job = jobs.open_job(alice.ctx, "images.import", title="x", subject_type="image", subject_id=image.id, plan=["send"], waiting=True)
    for visibility, everyone in (("public", True), ("private", False)):
        catalogue.update(admin.ctx, image, Changes(visibility=visibility))
        job.refresh_from_db()
        assert job.everyone is everyone


def test_tags_are_put_on_once_and_taken_off_once(alice):
    image = make_image()
    catalogue.add_tag(alice.ctx, image, "ready")
    image = catalogue.add_tag(alice.ctx, image, "ready")
    assert [t.value for t in image.tags.all()] == ["ready"]
    catalogue.remove_tag(alice.ctx, image, "ready")
    with pytest.raises(NotFound):
        catalogue.remove_tag(alice.ctx, image, "ready")


def test_the_right_is_asked_of_the_image_as_it_is_now(alice, bob, admin):
    read_before = catalogue.get(alice.ctx, make_image(visibility="community").id)
    catalogue.update(admin.ctx, read_before, Changes(owner=bob.project.id))
    refused(catalogue.update, alice.ctx, read_before, Changes(name="mine"))
    refused(catalogue.delete, alice.ctx, read_before)
    refused(catalogue.deactivate, alice.ctx, read_before)
    refused(catalogue.add_tag, alice.ctx, read_before, "mine")
    assert catalogue.update(bob.ctx, read_before, Changes(name="mine")).name == "mine"


# -- deactivate -----------------------------------------------------------------------------------------------------
def test_deactivate_and_reactivate_and_nothing_from_other_states(alice):
    image = make_image()
    for _twice in range(2):
        assert catalogue.deactivate(alice.ctx, image).status == "deactivated"
    for _twice in range(2):
        assert catalogue.reactivate(alice.ctx, image).status == "active"
    for status in ("queued", *BUSY, "killed"):
        busy = make_image(status=status)
        assert status in refused(catalogue.deactivate, alice.ctx, busy)
        assert status in refused(catalogue.reactivate, alice.ctx, busy)
        busy.refresh_from_db()
        assert busy.status == status


# -- delete ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", ["queued", "saving", "uploading", "importing", "active", "deactivated", "killed"])
def test_an_image_can_be_deleted_in_every_living_state(alice, status):
    image = make_image(status=status, tags=["a"], properties={"p": "1"})
    catalogue.delete(alice.ctx, image)
    row = Image.objects.get(pk=image.pk)
    assert row.status == "deleted" and row.deleted_at
    assert not row.tags.exists() and not row.properties.exists()
    with pytest.raises(NotFound):
        catalogue.get(alice.ctx, image.pk)
    with pytest.raises(NotFound):
        catalogue.delete(alice.ctx, image)


def test_protection_binds_the_administrator_too(alice, admin):
    image = make_image(protected=True)
    for person in (alice, admin):
        assert "protected" in refused(catalogue.delete, person.ctx, image)
    catalogue.update(alice.ctx, image, Changes(protected=False))
    catalogue.delete(alice.ctx, image)


def test_the_bytes_go_with_the_last_image_that_has_them(alice):
    blob = Blob.objects.create(store="local", state="ready", refs=2, size=1)
    first, second = make_image(), make_image()
    for image in (first, second):
        ImageLocation.objects.create(image=image, blob=blob)
    catalogue.delete(alice.ctx, first)
    blob.refresh_from_db()
    assert (blob.refs, blob.state) == (1, "ready")
    catalogue.delete(alice.ctx, second)
    blob.refresh_from_db()
    assert (blob.refs, blob.state) == (0, "deleting")


@pytest.mark.django_db(transaction=True)
def test_deleting_while_data_arrives_ends_the_work_and_leaves_no_file(alice, admin):
    image = make_image(status="queued", size=None)
    upload, _grant = uploads.create(alice.ctx, image, length=1000, filename="x.qcow2")
    staging.path(upload.id).write_bytes(b"half")
    catalogue.delete(admin.ctx, image)
    assert not Upload.objects.exists()
    assert not staging.path(upload.id).exists()
    job = jobs.latest_for("image", [image.id])[str(image.id)]
    assert job.cancel_requested and "deleted" in job.message


# -- actions --------------------------------------------------------------------------------------------------------
STATES = {
    "queued": {"edit", "upload", "throw_away", "delete"},
    "saving": {"edit", "throw_away", "delete"},
    "uploading": {"edit", "throw_away", "delete"},
    "importing": {"edit", "throw_away", "delete"},
    "active": {"edit", "download", "deactivate", "delete"},
    "deactivated": {"edit", "reactivate", "delete"},
    "killed": {"edit", "delete"},
}


@pytest.mark.parametrize("status", STATES)
def test_what_each_person_may_do_in_each_state(alice, bob, carol, admin, status):
    image = make_image(status=status, visibility="public")

    def allowed(person):
        return {name for name, action in actions(person.ctx, image).items() if action.allowed}

    assert allowed(alice) == STATES[status]
    assert allowed(carol) == set()
    assert allowed(bob) == ({"download"} if status == "active" else set())
    assert allowed(admin) == STATES[status] | ({"download"} if status == "deactivated" else set())


def test_every_disabled_action_says_why(alice, carol):
    for status in STATES:
        for person in (alice, carol):
            for name, action in actions(person.ctx, make_image(status=status, protected=True)).items():
                assert action.allowed is not bool(action.reason), name
                assert not action.reason or action.reason.endswith("."), name
    assert "protected" in actions(alice.ctx, make_image(protected=True))["delete"].reason


def test_a_failed_download_can_be_tried_again_and_a_failed_file_cannot(alice, carol):
    for method, again in (("web-download", True), ("tus", False)):
        image = make_image(status="queued")
        job = jobs.open_job(
            alice.ctx, "images.import", title="x", subject_type="image", subject_id=image.id, plan=["send"], arguments={"method": method}
        )
        may = actions(alice.ctx, image, job)
        assert may["cancel"].allowed and not may["retry"].allowed and not may["upload"].allowed
        assert not actions(carol.ctx, image, job)["cancel"].allowed
        jobs.finish(job, "failed", "no")
        may = actions(alice.ctx, image, job)
        assert may["retry"].allowed is again and may["upload"].allowed and not may["cancel"].allowed


# -- who hears of it ------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
async def test_everyone_who_could_see_it_hears_that_it_went_and_nobody_else(alice, bob, admin):
    layer = get_channel_layer()
    heard: dict[str, str] = {}
    for group in ("everyone", "admins", f"project.{alice.project.id}", f"project.{bob.project.id}"):
        heard[group] = await layer.new_channel()
        await layer.group_add(group, heard[group])

    async def groups_told() -> set[str]:
        told = set()
        for group, channel in heard.items():
            while message := await _next(layer, channel):
                assert message == {"type": "changed", "subject": f"image.{image.id}"}
                told.add(group)
        return told

    own = {"admins", f"project.{alice.project.id}"}
    image = await sync_to_async(catalogue.create)(alice.ctx, name="x")
    assert await groups_told() == own
    await sync_to_async(catalogue.update)(admin.ctx, image, Changes(visibility="public"))
    assert await groups_told() == own | {"everyone"}
    await sync_to_async(catalogue.update)(alice.ctx, image, Changes(visibility="private"))
    assert await groups_told() == own | {"everyone"}
    await sync_to_async(catalogue.add_tag)(alice.ctx, image, "t")
    assert await groups_told() == own
    await sync_to_async(catalogue.update)(admin.ctx, image, Changes(owner=bob.project.id))
    assert await groups_told() == own | {f"project.{bob.project.id}"}
    await sync_to_async(catalogue.delete)(bob.ctx, image)
    assert await groups_told() == {"admins", f"project.{bob.project.id}"}


async def _next(layer, channel):
    """The message that is there, or None: publishing is over when the call that published returns."""
    try:
        async with asyncio.timeout(0.05):
            return (await layer.receive(channel))["message"]
    except TimeoutError:
        return None
