"""`/image/v2/images` and one image: create, show, change, delete, tag, deactivate."""

import json
import re
import uuid

import jsonschema
import pytest
from django.test import Client

from images.api import patch
from images.models import Blob, Image, ImageLocation
from tests.factories import make_image

URL = "/image/v2/images"
FIELDS = {
    *("id", "name", "status", "visibility", "protected", "os_hidden", "owner", "size", "virtual_size", "disk_format", "container_format"),
    *("checksum", "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "created_at", "updated_at", "tags", "self", "file", "schema"),
}


def url(image, *rest):
    return "/".join([URL, str(image.id), *rest])


def patched(person, image, *operations, media=patch.V21):
    return person.patch(url(image), json.dumps(operations), content_type=media)


def replace(name, value):
    return {"op": "replace", "path": f"/{name}", "value": value}


# -- create ---------------------------------------------------------------------------------------------------------
def test_alice_creates_an_image_as_glance_would(alice):
    body = {"name": "debian", "disk_format": "qcow2", "container_format": "bare", "tags": ["x", "x"], "os_distro": "debian", "min_ram": 64}
    answer = alice.post(URL, body)
    assert answer.status_code == 201
    made = answer.json()
    assert made.keys() == FIELDS | {"os_distro"}
    assert made["status"] == "queued" and made["visibility"] == "shared" and made["owner"] == alice.project.id
    assert made["tags"] == ["x"] and made["os_distro"] == "debian" and made["size"] is None and made["virtual_size"] is None
    assert made["self"] == f"/v2/images/{made['id']}" and made["file"] == made["self"] + "/file" and made["schema"] == "/v2/schemas/image"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert answer["Location"] == f"http://testserver{URL}/{made['id']}"
    assert answer["OpenStack-image-import-methods"] == "glance-direct,web-download"
    assert answer["OpenStack-image-store-ids"] == "local"
    assert answer["Content-Type"] == "application/json"


def test_a_record_needs_nothing_at_all(alice):
    made = alice.post(URL, {}).json()
    assert (made["name"], made["disk_format"], made["min_disk"], made["protected"]) == (None, None, 0, False)


def test_an_id_of_ones_own_is_taken_once(alice, bob):
    chosen = str(uuid.uuid4())
    assert alice.post(URL, {"id": chosen}).json()["id"] == chosen
    assert bob.post(URL, {"id": chosen}).status_code == 409
    alice.delete(f"{URL}/{chosen}")
    assert bob.post(URL, {"id": chosen}).status_code == 409


@pytest.mark.parametrize(
    "name", ["status", "size", "checksum", "os_hash_value", "created_at", "self", "file", "schema", "direct_url", "stores"]
)
def test_nobody_writes_what_the_service_knows_better(alice, admin, name):
    for person in (alice, admin):
        answer = person.post(URL, {name: "x"})
        assert answer.status_code == 403 and name in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["os_glance_import_task", "os_glance", "location", "locations", "deleted", "deleted_at"])
def test_reserved_names_are_refused(alice, name):
    assert alice.post(URL, {name: "x"}).status_code == 403
    image = make_image()
    for operation in ("add", "replace", "remove"):
        assert patched(alice, image, {"op": operation, "path": f"/{name}", "value": "x"}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"name": 1},
        {"name": "n" * 256},
        {"visibility": "secret"},
        {"visibility": None},
        {"disk_format": "floppy"},
        {"container_format": "box"},
        {"min_ram": -1},
        {"min_disk": "1"},
        {"min_disk": 2**31},
        {"min_disk": 1.0},
        {"protected": "true"},
        {"tags": "x"},
        {"tags": ["t" * 256]},
        {"tags": [{}]},
        {"id": 7},
        {"id": "7"},
        {"color": 7},
        {"color": None},
        {"color": {"a": "b"}},
        {"p" * 256: "x"},
        {"": "x"},
        {"owner": ""},
    ],
)
def test_a_wrong_value_is_a_400_with_a_sentence(alice, body):
    answer = alice.post(URL, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["title"] == "Bad Request" and answer.json()["error"]["message"].endswith(".")
    assert not Image.objects.exists()


@pytest.mark.parametrize(
    ("raw", "media", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b'{"name": "a", "name": "b"}', "application/json", 400),
        (b'{"min_ram": NaN}', "application/json", 400),
        (b'{"min_ram": 1e999}', "application/json", 400),
        (b'{"min_ram": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"\\ud800": 1}', "application/json", 400),
        (b'{"name": "a\\u0000b"}', "application/json", 400),
        (b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400),
        (b'{"name": "' + b"x" * 2**20 + b'"}', "application/json", 413),
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=utf-16", 415),
    ],
    ids=range(17),
)
def test_a_body_that_is_not_one_plain_json_object_is_refused(alice, raw, media, status):
    answer = alice.post(URL, raw, content_type=media)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_reader_and_a_stranger_create_nothing_here(alice, carol, bob):
    assert carol.post(URL, {"name": "x"}).status_code == 403
    assert bob.post(URL, {"name": "x", "owner": alice.project.id}).status_code == 403
    assert alice.post(URL, {"name": "x", "visibility": "public"}).status_code == 403
    assert not Image.objects.exists()


def test_a_full_quota_is_a_413(alice, settings):
    settings.QUOTAS = {**settings.QUOTAS, "image_count_total": 1}
    assert alice.post(URL, {}).status_code == 201
    assert alice.post(URL, {}).status_code == 413


# -- show -----------------------------------------------------------------------------------------------------------
def test_what_is_shown_agrees_with_the_published_schema(alice):
    image = make_image(tags=["a"], properties={"os_distro": "debian"})
    ImageLocation.objects.create(image=image, blob=Blob.objects.create(store="local", state="ready", refs=1))
    shown = alice.get(url(image)).json()
    assert shown["stores"] == "local" and shown.keys() == FIELDS | {"stores", "os_distro"}
    jsonschema.validate(shown, alice.get("/image/v2/schemas/image").json())
    jsonschema.validate(alice.get(URL).json(), alice.get("/image/v2/schemas/images").json())


def test_an_invisible_image_and_one_that_never_was_answer_alike(alice, bob):
    private = make_image(visibility="private")
    nowhere = uuid.uuid4()
    for method in ("get", "delete"):
        answers = [getattr(bob, method)(f"{URL}/{i}") for i in (private.id, nowhere)]
        assert [a.status_code for a in answers] == [404, 404]
        assert answers[0].content.replace(str(private.id).encode(), b"") == answers[1].content.replace(str(nowhere).encode(), b"")
    assert patched(bob, private, replace("name", "mine")).status_code == 404


@pytest.mark.parametrize("wrong", ["", "x", "null", "0", "{%s}", "%s;x=1", "%s%%00", "..%%2f%s"])
def test_what_is_no_id_is_no_image(alice, wrong):
    image = make_image()
    path = f"{URL}/{wrong % image.id if '%s' in wrong else wrong}"
    for method in ("get", "delete"):
        assert getattr(alice, method)(path).status_code == 404
    assert Image.objects.alive().count() == 1


def test_an_undashed_id_is_no_id(alice):
    assert alice.get(f"{URL}/{make_image().id.hex}").status_code == 404


# -- change ---------------------------------------------------------------------------------------------------------
def test_alice_changes_fields_tags_and_properties_in_one_patch(alice):
    image = make_image(properties={"a": "1", "b": "2"})
    answer = patched(
        alice,
        image,
        replace("name", "new"),
        replace("tags", ["t"]),
        {"op": "add", "path": "/c~1d~0e", "value": "3"},
        replace("a", "9"),
        {"op": "remove", "path": "/b"},
    )
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["name"], shown["tags"], shown["a"], shown["c/d~e"]) == ("new", ["t"], "9", "3") and "b" not in shown
    assert shown == alice.get(url(image)).json()


def test_the_older_media_type_writes_the_verb_as_the_key(alice):
    image = make_image(properties={"b": "2"})
    answer = patched(alice, image, {"replace": "/name", "value": "new"}, {"add": "/c", "value": "3"}, {"remove": "/b"}, media=patch.V20)
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["c"]) == ("new", "3") and "b" not in answer.json()


@pytest.mark.parametrize("media", ["application/json", "application/json-patch+json", "text/plain"])
def test_other_media_types_are_told_what_is_spoken(alice, media):
    answer = patched(alice, make_image(), replace("name", "x"), media=media)
    assert answer.status_code == 415
    assert answer["Accept-Patch"] == f"{patch.V20}, {patch.V21}"


IMMUTABLE = ["id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at"]


@pytest.mark.parametrize("name", [*IMMUTABLE, "self", "file", "schema", "direct_url", "stores", "location", "deleted", "os_glance_x"])
@pytest.mark.parametrize("verb", ["add", "replace", "remove"])
def test_nobody_changes_what_is_fixed(alice, admin, name, verb):
    image = make_image()
    before = alice.get(url(image)).json()
    for person in (alice, admin):
        assert patched(person, image, {"op": verb, "path": f"/{name}", "value": "x"}).status_code == 403
    assert alice.get(url(image)).json() == before


def test_a_failing_operation_undoes_those_before_it(alice):
    image = make_image(name="old")
    for last, status in [
        (replace("nothing", "x"), 409),
        ({"op": "remove", "path": "/nothing"}, 409),
        ({"op": "remove", "path": "/name"}, 403),
        (replace("visibility", "public"), 403),
        (replace("owner", "f" * 32), 403),
        (replace("disk_format", "raw"), 403),
        (replace("min_ram", "64"), 400),
        (replace("name", 1), 400),
        (replace("tags", "x"), 400),
        (replace("owner", None), 400),
        ({"op": "add", "path": "/p", "value": 1}, 400),
    ]:
        assert patched(alice, image, replace("name", "new"), last).status_code == status, last
    image.refresh_from_db()
    assert image.name == "old"


def test_wishes_in_the_query_or_headers_change_no_decision(alice, bob):
    image = make_image(visibility="private")
    for extra in ({"owner": bob.project.id}, {"is_admin": "true"}, {"project_id": alice.project.id}):
        assert bob.get(url(image), extra).status_code == 404
        assert bob.delete(url(image), extra).status_code == 404
    headers = {"X-Roles": "admin", "X-Is-Admin-Project": "True", "X-Project-Id": alice.project.id, "X-User-Id": alice.user.id}
    assert bob.get(url(image), headers=headers).status_code == 404
    assert bob.post(url(image), headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 405


# -- delete, tags, actions ------------------------------------------------------------------------------------------
def test_alice_deletes_her_image_once(alice):
    image = make_image()
    answer = alice.delete(url(image))
    assert (answer.status_code, answer.content) == (204, b"")
    assert alice.delete(url(image)).status_code == 404
    assert alice.get(url(image)).status_code == 404


def test_a_protected_image_stays_whoever_asks(alice, admin):
    image = make_image(protected=True)
    assert alice.delete(url(image)).status_code == 403
    assert admin.delete(url(image)).status_code == 403
    assert alice.get(url(image)).status_code == 200


def test_tags_come_and_go_one_by_one(alice, carol):
    image = make_image()
    assert alice.put(url(image, "tags", "a b%C3%A9")).status_code == 204
    assert alice.get(url(image)).json()["tags"] == ["a bé"]
    assert carol.delete(url(image, "tags", "a bé")).status_code == 403
    assert alice.delete(url(image, "tags", "a bé")).status_code == 204
    assert alice.delete(url(image, "tags", "a bé")).status_code == 404
    assert alice.put(url(image, "tags", "t" * 256)).status_code == 400


def test_deactivate_and_reactivate_with_glances_codes(alice, carol):
    image = make_image()
    for verb, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        assert carol.post(url(image, "actions", verb)).status_code == 403
        for _twice in range(2):
            assert alice.post(url(image, "actions", verb)).status_code == 204
            assert alice.get(url(image)).json()["status"] == status
    assert alice.post(url(make_image(status="queued"), "actions", "deactivate")).status_code == 403


# -- how it answers -------------------------------------------------------------------------------------------------
def test_without_a_token_nothing_is_told(db):
    answer = Client().get(URL)
    assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Keystone uri=")
    assert Client().get(f"{URL}/{make_image().id}", headers={"X-Auth-Token": "garbage"}).status_code == 401


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "options", "head"])
def test_a_verb_that_does_not_exist_is_a_405_that_says_which_do(alice, verb):
    image = make_image()
    for path, allow in [
        (URL, {"GET", "HEAD", "POST"}),
        (url(image), {"GET", "HEAD", "PATCH", "DELETE"}),
        (url(image, "tags", "x"), {"PUT", "DELETE"}),
        (url(image, "actions", "deactivate"), {"POST"}),
        (url(image, "import"), {"POST"}),
        ("/image/v2/info/stores", {"GET", "HEAD"}),
    ]:
        if verb.upper() not in allow:
            answer = alice.request(verb, path)
            assert answer.status_code == 405, path
            assert set(answer["Allow"].split(", ")) == allow


def test_a_path_that_leads_nowhere_is_a_fault_in_json(alice):
    for path in ("/image/v2/nothing", "/image/v2/images//x", "/image/v3"):
        assert alice.get(path).json()["error"]["code"] == 404
    assert Client().get("/image/v2/nothing").status_code == 401


def test_accept_and_format_decide_nothing(alice):
    make_image(properties={"format": "x"})
    answer = alice.get(URL, {"format": "x"}, headers={"Accept": "text/html"})
    assert answer["Content-Type"] == "application/json" and len(answer.json()["images"]) == 1


def test_showing_an_image_asks_the_database_a_fixed_number_of_times(alice, django_assert_max_num_queries):
    image = make_image(tags=[str(i) for i in range(20)], properties={str(i): "x" for i in range(20)})
    with django_assert_max_num_queries(8):  # three or four of them for the token
        alice.get(url(image))
