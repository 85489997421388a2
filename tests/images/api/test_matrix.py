"""Who gets which answer from which route: one table. A route that is not in it fails.

The table is written from Glance's rules, not from our code: it shares nothing with `images.policy`.
"""

import json
from typing import Any

import pytest
from django.test import Client

from dashboard.identity import tokens
from images.api.urls import urlpatterns
from images.policy import RULES
from tests.factories import make_image

PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
PEOPLE = ("nobody", "carol", "alice", "bob", "admin")  # no token; reader, member of the owner; member elsewhere; administrator
WEB = {"method": {"name": "web-download", "uri": "http://192.0.2.1/x"}}
RENAME = json.dumps([{"op": "replace", "path": "/name", "value": "x"}])

# Answers for: nobody, carol, alice, bob looking at a private image; then bob looking at one he sees; the administrator.
#   route             verb      nobody carol alice  bob  bob(public)  admin
TABLE = {
    ("images", "GET"): (401, 200, 200, 200, 200, 200),
    ("images", "POST"): (401, 403, 201, 201, 201, 201),  # each in their own project
    ("image", "GET"): (401, 200, 200, 404, 200, 200),
    ("image", "PATCH"): (401, 403, 200, 404, 403, 200),
    ("image", "DELETE"): (401, 403, 204, 404, 403, 204),
    ("image-tag", "PUT"): (401, 403, 204, 404, 403, 204),
    ("image-tag", "DELETE"): (401, 403, 204, 404, 403, 204),
    ("image-deactivate", "POST"): (401, 403, 204, 404, 403, 204),
    ("image-reactivate", "POST"): (401, 403, 204, 404, 403, 204),
    ("image-import", "POST"): (401, 403, 202, 404, 403, 202),
    ("image-tasks", "GET"): (401, 200, 200, 404, 200, 200),
    ("schema-image", "GET"): (401, 200, 200, 200, 200, 200),
    ("schema-images", "GET"): (401, 200, 200, 200, 200, 200),
    ("info-import", "GET"): (401, 200, 200, 200, 200, 200),
    ("info-stores", "GET"): (401, 200, 200, 200, 200, 200),
    ("info-usage", "GET"): (401, 200, 200, 200, 200, 200),
}
PATHS = {
    "images": "/image/v2/images",
    "image": "/image/v2/images/{id}",
    "image-tag": "/image/v2/images/{id}/tags/t",
    "image-deactivate": "/image/v2/images/{id}/actions/deactivate",
    "image-reactivate": "/image/v2/images/{id}/actions/reactivate",
    "image-import": "/image/v2/images/{id}/import",
    "image-tasks": "/image/v2/images/{id}/tasks",
    "schema-image": "/image/v2/schemas/image",
    "schema-images": "/image/v2/schemas/images",
    "info-import": "/image/v2/info/import",
    "info-stores": "/image/v2/info/stores",
    "info-usage": "/image/v2/info/usage",
}
BODIES = {
    ("images", "POST"): ({}, "application/json"),
    ("image", "PATCH"): (RENAME, PATCH_TYPE),
    ("image-import", "POST"): (WEB, "application/json"),
}
FOR_ALL = {"schema-image", "schema-images", "info-import", "info-stores"}
STATUS = {"image-import": "queued", "image-reactivate": "deactivated"}
VERBS = {"get", "post", "put", "patch", "delete"}


def view(pattern: Any) -> Any:
    return pattern.callback.cls


def test_every_route_is_in_the_table():
    routes = {(pattern.name, verb.upper()) for pattern in urlpatterns if pattern.name for verb in VERBS if hasattr(view(pattern), verb)}
    assert routes == TABLE.keys()
    nameless = {view(pattern).__name__ for pattern in urlpatterns if not pattern.name}
    assert nameless == {"VersionsView", "Missing"}  # open to everyone; leads nowhere


def ask(person, route, verb, visibility):
    image = make_image(visibility=visibility, status=STATUS.get(route, "active"), tags=["t"])
    body, media = BODIES.get((route, verb), (None, "application/json"))
    return getattr(person, verb.lower())(PATHS[route].format(id=image.id), body, content_type=media)


@pytest.mark.parametrize(("route", "verb"), TABLE, ids=lambda part: part)
def test_each_person_gets_the_answer_of_the_table(request, settings, db, route, verb):
    settings.IMPORT_ALLOWED_HOSTS = ["192.0.2.1"]
    expected = dict(zip((*PEOPLE[:4], "bob-public", "admin"), TABLE[route, verb], strict=True))
    for name, status in expected.items():
        person = Client() if name == "nobody" else request.getfixturevalue(name.partition("-")[0])
        for visibility in ("public", "community") if name == "bob-public" else ("private", "shared"):
            answer = ask(person, route, verb, visibility)
            assert answer.status_code == status, (name, visibility, answer.content)


@pytest.mark.parametrize(("route", "verb"), TABLE, ids=lambda part: part)
def test_a_token_without_a_project_opens_no_image(alice, route, verb):
    alice.token = tokens.issue(alice.user)[0]
    for visibility in ("private", "public"):
        status = ask(alice, route, verb, visibility).status_code
        assert status in {403, 404} if route not in FOR_ALL else status == 200


OF_AN_IMAGE = {key for key in TABLE if "{id}" in PATHS[key[0]]}
GOVERNS = {  # the routes that close when a rule becomes "!", for somebody who could use them all
    "get_images": {("images", "GET")},
    "get_image": {("image", "GET")} | OF_AN_IMAGE,
    "add_image": {("images", "POST")},
    "modify_image": {("image", "PATCH"), ("image-tag", "PUT"), ("image-tag", "DELETE"), ("image-import", "POST")},
    "delete_image": {("image", "DELETE")},
    "deactivate": {("image-deactivate", "POST")},
    "reactivate": {("image-reactivate", "POST")},
    "publicize_image": set(),
    "communitize_image": set(),
    "upload_image": set(),  # answered by images.transfer
    "download_image": set(),
}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_closed_by_the_administrator_closes_its_routes_and_no_other(alice, settings, tmp_path, rule):
    settings.IMPORT_ALLOWED_HOSTS = ["192.0.2.1"]
    settings.POLICY_FILE = tmp_path / "policy.yaml"
    settings.POLICY_FILE.write_text(f'"{rule}": "!"')
    for route, verb in TABLE:
        status = ask(alice, route, verb, "private").status_code
        if (route, verb) in GOVERNS[rule]:
            assert status == (404 if rule == "get_image" else 403), (route, verb)
        else:
            assert status == TABLE[route, verb][2], (route, verb)
