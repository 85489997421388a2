"""Settings and password of one's own, and the project switcher."""

from typing import Any

import pytest
from django.test import Client

from dashboard.identity import services, tokens
from dashboard.identity.models import Token, User
from tests.conftest import ApiClient, PageClient
from tests.factories import PASSWORD, make_project, make_user

pytestmark = pytest.mark.django_db

NEW = "a staple of batteries"


def saved(person: PageClient) -> User:
    return User.objects.select_related("domain").get(pk=person.user.pk)


def text(response: Any) -> str:
    return str(response.content.decode())


# -- settings --------------------------------------------------------------------------------------------------------
def test_settings_are_kept(alice_page: PageClient) -> None:
    response = alice_page.post("/settings", {"time_zone": "Pacific/Auckland", "page_size": 50, "theme": "dark"})
    assert response.status_code == 303 and response.headers["Location"] == "/settings"
    person = saved(alice_page)
    assert (person.time_zone, person.page_size, person.theme) == ("Pacific/Auckland", 50, "dark")
    page = text(alice_page.get("/settings"))
    assert "Settings saved." in page and 'data-theme="dark"' in page


@pytest.mark.parametrize(
    "bad",
    [
        {"page_size": 0},
        {"page_size": 1001},
        {"page_size": "many"},
        {"page_size": -1},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../etc"},
        {"theme": "pink"},
    ],
)
def test_settings_that_will_not_do_change_nothing(alice_page: PageClient, bad: dict[str, Any]) -> None:
    response = alice_page.post("/settings", {"time_zone": "Europe/Paris", "page_size": 50, "theme": "dark", **bad})
    assert response.status_code == 422
    assert (saved(alice_page).time_zone, saved(alice_page).page_size, saved(alice_page).theme) == ("UTC", 25, "auto")
    assert 'data-theme="auto"' in text(response)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_page_has_from_one_row_to_the_limit_of_the_api(alice_page: PageClient, size: int) -> None:
    assert alice_page.post("/settings", {"time_zone": "UTC", "page_size": size, "theme": "auto"}).status_code == 303


def test_nobody_makes_himself_more_than_he_is(alice_page: PageClient) -> None:
    fields = {"time_zone": "UTC", "page_size": 30, "theme": "auto", "name": "root", "enabled": "", "domain": "x", "is_admin": "on"}
    alice_page.post("/settings", fields)
    person = saved(alice_page)
    assert (person.name, person.enabled, person.domain_id, person.page_size) == ("alice", True, "default", 30)


def test_times_are_shown_in_the_persons_zone(admin_page: PageClient) -> None:
    sign_in_time = "2026-01-01T23:30:00+00:00"
    User.objects.filter(pk=admin_page.user.pk).update(last_login=sign_in_time, time_zone="Pacific/Auckland")
    assert "2 Jan 2026, 12:30:00 NZDT" in text(admin_page.get("/identity/users"))
    User.objects.filter(pk=admin_page.user.pk).update(time_zone="UTC")
    assert "1 Jan 2026, 23:30:00 UTC" in text(admin_page.get("/identity/users"))


def test_a_time_zone_that_no_longer_exists_does_no_harm(alice_page: PageClient) -> None:
    User.objects.update(time_zone="Mars/Olympus")
    assert alice_page.get("/settings").status_code == 200


# -- password --------------------------------------------------------------------------------------------------------
def change(person: Client, current: str = PASSWORD, new: str = NEW, confirm: str | None = None) -> Any:
    return person.post("/password", {"current": current, "new": new, "confirm": new if confirm is None else confirm})


def test_a_new_password_ends_every_other_session_and_every_token(alice_page: PageClient) -> None:
    elsewhere, api = PageClient(alice_page.user, alice_page.project), ApiClient(alice_page.user, alice_page.project)
    before = alice_page.cookies["sessionid"].value
    assert change(alice_page).status_code == 303
    assert saved(alice_page).check_password(NEW)
    assert not Token.objects.filter(user=alice_page.user).exists()
    assert api.get("/identity/v3/auth/projects").status_code == 401
    assert elsewhere.get("/settings").status_code == 302
    assert alice_page.get("/settings").status_code == 200
    assert alice_page.cookies["sessionid"].value != before


def test_other_peoples_tokens_live_on(alice_page: PageClient, bob: ApiClient) -> None:
    change(alice_page)
    assert tokens.validate(bob.token)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"current": "wrong"}, "This is not your current password."),
        ({"confirm": "something else entirely"}, "The two new passwords are not the same."),
        ({"new": PASSWORD}, "The new password must differ from the current one."),
        ({"new": "short"}, "This password is too short."),
        ({"new": "password123"}, "This password is too common."),
        ({"new": "alice.liddell"}, "The password is too similar to the"),
        ({"new": "x" * 4097}, "Ensure this value has at most 4096 characters"),
        ({"new": ""}, "This field is required."),
    ],
)
def test_a_password_that_will_not_do_changes_nothing(alice_page: PageClient, fields: dict[str, str], sentence: str) -> None:
    User.objects.update(email="alice.liddell@example.org")
    secret, _row = tokens.issue(saved(alice_page), alice_page.project)
    response = change(alice_page, **fields)
    assert response.status_code == 422 and sentence in text(response)
    assert saved(alice_page).check_password(PASSWORD) and tokens.validate(secret)
    assert PASSWORD not in text(response)


def test_guessing_the_current_password_from_a_stolen_session_is_slowed(alice_page: PageClient) -> None:
    for _number in range(5):
        assert change(alice_page, current="wrong").status_code == 422
    response = change(alice_page)
    assert response.status_code == 429 and "Too many tries." in text(response)
    assert saved(alice_page).check_password(PASSWORD)


# -- switcher --------------------------------------------------------------------------------------------------------
@pytest.fixture
def both(alice_page: PageClient) -> PageClient:
    services.grant(alice_page.user, make_project("partner"), "reader")
    return alice_page


def where(person: PageClient) -> str:
    """The project of the next request."""
    return str(person.get("/settings").context["ctx"].project_name)


def test_switching_lasts_until_the_next_switch(both: PageClient) -> None:
    assert where(both) == "demo"
    response = both.post("/project", {"project": make_project("partner").id, "next": "/identity/projects"})
    assert response.status_code == 303 and response.headers["Location"] == "/identity/projects"
    assert where(both) == where(both) == "partner"


def test_switching_gives_the_session_a_new_key(both: PageClient) -> None:
    before = both.cookies["sessionid"].value
    both.post("/project", {"project": make_project("partner").id})
    assert both.cookies["sessionid"].value != before
    thief = Client()
    thief.cookies["sessionid"] = before
    assert thief.get("/settings").status_code == 302


def test_switching_from_a_page_about_one_thing_leads_to_its_list(both: PageClient) -> None:
    response = both.post("/project", {"project": make_project("partner").id, "next": "/identity/projects/some-id/edit"})
    assert response.headers["Location"] == "/identity/projects"


def test_a_project_one_is_not_in_cannot_be_switched_to(alice_page: PageClient) -> None:
    for wanted in (make_project("foreign").id, "nothing", ""):
        assert alice_page.post("/project", {"project": wanted}).status_code == 404
    assert where(alice_page) == "demo"
    assert alice_page.get("/project").status_code == 405


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_switching_leads_nowhere_else(both: PageClient, target: str) -> None:
    assert both.post("/project", {"project": make_project("partner").id, "next": target}).headers["Location"] == "/"


def test_losing_the_project_one_is_in_moves_on_but_does_nothing_there(both: PageClient) -> None:
    """What a page drawn for demo sends must not happen in partner."""
    where(both)
    services.revoke(both.user, make_project("demo"), "member")
    assert both.post("/settings", {"time_zone": "UTC", "page_size": 7, "theme": "auto"}).status_code == 403
    assert saved(both).page_size == 25
    assert where(both) == "partner"


# -- projects and users ----------------------------------------------------------------------------------------------
def test_people_see_the_projects_they_are_in(alice_page: PageClient) -> None:
    make_project("foreign")
    page = text(alice_page.get("/identity/projects"))
    assert alice_page.project.id in page and "foreign" not in page


def test_administrators_see_all_projects_and_users(admin_page: PageClient) -> None:
    make_user("dora", make_project("foreign"))
    assert "foreign" in text(admin_page.get("/identity/projects"))
    page = text(admin_page.get("/identity/users"))
    assert "dora" in page and "admin" in page


def test_users_are_not_for_everyone(alice_page: PageClient) -> None:
    assert "/identity/users" not in text(alice_page.get("/settings"))
    assert alice_page.get("/identity/users").status_code == 403


def test_lists_are_paged_by_the_persons_page_size_and_searched(admin_page: PageClient) -> None:
    User.objects.filter(pk=admin_page.user.pk).update(page_size=2)
    for name in ("dora", "edgar", "fritz"):
        make_user(name)
    first = text(admin_page.get("/identity/users"))
    assert "dora" in first and "edgar" not in first and "1–2 of 4" in first
    assert "edgar" in text(admin_page.get("/identity/users?page=2"))
    found = text(admin_page.get("/identity/users?q=FRITZ"))
    assert "fritz" in found and "dora" not in found
    assert "Nothing matches" in text(admin_page.get("/identity/users?q=nobody"))
    assert "fritz" in text(admin_page.get("/identity/users?sort=-name"))


def test_the_number_of_queries_does_not_grow_with_the_rows(admin_page: PageClient, django_assert_max_num_queries) -> None:
    for _number in range(20):
        make_user(project=make_project())
    for path in ("/identity/users", "/identity/projects"):
        admin_page.get(path)
        with django_assert_max_num_queries(14):
            admin_page.get(path)
