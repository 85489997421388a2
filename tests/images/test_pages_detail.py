"""The page of one image, the form that changes it, and the buttons that act on it."""

import json
import re
import uuid

import pytest

from images.models import Image, ImageTag
from tests.factories import make_image, make_job

PAGES = ["", "?tab=properties", "?tab=history", "row", "edit", "delete", "deactivate", "reactivate", "why"]


def text_of(response):
    assert response.status_code == 200, response.status_code
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


# -- who may look ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", PAGES)
def test_bob_finds_nothing_of_alices_image_and_neither_does_a_stranger(bob_page, client, demo, path):
    image = make_image(owner=demo.id, status="queued", visibility="private")
    make_job(image, status="failed")
    url = f"/images/{image.id}/{path}"
    assert bob_page.get(url).status_code == 404
    assert bob_page.get(f"/images/{uuid.uuid4()}/{path}").status_code == 404
    assert client.get(url).status_code == 302


@pytest.mark.parametrize("action", ["edit", "delete", "deactivate", "reactivate"])
def test_bob_and_a_stranger_cannot_act_on_it(bob_page, client, demo, action):
    image = make_image(owner=demo.id, visibility="private")
    assert bob_page.post(f"/images/{image.id}/{action}").status_code == 404
    assert client.post(f"/images/{image.id}/{action}").status_code == 302
    image.refresh_from_db()
    assert image.status == "active"


@pytest.mark.parametrize("status", ["queued", "saving", "uploading", "importing", "active", "deactivated", "killed"])
def test_every_state_has_a_page_for_owner_reader_and_administrator(alice_page, carol_page, admin_page, demo, status):
    image = make_image(owner=demo.id, status=status)
    for page in (alice_page, carol_page, admin_page):
        for path in ("", "?tab=properties", "?tab=history", "delete", "row?tab=all"):
            if path.startswith("row") and page is admin_page:
                continue
            assert page.get(f"/images/{image.id}/{path}").status_code == 200


def test_a_deleted_image_has_no_page_not_even_for_administrators(admin_page, demo):
    image = make_image(owner=demo.id, status="deleted")
    assert admin_page.get(f"/images/{image.id}/").status_code == 404


# -- what the page says ---------------------------------------------------------------------------------------------
def test_everything_known_is_on_the_page(alice_page, demo):
    properties = {"description": "Of the shop", "architecture": "aarch64", "hw_disk_bus": "scsi"}
    hashes = {"checksum": "a" * 32, "os_hash_value": "b" * 128}
    image = make_image(
        owner=demo.id,
        name="web",
        size=5 * 2**20,
        virtual_size=2**30,
        min_disk=3,
        min_ram=512,
        tags=["lts", "noble"],
        visibility="community",
        properties=properties,
        **hashes,
    )
    text = text_of(alice_page.get(f"/images/{image.id}/"))
    expected = [str(image.id), "Of the shop", "aarch64", "5 MiB stored", "1 GiB virtual", "3 GiB disk", "512 MiB RAM", "a" * 32, "b" * 128]
    for words in [*expected, "lts", "noble", "Community", "only those who know its ID", "demo", "QCOW2", "container bare"]:
        assert words in text
    properties = text_of(alice_page.get(f"/images/{image.id}/?tab=properties"))
    assert "hw_disk_bus" in properties
    assert "scsi" in properties


def test_the_journey_shows_what_each_step_did(alice_page, demo):
    image = make_image(owner=demo.id, status="importing")
    steps = [
        {"name": "send", "done": 2**20, "total": 2**20, "seconds": 2, "note": ""},
        {"name": "inspect", "done": 0, "total": None, "seconds": 1, "note": "qcow2, no backing file"},
        {"name": "convert", "done": 0, "total": None, "seconds": 0, "note": ""},
        {"name": "store", "done": 0, "total": None, "seconds": 0, "note": ""},
    ]
    job = make_job(image, steps=steps, stage="convert", done=2**30, total=2**31)
    response = alice_page.get(f"/images/{image.id}/")
    text = text_of(response)
    for words in [
        "Send done",
        "1 MiB",
        "512 KiB/s",
        "0:02",
        "qcow2, no backing file",
        "Convert under way",
        "1 GiB of 2 GiB",
        "Store to come",
    ]:
        assert words in text
    assert f'action="/images/{image.id}/cancel"' in response.content.decode()
    assert f'data-journey="{job.id}"' in response.content.decode()


def test_history_keeps_every_try_with_its_outcome(alice_page, bob_page, demo):
    image = make_image(owner=demo.id, visibility="public")
    make_job(image, status="failed", message="The checksum is another one.")
    make_job(image, status="succeeded")
    text = text_of(alice_page.get(f"/images/{image.id}/?tab=history"))
    assert "The checksum is another one." in text
    assert text.index("Succeeded") < text.index("Failed")
    assert "checksum is another" not in text_of(bob_page.get(f"/images/{image.id}/?tab=history"))


def test_why_tells_the_reason_and_offers_the_remedies(alice_page, demo):
    image = make_image(owner=demo.id, status="queued")
    make_job(image, status="failed", message="No such host.", arguments={"method": "web-download"})
    for headers in ({}, {"HX-Request": "true"}):
        response = alice_page.get(f"/images/{image.id}/why", headers=headers)
        content = response.content.decode()
        assert "No such host." in content
        for path in ("retry", "upload", "throw-away"):
            assert f"/images/{image.id}/{path}" in content
        assert ("<html" in content) == (not headers)


def test_a_button_that_is_off_says_why(carol_page, alice_page, demo):
    image = make_image(owner=demo.id, protected=True)
    assert "modify_image" in carol_page.get(f"/images/{image.id}/").content.decode()
    assert "is protected" in alice_page.get(f"/images/{image.id}/").content.decode()
    assert f"/images/{image.id}/edit" not in carol_page.get(f"/images/{image.id}/").content.decode()


# -- editing --------------------------------------------------------------------------------------------------------
def form_of(page, image):
    """What a browser would send if nothing were changed."""
    content = page.get(f"/images/{image.id}/edit").context["form"]
    data = {name: content[name].value() for name in content.fields if not content.fields[name].disabled}
    return {name: value for name, value in data.items() if value is not False}


def edit(page, image, **changes):
    data = {name: value for name, value in {**form_of(page, image), **changes}.items() if value is not None}
    return page.post(f"/images/{image.id}/edit", data)


@pytest.mark.parametrize("status", ["queued", "saving", "uploading", "importing", "active", "deactivated", "killed"])
def test_an_image_is_edited_in_every_living_state(alice_page, demo, status):
    image = make_image(owner=demo.id, status=status)
    response = edit(
        alice_page, image, name="new", description="d", architecture="aarch64", tags="b, a,, a", min_disk="2", min_ram="64",
        visibility="private", protected="on",
    )  # fmt: skip
    assert response.status_code == 303
    image = Image.objects.get(pk=image.pk)
    assert (image.name, image.min_disk, image.min_ram, image.visibility, image.protected) == ("new", 2, 64, "private", True)
    assert sorted(t.value for t in image.tags.all()) == ["a", "b"]
    assert {p.name: p.value for p in image.properties.all()} == {"description": "d", "architecture": "aarch64"}
    assert image.status == status


def test_saving_without_a_change_changes_nothing(alice_page, demo):
    image = make_image(
        owner=demo.id,
        name=None,
        properties={"description": " a\nb", "x": "1"},
        tags=["t", "a, b", '"q"'],
        visibility="shared",
        protected=True,
    )
    before = Image.objects.values().get(pk=image.pk)
    assert edit(alice_page, image).status_code == 303
    assert Image.objects.values().get(pk=image.pk) == before


def test_what_others_changed_meanwhile_survives(alice_page, demo):
    image = make_image(owner=demo.id, name="old", tags=["keep", "drop"], visibility="shared")
    data = form_of(alice_page, image)
    Image.objects.filter(pk=image.pk).update(visibility="community", min_ram=128)
    ImageTag.objects.create(image=image, value="theirs")
    assert alice_page.post(f"/images/{image.id}/edit", {**data, "name": "mine", "tags": "keep, added"}).status_code == 303
    image.refresh_from_db()
    assert (image.name, image.visibility, image.min_ram) == ("mine", "community", 128)
    assert sorted(t.value for t in image.tags.all()) == ["added", "keep", "theirs"]


def test_two_changes_of_one_field_are_pointed_out_once(alice_page, demo):
    image = make_image(owner=demo.id, name="old")
    data = {**form_of(alice_page, image), "name": "mine", "description": "typed"}
    Image.objects.filter(pk=image.pk).update(name="theirs")
    response = alice_page.post(f"/images/{image.id}/edit", data)
    assert response.status_code == 422
    assert "theirs" in text_of_any(response)
    assert "typed" in response.content.decode()
    again = {**data, "before": response.context["form"]["before"].value()}
    assert alice_page.post(f"/images/{image.id}/edit", again).status_code == 303
    assert Image.objects.get(pk=image.pk).name == "mine"


@pytest.mark.parametrize(
    "before",
    [
        *("null", "[", "[" * 50000, '{"a": 1}'),
        *({"tags": 5}, {"tags": None}, {"tags": [{}]}, {"tags": [["a"]]}),
        *({"name": ["x"]}, {"min_disk": {}}),
    ],
)
def test_an_edit_form_whose_memory_was_garbled_still_saves(alice_page, demo, before):
    image = make_image(owner=demo.id, name="old", tags=["keep"])
    data = form_of(alice_page, image)
    garbled = before if isinstance(before, str) else json.dumps({**json.loads(data["before"]), **before})
    assert alice_page.post(f"/images/{image.id}/edit", {**data, "name": "new", "tags": "keep, more", "before": garbled}).status_code == 303
    image.refresh_from_db()
    assert (image.name, sorted(t.value for t in image.tags.all())) == ("new", ["keep", "more"])


def text_of_any(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 256),
        ("min_disk", "-1"),
        ("min_ram", "much"),
        ("min_ram", str(2**40)),
        ("visibility", "secret"),
        ("visibility", "public"),
        ("tags", "x" * 256),
        ("tags", ",".join(f"t{n}" for n in range(200))),
    ],
)
def test_what_will_not_do_is_said_at_the_field_and_nothing_typed_is_lost(alice_page, demo, field, value):
    image = make_image(owner=demo.id, name="old")
    response = edit(alice_page, image, **{"description": "typed", field: value})
    assert response.status_code == 422
    assert response.context["form"].errors[field]
    assert "typed" in response.content.decode()
    assert not Image.objects.get(pk=image.pk).properties.exists()


def test_only_an_administrator_makes_public_and_alice_reads_why(alice_page, admin_page, demo):
    image = make_image(owner=demo.id, visibility="shared")
    assert "publicize_image" in text_of(alice_page.get(f"/images/{image.id}/edit"))
    assert edit(admin_page, image, visibility="public").status_code == 303
    assert Image.objects.get(pk=image.pk).visibility == "public"
    # Once public, its owner still edits the rest of it.
    assert edit(alice_page, image, name="renamed").status_code == 303
    image.refresh_from_db()
    assert (image.name, image.visibility) == ("renamed", "public")


def test_the_format_is_open_only_while_there_is_no_data(alice_page, demo):
    waiting, active = make_image(owner=demo.id, status="queued"), make_image(owner=demo.id)
    assert edit(alice_page, waiting, disk_format="raw").status_code == 303
    assert edit(alice_page, active, disk_format="raw").status_code == 303
    assert [Image.objects.get(pk=i.pk).disk_format for i in (waiting, active)] == ["raw", "qcow2"]
    assert "Fixed once data has been sent" in text_of(alice_page.get(f"/images/{active.id}/edit"))


def test_a_reader_and_another_project_may_not_edit(carol_page, bob_page, demo):
    image = make_image(owner=demo.id, name="old", visibility="public")
    for page in (carol_page, bob_page):
        assert page.get(f"/images/{image.id}/edit").status_code == 403
        assert page.post(f"/images/{image.id}/edit", {"name": "x"}).status_code == 403
    assert Image.objects.get(pk=image.pk).name == "old"


# -- buttons --------------------------------------------------------------------------------------------------------
def test_deactivate_and_reactivate_ask_first_and_lead_back(alice_page, demo):
    image = make_image(owner=demo.id)
    for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        asked = alice_page.get(f"/images/{image.id}/{action}?next=detail", headers={"HX-Request": "true"})
        assert "<html" not in asked.content.decode()
        assert f'action="/images/{image.id}/{action}"' in asked.content.decode()
        done = alice_page.post(f"/images/{image.id}/{action}", {"next": "detail"})
        assert (done.status_code, done["Location"]) == (303, f"/images/{image.id}/")
        assert Image.objects.get(pk=image.pk).status == status


def test_a_refusal_leads_back_with_its_reason(carol_page, demo):
    image = make_image(owner=demo.id)
    response = carol_page.post(f"/images/{image.id}/delete", follow=True)
    assert "delete_image" in text_of(response)
    assert Image.objects.get(pk=image.pk).status == "active"


def test_delete_names_what_goes_and_leads_to_the_list(alice_page, demo):
    image = make_image(owner=demo.id, name="old")
    assert "Delete “old”?" in text_of(alice_page.get(f"/images/{image.id}/delete"))
    response = alice_page.post(f"/images/{image.id}/delete", follow=True)
    assert "“old” was deleted." in text_of(response)
    assert alice_page.get(f"/images/{image.id}/").status_code == 404


def test_a_protected_image_is_not_deleted_and_the_question_says_so(alice_page, demo):
    image = make_image(owner=demo.id, protected=True)
    question = alice_page.get(f"/images/{image.id}/delete").content.decode()
    assert "is protected" in question
    assert "btn-danger" not in question.split('id="page"')[1].split("</main>")[0]
    alice_page.post(f"/images/{image.id}/delete")
    assert Image.objects.get(pk=image.pk).status == "active"


# -- many -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def mixed(demo, partner):
    """What alice may delete, may not delete, and may not see."""
    return {
        "mine": make_image(owner=demo.id, name="mine", size=3 * 2**20),
        "kept": make_image(owner=demo.id, name="kept", protected=True),
        "theirs": make_image(owner=partner.id, name="theirs", visibility="public"),
        "unseen": make_image(owner=partner.id, name="unseen", visibility="private"),
    }


def test_deleting_many_says_what_goes_and_what_stays_and_why(alice_page, mixed):
    ids = [str(image.id) for image in mixed.values()]
    response = alice_page.post("/images/delete", {"ids": ids})
    text = text_of(response)
    for words in ["Delete 1 image?", "3 MiB become free", "2 images stay", "is protected", "delete_image", "1 of them is gone already"]:
        assert words in text
    assert "unseen" not in text
    assert response.context["ids"] == str(mixed["mine"].id)
    assert Image.objects.filter(status="active").count() == 4


def test_once_confirmed_only_what_may_go_goes(alice_page, mixed):
    ids = ",".join(str(image.id) for image in mixed.values())
    text = text_of(alice_page.post("/images/delete", {"ids": ids, "confirmed": "1"}, follow=True))
    assert "1 image deleted." in text
    assert "kept" in text
    assert Image.objects.get(name="mine").status == "deleted"
    assert set(Image.objects.filter(status="active").values_list("name", flat=True)) == {"kept", "theirs", "unseen"}


def test_a_reader_deletes_none(carol_page, mixed):
    text = text_of(carol_page.post("/images/delete", {"ids": [str(mixed["mine"].id)]}))
    assert "Nothing can be deleted" in text
    carol_page.post("/images/delete", {"ids": [str(mixed["mine"].id)], "confirmed": "1"})
    assert Image.objects.get(name="mine").status == "active"


@pytest.mark.parametrize("ids", [[], ["nonsense", "../x"], [str(uuid.UUID(int=number)) for number in range(1001)]])
def test_a_selection_of_none_or_too_many_is_sent_back(alice_page, ids):
    response = alice_page.post("/images/delete", {"ids": ",".join(ids)})
    assert response.status_code == 303


def test_a_thousand_can_be_named_and_exactly_those_confirmed_are_deleted(alice_page, demo):
    images = Image.objects.bulk_create(Image(owner=demo.id, name=f"i{n}", status="queued") for n in range(1000))
    asked = alice_page.post("/images/delete", {"ids": ",".join(str(i.id) for i in images)})
    ids = asked.context["ids"].split(",")
    assert set(ids) == {str(i.id) for i in images}
    alice_page.post("/images/delete", {"ids": ",".join(ids[:100]), "confirmed": "1"})
    assert {str(key) for key in Image.objects.alive().values_list("id", flat=True)} == set(ids[100:])


def test_only_a_post_with_its_token_acts(demo):
    from tests.conftest import PageClient, _alice

    strict = PageClient(*_alice())
    strict.handler.enforce_csrf_checks = True
    image = make_image(owner=demo.id)
    assert strict.post(f"/images/{image.id}/delete").status_code == 403
    assert strict.get("/images/delete").status_code == 405
    assert Image.objects.get(pk=image.pk).status == "active"
