"""What people see when something was refused that no view expected, and the frame of every page."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from dashboard import urls
from dashboard.core import errors
from dashboard.identity import navigation
from dashboard.identity.decorators import signed_in
from tests.conftest import PageClient
from tests.factories import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

REFUSALS = {
    "missing": errors.NotFound("No such thing."),
    "forbidden": errors.Forbidden("Not for readers."),
    "conflict": errors.Conflict("It is busy."),
    "full": errors.StorageFull(needed="5 GiB", free="1 GiB"),
}


@signed_in
def refuse(request: HttpRequest, why: str) -> HttpResponse:
    raise REFUSALS[why]


urlpatterns = [path("refuse/<why>", refuse), *urls.urlpatterns]
handler403, handler404 = urls.handler403, urls.handler404


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.mark.parametrize(("why", "status"), [("missing", 404), ("forbidden", 403), ("conflict", 409), ("full", 413)])
def test_a_refusal_has_its_own_status_everywhere(alice_page: PageClient, why: str, status: int) -> None:
    page = alice_page.get(f"/refuse/{why}")
    fragment = alice_page.get(f"/refuse/{why}", headers={"HX-Request": "true"})
    script = alice_page.get(f"/refuse/{why}", headers={"Accept": "application/json"})
    assert page.status_code == fragment.status_code == script.status_code == status
    assert "<h1" in text(page) and "<html" not in text(fragment)
    assert text(fragment) == script.json()["message"] == str(REFUSALS[why])


def test_a_conflict_is_said_in_its_own_words(alice_page: PageClient) -> None:
    assert "It is busy." in text(alice_page.get("/refuse/conflict"))


def test_a_script_without_a_login_is_told_so_and_not_sent_to_a_page(client) -> None:
    response = client.get("/refuse/missing", headers={"Accept": "application/json"})
    assert response.status_code == 401 and "authentication" in response.json()["message"]


def test_a_form_from_before_the_login_is_refused_in_plain_words(alice_page: PageClient) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = alice_page.cookies
    for headers in ({}, {"HX-Request": "true"}, {"Accept": "application/json"}):
        response = strict.post("/settings", {"page_size": 5}, headers=headers)
        assert response.status_code == 403 and "from before you signed in" in text(response)
    assert strict.post("/login", {"name": "alice", "password": PASSWORD}).status_code == 403


# -- navigation ------------------------------------------------------------------------------------------------------
def test_navigation_shows_to_each_what_each_may_open(alice_page: PageClient, admin_page: PageClient) -> None:
    def shown(person: PageClient) -> set[str]:
        return {str(item["url"]) for group in navigation.groups_for(person.ctx, "/") for item in group["items"]}

    assert "/identity/projects" in shown(alice_page) and "/identity/users" not in shown(alice_page)
    assert "/identity/users" in shown(admin_page)
    assert [group["name"] for group in navigation.groups_for(alice_page.ctx, "/") if group["name"] == "admin"] == []
    for person in (alice_page, admin_page):
        for url in shown(person):
            assert person.get(url).status_code == 200, url


def test_exactly_one_entry_is_where_one_is(admin_page: PageClient) -> None:
    def active(path: str) -> list[str]:
        return [item["url"] for group in navigation.groups_for(admin_page.ctx, path) for item in group["items"] if item["active"]]

    assert active("/images/all") == ["/images/all"]
    assert active("/images/some-id/edit") == ["/images/"]
    assert active("/settings") == []


def test_an_unknown_group_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="planet"):
        navigation.register(group="planet", label="x", url_name="home", icon="image")
