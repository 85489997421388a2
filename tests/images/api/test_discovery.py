"""Versions, schemas, and what the service says it can do."""

from django.test import Client

from tests.factories import make_image


def test_versions_are_told_to_everyone(db):
    for path, status in (("/image", 300), ("/image/", 300), ("/image/versions", 200), ("/image/versions/", 200), ("/image/v2", 200)):
        answer = Client().get(path)
        assert answer.status_code == status
        versions = answer.json()["versions"]
        assert [v["id"] for v in versions if v["status"] == "CURRENT"] == ["v2.15"]
        assert versions[-1]["id"] == "v2.0"
        assert {link["href"] for v in versions for link in v["links"]} == {"http://testserver/image/v2/"}


def test_a_public_address_is_told_when_one_is_set(db, settings):
    settings.PUBLIC_URL = "https://images.example.org/"
    assert Client().get("/image").json()["versions"][0]["links"][0]["href"] == "https://images.example.org/image/v2/"


def test_import_methods_and_stores(carol):
    assert carol.get("/image/v2/info/import").json()["import-methods"]["value"] == ["glance-direct", "web-download"]
    assert carol.get("/image/v2/info/stores").json() == {"stores": [{"id": "local", "default": "true"}]}


def test_each_project_is_told_its_own_usage(alice, bob, settings):
    settings.QUOTAS = {**settings.QUOTAS, "image_size_total": 10}
    make_image(size=2**20 + 1)
    usage = alice.get("/image/v2/info/usage").json()["usage"]
    assert usage["image_size_total"] == {"usage": 2, "limit": 10}
    assert usage["image_count_total"] == {"usage": 1, "limit": -1}
    assert bob.get("/image/v2/info/usage").json()["usage"]["image_count_total"]["usage"] == 0


def test_schemas_name_every_field(carol):
    schema = carol.get("/image/v2/schemas/image").json()
    assert schema["name"] == "image" and schema["additionalProperties"] == {"type": "string"}
    assert {"id", "disk_format", "os_hash_value", "stores"} <= schema["properties"].keys()
    assert schema["properties"]["status"]["readOnly"] and "qcow2" in schema["properties"]["disk_format"]["enum"]
    assert carol.get("/image/v2/schemas/images").json()["properties"]["images"]["items"]["name"] == "image"
