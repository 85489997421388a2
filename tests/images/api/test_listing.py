"""`GET /image/v2/images`: what is listed, in which order, page by page."""

import itertools
import random
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from images.models import Image
from tests.factories import make_image

URL = "/image/v2/images"


def names(person, query=None, **filters):
    answer = person.get(URL + (query or ""), filters)
    assert answer.status_code == 200, answer.content
    return [image["name"] for image in answer.json()["images"]]


def found(person, query=None, **filters):
    return set(names(person, query, **filters))


# -- who sees what --------------------------------------------------------------------------------------------------
@pytest.fixture
def of_every_kind(alice, bob):
    for visibility in ("private", "shared", "community", "public"):
        make_image(name=f"alice-{visibility}", visibility=visibility)
        make_image(name=f"bob-{visibility}", visibility=visibility, owner=bob.project.id)
    make_image(name="alice-deleted", status="deleted")
    make_image(name="alice-pending", status="pending_delete")
    make_image(name="alice-hidden", os_hidden=True)


OWN = {"alice-private", "alice-shared", "alice-community", "alice-public"}


@pytest.mark.usefixtures("of_every_kind")
def test_each_person_lists_what_glance_would_list(alice, bob, carol, admin):
    assert found(alice) == OWN | {"bob-public"} == found(carol)
    assert found(alice, visibility="community") == {"alice-community", "bob-community"}
    assert found(alice, visibility="all") == OWN | {"bob-public", "bob-community"}
    assert found(alice, visibility="private") == {"alice-private"}
    assert found(alice, visibility="shared") == {"alice-shared"} == found(alice, visibility="shared", member_status="all")
    assert found(alice, os_hidden="true") == {"alice-hidden"}
    assert not any(name.startswith("alice") for name in found(bob) - {"alice-public"})
    assert len(found(admin)) == 8
    assert found(alice, owner=bob.project.id) == {"bob-public"}
    assert found(alice, status="deleted") == set()


@pytest.mark.usefixtures("of_every_kind")
def test_no_filter_reaches_an_image_the_asker_cannot_see(alice, bob):
    secret = Image.objects.get(name="alice-private")
    for filters in (
        {"id": secret.id},
        {"name": "alice-private"},
        {"owner": alice.project.id, "visibility": "private"},
        {"checksum": "0" * 32},
    ):
        assert "alice-private" not in found(bob, **filters)
    assert bob.get(URL, {"marker": secret.id}).status_code == 400


# -- filters --------------------------------------------------------------------------------------------------------
@pytest.fixture
def mixed(alice):
    old = timezone.now() - timedelta(days=10)
    make_image(name="a", disk_format="raw", size=10, tags=["x"], properties={"os": "debian"}, created_at=old.replace(microsecond=5))
    make_image(name="b,c", disk_format="qcow2", size=20, tags=["x", "y"], properties={"os": "debian", "v": "12"}, protected=True)
    make_image(name='d"', disk_format="vmdk", size=30, tags=["y"], min_ram=64, min_disk=5, status="deactivated", checksum="c" * 32)
    make_image(name=None, disk_format=None, container_format=None, status="queued", size=None)
    return old.strftime("%Y-%m-%dT%H:%M:%SZ")


ALL = {"a", "b,c", 'd"', None}


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?name=a", {"a"}),
        ("?name=eq:a", {"a"}),
        ('?name=in:a,"b,c"', {"a", "b,c"}),
        (r'?name=in:"d\""', {'d"'}),
        ("?name=in:nothing", set()),
        ("?status=in:queued,deactivated", {None, 'd"'}),
        ("?disk_format=raw", {"a"}),
        ("?disk_format=in:raw,vmdk", {"a", 'd"'}),
        ("?container_format=bare", ALL - {None}),
        ("?size_min=20", {"b,c", 'd"'}),
        ("?size_min=20&size_max=20", {"b,c"}),
        ("?size=10", {"a"}),
        ("?protected=true", {"b,c"}),
        ("?protected=False", ALL - {"b,c"}),
        ("?tag=x", {"a", "b,c"}),
        ("?tag=x&tag=y", {"b,c"}),
        ("?os=debian", {"a", "b,c"}),
        ("?os=debian&v=12", {"b,c"}),
        ("?os=debian&os=other", set()),
        ("?nobody_has_this=1", set()),
        ("?min_ram=64&min_disk=5", {'d"'}),
        (f"?checksum={'c' * 32}", {'d"'}),
        ("?os_hash_algo=sha512", ALL - {None}),
        (f"?id={uuid.UUID(int=1)}", set()),
        ("?id=nonsense", set()),
        ("?limit=0", set()),
    ],
)
def test_filters_keep_what_they_name(alice, query, expected):
    assert found(alice, query) == expected


def test_dates_compare_by_the_second_clients_see(alice, mixed):
    assert (
        found(alice, f"?created_at={mixed}") == {"a"} == found(alice, f"?created_at=eq:{mixed}") == found(alice, f"?created_at=lte:{mixed}")
    )
    assert found(alice, f"?created_at=gt:{mixed}") == ALL - {"a"} == found(alice, f"?created_at=neq:{mixed}")
    assert found(alice, f"?created_at=gte:{mixed}") == ALL
    assert found(alice, f"?created_at=lt:{mixed}") == set()
    assert found(alice, "?updated_at=gt:2020-01-01T00:00:00") == ALL


@pytest.mark.parametrize(
    "query",
    [
        *("limit=-1", "limit=x", "limit=1.5", "limit=%C2%B2", "marker=x", f"marker={uuid.UUID(int=1)}"),
        *(
            "sort=color",
            "sort=name:up",
            "sort_key=color",
            "sort_dir=up",
            "sort=name&sort_key=name",
            "sort_key=name&sort_dir=asc&sort_dir=desc",
        ),
        *("visibility=secret", "member_status=maybe", "os_hidden=maybe", "protected=1", "changes-since=2020", "size_min=x", "size_max=-1"),
        *("size_min=99999999999999999999", "created_at=yesterday", "created_at=gt:2020-13-01T00:00:00Z", "name=gt:a", "status=neq:active"),
        *("created_at=lt:9999-12-31T23:59:59-23:59", "updated_at=gt:0001-01-01T00:00:00%2B23:59"),
        *('name=in:"a', 'name=in:"a"b', "name=%00", "%00=a", "&".join(f"tag={i}" for i in range(200))),
    ],
)
def test_a_question_that_makes_no_sense_is_a_400(alice, query):
    answer = alice.get(f"{URL}?{query}")
    assert answer.status_code == 400 and answer.json()["error"]["message"]


# -- order and pages ------------------------------------------------------------------------------------------------
def walk(person, query, size):
    """All ids, page by page, following `next`."""
    seen, path = [], f"/v2/images?limit={size}&{query}"
    while path:
        page = person.get("/image" + path).json()
        assert len(page["images"]) <= size
        seen += [image["id"] for image in page["images"]]
        path = page.get("next")
    return seen


def expected_order(pairs):
    """The oracle: None before everything, ties by age and id."""
    rows = list(Image.objects.all())
    tie = pairs[0][1] if len({d for _k, d in pairs}) == 1 else "desc"
    for key, direction in reversed([*pairs, ("created_at", tie), ("id", tie)]):
        rows.sort(key=lambda row: ((v := getattr(row, key)) is not None, v if v is not None else 0), reverse=direction == "desc")
    return [str(row.id) for row in rows]


@pytest.fixture
def many(alice):
    now, chance = timezone.now(), random.Random(7)
    for _number in range(23):
        make_image(
            name=chance.choice([None, "", "a", "b"]),
            size=chance.choice([None, 1, 2]),
            status=chance.choice(["active", "queued"]),
            disk_format=chance.choice([None, "raw", "iso"]),
            created_at=now - timedelta(seconds=chance.choice([0, 1, 2])),
        )


PAIRS = [[(k, d)] for k in ("name", "size", "status", "created_at", "id", "updated_at") for d in ("asc", "desc")]
PAIRS += [list(zip(("name", "size"), d, strict=True)) for d in itertools.product(("asc", "desc"), repeat=2)]
PAIRS += [[("size", "desc"), ("disk_format", "asc"), ("name", "desc")]]


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("pairs", PAIRS, ids=str)
def test_pages_show_each_image_once_in_order_with_nulls_and_ties(alice, pairs):
    expected = expected_order(pairs)
    assert walk(alice, "sort=" + ",".join(f"{k}:{d}" for k, d in pairs), 4) == expected
    assert walk(alice, "&".join(f"sort_key={k}&sort_dir={d}" for k, d in pairs), 7) == expected


@pytest.mark.usefixtures("many")
def test_without_a_wish_the_newest_come_first(alice):
    assert walk(alice, "", 5) == expected_order([("created_at", "desc")]) == walk(alice, "sort=created_at", 23)
    assert walk(alice, "sort_key=name&sort_key=size&sort_dir=asc", 5) == expected_order([("name", "asc"), ("size", "asc")])


@pytest.mark.usefixtures("many")
def test_there_is_a_next_page_only_when_there_is_more(alice, settings):
    page = alice.get(URL, {"limit": 23, "name": "a", "tag": ["x", "y"]}).json()
    assert "next" not in page and page["first"] == "/v2/images?limit=23&name=a&tag=x&tag=y" and page["schema"] == "/v2/schemas/images"
    assert "next" not in alice.get(URL, {"limit": 23}).json()
    assert "next" in alice.get(URL, {"limit": 22}).json()
    settings.API_LIMIT_MAX, settings.LIMIT_PARAM_DEFAULT = 3, 2
    assert len(alice.get(URL, {"limit": 1000}).json()["images"]) == 3
    assert len(alice.get(URL).json()["images"]) == 2


@pytest.mark.usefixtures("many")
def test_paging_goes_on_although_images_are_deleted_meanwhile(alice):
    first = alice.get(URL, {"limit": 5}).json()
    last = first["images"][-1]["id"]
    alice.delete(f"{URL}/{last}")
    rest = walk(alice, f"marker={last}", 5)
    assert rest == expected_order([("created_at", "desc")])[5:]


def test_a_list_asks_the_database_a_fixed_number_of_times(alice, django_assert_max_num_queries):
    for number in range(30):
        make_image(tags=[str(number), "x"], properties={"a": "1", "b": str(number)})
    marker = alice.get(URL, {"limit": 1}).json()["images"][0]["id"]
    login = 3  # what checking the token asks
    with django_assert_max_num_queries(5 + login):
        assert len(alice.get(URL, {"limit": 25, "marker": marker, "tag": "x", "a": "1"}).json()["images"]) == 25
