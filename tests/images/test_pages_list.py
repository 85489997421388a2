"""The list of images: who sees which rows, how they are found, and what each row says."""

import json
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from images.models import Image
from tests.factories import make_image, make_job

HTMX = {"HX-Request": "true", "HX-Target": "image-table"}


def names(response):
    """The names in the rows, in order."""
    return re.findall(r'class="image-name[^"]*" href="[^"]*" title="[^"]*">([^<]*)</a>', response.content.decode())


def row_of(response, image):
    found = re.search(rf'<tr id="image-{image.id}".*?</tr>', response.content.decode(), re.S)
    return found.group(0) if found else None


# -- who sees what --------------------------------------------------------------------------------------------------
def test_whoever_is_not_signed_in_is_sent_to_the_login(client, db):
    response = client.get("/images/?q=x")
    assert response.status_code == 302
    assert response["Location"].startswith("/login?next=")


def test_alice_and_carol_see_the_project_and_bob_does_not(alice_page, bob_page, carol_page, demo):
    make_image(owner=demo.id, name="mine")
    assert names(alice_page.get("/images/")) == ["mine"]
    assert names(carol_page.get("/images/")) == ["mine"]
    assert names(bob_page.get("/images/")) == []


def test_public_images_are_in_their_own_tab_with_their_owner(bob_page, demo, partner):
    make_image(owner=demo.id, name="for-all", visibility="public")
    make_image(owner=demo.id, name="put-away", visibility="public", os_hidden=True)
    make_image(owner=partner.id, name="own")
    response = bob_page.get("/images/?tab=public")
    assert names(response) == ["for-all"]
    assert "demo" in row_of(response, Image.objects.get(name="for-all"))
    assert names(bob_page.get("/images/")) == ["own"]


def test_tabs_say_how_many_there_are(alice_page, demo, partner):
    make_image(owner=demo.id)
    make_image(owner=demo.id, visibility="public")
    make_image(owner=partner.id, visibility="public")
    text = alice_page.get("/images/").content.decode()
    assert re.findall(r'class="tab-count">(\d+)<', text) == ["2", "2"]
    assert "2 images" in text


def test_an_administrator_sees_every_project_by_name(admin_page, alice_page, demo, partner):
    make_image(owner=demo.id, name="a")
    image = make_image(owner=partner.id, name="b", visibility="shared")
    response = admin_page.get("/images/all")
    assert names(response) == ["a", "b"]
    assert "partner" in row_of(response, image)
    assert "Shared" in row_of(response, image)
    assert alice_page.get("/images/all").status_code == 403
    assert 'href="/images/all"' in response.content.decode()
    assert 'href="/images/all"' not in alice_page.get("/images/").content.decode()


def test_deleted_images_are_in_no_list(alice_page, admin_page, demo):
    make_image(owner=demo.id, status="deleted")
    make_image(owner=demo.id, status="pending_delete")
    assert names(alice_page.get("/images/")) == names(admin_page.get("/images/all")) == []


# -- finding --------------------------------------------------------------------------------------------------------
@pytest.fixture
def shelf(demo):
    """Three images that differ in everything one can sort and filter by."""
    return [
        make_image(owner=demo.id, name="alpha", size=300, disk_format="raw", visibility="shared", tags=["lts"]),
        make_image(owner=demo.id, name="beta", size=100, disk_format="vmdk", status="deactivated", visibility="private"),
        make_image(owner=demo.id, name="gamma", disk_format="qcow2", status="queued", visibility="community"),
    ]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", "alpha beta gamma"),
        ("-name", "gamma beta alpha"),
        ("size", "beta alpha gamma"),
        ("-size", "alpha beta gamma"),
        ("format", "gamma alpha beta"),
        ("status", "alpha beta gamma"),
        ("visibility", "gamma beta alpha"),
        ("-updated", "gamma beta alpha"),
        ("nonsense", "alpha beta gamma"),
    ],
)
def test_every_column_sorts_both_ways_and_unknown_sizes_stand_last(alice_page, shelf, sort, expected):
    assert names(alice_page.get("/images/", {"sort": sort})) == expected.split()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=ALPH", "alpha"),
        ("q=lts", "alpha"),
        ("status=deactivated", "beta"),
        ("status=queued", "gamma"),
        ("status=failed", ""),
        ("visibility=community", "gamma"),
        ("format=raw", "alpha"),
        ("type=image&format=vmdk", "beta"),
        ("type=snapshot", ""),
        ("status=deactivated&q=alpha", ""),
        ("q=%25", ""),
        ("format=weird&status=gone&page=7", "alpha beta gamma"),
    ],
)
def test_search_and_filters_find_and_only_find(alice_page, shelf, query, expected):
    assert names(alice_page.get(f"/images/?{query}")) == expected.split()


def test_an_image_is_found_by_the_beginning_of_its_id(alice_page, shelf):
    response = alice_page.get("/images/", {"q": str(shelf[1].id)[:13]})
    assert names(response) == ["beta"]
    assert "found by its ID" in response.content.decode()


def test_a_hit_in_a_tag_says_so(alice_page, shelf):
    assert "tag: lts" in row_of(alice_page.get("/images/?q=lts"), shelf[0])


def test_failed_images_are_found_apart_from_those_that_wait(alice_page, demo):
    failed, waiting, again = (make_image(owner=demo.id, name=name, status="queued") for name in ("failed", "waiting", "again"))
    make_job(failed, status="failed", message="No.")
    make_job(again, status="failed")
    make_job(again, status="queued")
    assert names(alice_page.get("/images/?status=failed")) == ["failed"]
    assert names(alice_page.get("/images/?status=queued")) == ["again", "waiting"]
    assert waiting


def test_pages_follow_the_persons_page_size_and_keep_the_rest_of_the_url(alice_page, demo):
    alice_page.user.page_size = 2
    alice_page.user.save()
    for number in range(5):
        make_image(owner=demo.id, name=f"i{number}")
    text = alice_page.get("/images/?q=i&sort=-name&page=2").content.decode()
    assert "3–4 of 5" in text
    assert 'href="/images/?q=i&amp;sort=-name&amp;page=3"' in text
    assert 'href="/images/?q=i&amp;sort=-name"' in text
    assert names(alice_page.get("/images/?q=i&sort=-name&page=3")) == ["i0"]


def test_the_way_back_from_an_image_leads_to_the_list_as_it_was_left(alice_page, shelf):
    alice_page.get("/images/?q=a&sort=-name")
    assert 'href="/images/?q=a&amp;sort=-name"' in alice_page.get(f"/images/{shelf[0].id}/").content.decode()


def test_htmx_gets_the_table_and_a_browser_the_page(alice_page, shelf):
    part = alice_page.get("/images/?q=alpha", headers=HTMX)
    assert part.content.decode().lstrip().startswith('<section id="image-table"')
    assert "<html" not in part.content.decode()
    boosted = alice_page.get("/images/", headers={**HTMX, "HX-Boosted": "true"})
    assert "<html" in boosted.content.decode()
    assert "HX-Request" in part["Vary"]


def test_an_empty_list_says_what_to_do_next(alice_page, carol_page, demo):
    assert "Upload your first image" in alice_page.get("/images/").content.decode()
    assert "/images/create" not in carol_page.get("/images/").content.decode().split('id="page"')[1]
    nothing = alice_page.get("/images/?q=zzz&tab=mine").content.decode()
    assert "Nothing matches" in nothing
    assert "Clear search and filters" in nothing


# -- what a row says ------------------------------------------------------------------------------------------------
def test_a_row_tells_type_format_sizes_and_system(alice_page, demo):
    image = make_image(
        owner=demo.id,
        visibility="private",
        size=412 * 2**20,
        virtual_size=2 * 2**30,
        protected=True,
        properties={"os_distro": "debian", "os_version": "12"},
    )
    row = row_of(alice_page.get("/images/"), image)
    for words in ["QCOW2", "412 MiB", "2 GiB virtual", "Debian 12", "protected", "Active", "Private", "os-debian"]:
        assert words in row


@pytest.mark.parametrize("properties", [{"image_type": "snapshot"}, {"block_device_mapping": "[]"}])
def test_a_snapshot_is_called_one(alice_page, demo, properties):
    image = make_image(owner=demo.id, properties=properties)
    assert "Snapshot" in row_of(alice_page.get("/images/?type=snapshot"), image)


def test_running_work_shows_its_progress_and_what_the_format_will_be(alice_page, carol_page, demo):
    image = make_image(owner=demo.id, status="importing")
    job = make_job(image, done=50, total=100, arguments={"target_format": "raw"})
    for page in (alice_page, carol_page):
        row = row_of(page.get("/images/"), image)
        assert f'data-job="{job.id}"' in row
        assert "RAW" in row


def test_a_failure_speaks_in_the_row(alice_page, carol_page, demo):
    image = make_image(owner=demo.id, status="queued")
    make_job(image, status="failed", message="The server said 404.", arguments={"method": "web-download"})
    row = row_of(alice_page.get("/images/"), image)
    assert "Failed" in row
    assert f"/images/{image.id}/why" in row
    assert f"/images/{image.id}/retry" in row
    assert f"/images/{image.id}/upload" in row
    assert f"/images/{image.id}/throw-away" in row
    reader = row_of(carol_page.get("/images/"), image)
    assert f"/images/{image.id}/why" in reader
    assert f'action="/images/{image.id}/retry"' not in reader


def test_a_file_that_failed_is_chosen_again_where_retry_leads(alice_page, demo):
    image = make_image(owner=demo.id, status="queued")
    make_job(image, status="cancelled", arguments={"method": "tus"})
    row = row_of(alice_page.get("/images/"), image)
    assert "Cancelled" in row
    assert f'<a class="btn btn-sm btn-secondary" href="/images/{image.id}/upload"' in row


def test_other_projects_learn_nothing_of_the_work_on_a_public_image(bob_page, demo):
    image = make_image(owner=demo.id, status="queued", visibility="public")
    make_job(image, status="failed", message="secret path")
    row = row_of(bob_page.get("/images/?tab=public"), image)
    assert "Failed" not in row
    assert "secret" not in row
    assert bob_page.get(f"/images/{image.id}/why").status_code == 404


def test_other_projects_follow_public_work_without_its_reason_or_who_began_it(bob_page, alice_page, demo):
    image = make_image(owner=demo.id, status="queued", visibility="public")
    make_job(image, status="failed", message="secret path", user_name="alice", everyone=True)
    paths = ("/images/?tab=public", f"/images/{image.id}/", f"/images/{image.id}/?tab=history", f"/images/{image.id}/why")
    for path in paths:
        seen = bob_page.get(path).content.decode()
        assert "Failed" in seen or "did not succeed" in seen or "has no data" in seen
        assert "secret" not in seen
        assert "alice" not in seen
    assert "secret" not in bob_page.get(f"/images/{image.id}/upload", headers={"Accept": "application/json"}).content.decode()
    assert all("secret path" in alice_page.get(path.replace("?tab=public", "")).content.decode() for path in paths)


@pytest.mark.parametrize(
    ("rule", "paths"),
    [
        ("get_image", ["/images/{id}/", "/images/{id}/edit", "/images/{id}/delete", "/images/{id}/upload", "/images/{id}/?tab=history"]),
        ("get_images", ["/images/", "/images/{id}/row", "/images/?tab=public"]),
    ],
)
def test_a_rule_that_closes_the_api_closes_the_pages_too(alice_page, demo, settings, tmp_path, rule, paths):
    image = make_image(owner=demo.id, name="under lock")
    assert all("under lock" in alice_page.get(path.format(id=image.id)).content.decode() for path in paths if "tab=" not in path)
    settings.POLICY_FILE = tmp_path / "policy.yaml"
    settings.POLICY_FILE.write_text(f'"{rule}": "!"')
    for path in paths:
        answer = alice_page.get(path.format(id=image.id))
        assert answer.status_code == (404 if rule == "get_image" else 403)
        assert "under lock" not in answer.content.decode()


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}", "' onclick='x"])
def test_names_tags_and_searches_are_inert(alice_page, demo, text):
    image = make_image(
        owner=demo.id, name=text, tags=[text], properties={"os_distro": text, "description": text, "architecture": text, text: text}
    )
    make_job(image, status="failed", message=text, title=text, user_name=text)
    urls = ["/images/", f"/images/{image.id}/", f"/images/{image.id}/?tab=properties", f"/images/{image.id}/?tab=history"]
    urls += [f"/images/{image.id}/edit", f"/images/{image.id}/delete"]
    for url in urls:
        content = alice_page.get(url, {"q": text} if url == "/images/" else {"tab": url.partition("tab=")[2]}).content.decode()
        assert "<script>alert" not in content
        assert "<img src=x" not in content
        assert "' onclick='" not in content
        assert "14" not in re.findall(r"<h1[^>]*>(.*?)</h1>", content)


# -- live rows ------------------------------------------------------------------------------------------------------
def test_a_row_fetches_itself_again_for_its_tab_and_names_its_owner(alice_page, demo):
    image = make_image(owner=demo.id, visibility="public")
    own = alice_page.get(f"/images/{image.id}/row?tab=mine", headers={"HX-Request": "true"}).content.decode()
    public = alice_page.get(f"/images/{image.id}/row?tab=public", headers={"HX-Request": "true"}).content.decode()
    assert own.lstrip().startswith(f'<tr id="image-{image.id}" data-subject="image.{image.id}"')
    for row in (own, public):
        assert re.search(r'class="col-owner"[^>]*>demo<', row)
    assert "?tab=public" in public


def test_a_row_that_left_the_tab_or_was_never_to_be_seen_is_not_there(alice_page, bob_page, admin_page, demo):
    image = make_image(owner=demo.id)
    assert alice_page.get(f"/images/{image.id}/row?tab=public").status_code == 404
    assert alice_page.get(f"/images/{image.id}/row?tab=all").status_code == 200
    for tab in ("mine", "public", "all"):
        assert bob_page.get(f"/images/{image.id}/row?tab={tab}").status_code == 404
    assert admin_page.get(f"/images/{image.id}/row?tab=all").status_code == 200


# -- cost -----------------------------------------------------------------------------------------------------------
MOST = 12  # queries of a page, whatever it shows


def queries(page, url):
    """How many questions the page asks of the database; savepoints exist only inside a test's transaction."""
    page.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert page.get(url).status_code == 200
    return sum("SAVEPOINT" not in query["sql"] for query in captured)


FROZEN = json.loads((Path(__file__).parents[1] / "query_counts.json").read_text())["images"]


@pytest.mark.parametrize("url", FROZEN)
def test_a_page_costs_the_same_few_queries_however_many_rows_it_has(admin_page, demo, url):
    costs = []
    for count in (2, 24):
        for number in range(count):
            owner = demo if number % 2 else admin_page.project
            image = make_image(name="i", owner=owner.id, visibility="public", tags=["t"], properties={"os_distro": "debian"})
            make_job(image)
        costs.append(queries(admin_page, url))
    assert costs[0] == costs[1] == FROZEN[url] <= MOST


def test_the_head_fetches_itself_again_with_its_totals(alice_page, demo):
    make_image(owner=demo.id, size=3 * 2**20)
    fetched = {"HX-Request": "true", "HX-Target": "image-head"}
    head = alice_page.get("/images/", headers=fetched).content.decode()
    assert head.strip().startswith('<div id="image-head"')
    assert "<h1>Images</h1>" in head
    assert "3 MiB" in head
    assert "<table" not in head


def test_who_may_not_create_is_told_by_the_button_which_rule_says_so(carol_page, alice_page):
    head = carol_page.get("/images/").content.decode()
    assert re.search(r'<button[^>]*aria-disabled="true"[^>]*data-reason="[^"]*add_image[^"]*"', head)
    assert 'aria-disabled="true"' not in alice_page.get("/images/").content.decode().split("page-actions")[1].split("</header>")[0]
