"""The login page: who comes in, where they go, and what guessing costs."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from dashboard.identity import services, slowing
from dashboard.identity.models import Domain, User
from tests.conftest import ApiClient
from tests.factories import PASSWORD, make_project, make_user

pytestmark = pytest.mark.django_db

WRONG = "The user name or the password is not right."
TOKENS = "/identity/v3/auth/tokens"


@pytest.fixture(autouse=True)
def people() -> User:
    return make_user("alice", make_project("demo"))


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **fields: Any) -> Any:
    return client.post("/login", {"name": name, "password": password, **fields})


def text(response: Any) -> str:
    return str(response.content.decode())


# -- coming in -------------------------------------------------------------------------------------------------------
def test_the_page_helps_password_managers_and_keyboards(client) -> None:
    page = text(client.get("/login"))
    assert 'autocomplete="username"' in page and 'autocomplete="current-password"' in page and "autofocus" in page
    assert page.count("<label") == 2 and "no-store" in client.get("/login").headers["Cache-Control"]


def test_alice_signs_in_and_lands_on_the_front_page(client) -> None:
    response = sign_in(client)
    assert response.status_code == 303 and response.headers["Location"] == "/"
    assert client.get("/settings").status_code == 200


def test_who_is_signed_in_already_goes_straight_on(alice_page) -> None:
    response = alice_page.get("/login?next=/settings")
    assert response.status_code == 302 and response.headers["Location"] == "/settings"


def test_the_domain_is_asked_for_when_there_are_two(client) -> None:
    assert 'name="domain"' not in text(client.get("/login"))
    other = Domain.objects.create(name="Other")
    make_user("alice", None, password="quite another one", domain_id=other.pk)
    assert 'name="domain"' in text(client.get("/login"))
    assert sign_in(client, password="quite another one", domain="default").status_code == 422
    assert sign_in(client, password="quite another one", domain=other.pk).status_code == 303
    services.set_enabled(other, False)
    assert 'name="domain"' not in text(Client().get("/login"))


# -- the same sentence for every wrong one ---------------------------------------------------------------------------
def test_wrong_password_unknown_user_and_disabled_user_read_the_same(client) -> None:
    services.set_enabled(make_user("dora"), False)
    answers = [
        sign_in(client, password="wrong"),
        sign_in(client, "nobody"),
        sign_in(client, "dora"),
        sign_in(client, "nul\0"),
        sign_in(client, password="nul\0"),
    ]
    for answer in answers[:3]:
        assert answer.status_code == 422 and WRONG in text(answer)
    # Django's own field check answers for NUL: no crash, no hint.
    assert {answer.status_code for answer in answers} == {422}


class CountingHasher(MD5PasswordHasher):
    """A real hasher that counts its work."""

    algorithm = "counting"
    runs = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).runs += 1
        return super().encode(password, salt)


@pytest.fixture
def counting(settings) -> Iterator[type[CountingHasher]]:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    make_user("dora", password="dora's own password")
    services.set_enabled(User.objects.get(name="dora"), False)
    services.set_password(User.objects.get(name="alice"), PASSWORD)
    make_user("ghost", password=None)  # type: ignore[arg-type]
    CountingHasher.runs = 0
    yield CountingHasher
    CountingHasher.runs = 0


@pytest.mark.parametrize("name", ["alice", "nobody", "dora", "ghost"])
def test_every_wrong_try_costs_exactly_one_hash(client, counting, name: str) -> None:
    """So the time taken does not tell who exists."""
    sign_in(client, name, "wrong")
    assert counting.runs == 1


def test_an_endless_password_is_refused_before_it_is_hashed(client, counting) -> None:
    assert sign_in(client, password="x" * 4097).status_code == 422
    user = {"name": "alice", "domain": {"id": "default"}, "password": "x" * 4097}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    assert client.post(TOKENS, body, content_type="application/json").status_code == 401
    assert counting.runs == 0


def test_after_a_wrong_password_one_types_on_in_its_field(client) -> None:
    page = text(sign_in(client, password="wrong"))
    (field,) = re.findall("<input[^>]*autofocus[^>]*>", page)
    assert 'name="password"' in field and 'value="alice"' in page and "value=" not in field


def test_an_empty_form_says_what_is_missing_beside_the_field(client) -> None:
    page = text(client.post("/login", {"name": "", "password": ""}))
    assert page.count("This field is required.") == 2
    assert 'aria-invalid="true"' in page and "aria-describedby" in page


# -- slowed after five tries -----------------------------------------------------------------------------------------
def wrong_tries(client: Client, count: int) -> None:
    for _number in range(count):
        assert sign_in(client, password="wrong").status_code == 422


def let_pass(seconds: int) -> None:
    """As if the last try were that much longer ago."""
    for attempt in AccessAttempt.objects.all():
        AccessAttempt.objects.filter(pk=attempt.pk).update(attempt_time=attempt.attempt_time - timedelta(seconds=seconds))


def test_after_five_wrong_tries_even_the_right_password_must_wait(client) -> None:
    wrong_tries(client, 5)
    response = sign_in(client)
    assert response.status_code == 429
    assert "Too many tries. Wait 30 seconds and try again." in text(response)
    assert response.headers["Retry-After"] == "30"
    let_pass(30)
    assert sign_in(client).status_code == 303


def test_each_further_wrong_try_doubles_the_wait_up_to_a_quarter_of_an_hour(client) -> None:
    wrong_tries(client, 5)
    for wait in (30, 60, 120, 240, 480, 900, 900):
        assert sign_in(client).headers["Retry-After"] == str(wait)
        let_pass(wait)
        wrong_tries(client, 1)


def test_tries_made_while_waiting_do_not_lengthen_the_wait(client) -> None:
    wrong_tries(client, 5)
    for _number in range(5):
        assert sign_in(client, password="wrong").headers["Retry-After"] == "30"
    assert AccessAttempt.objects.get().failures_since_start == 5


def test_a_right_password_clears_the_count(client) -> None:
    wrong_tries(client, 4)
    assert sign_in(client).status_code == 303
    assert not AccessAttempt.objects.exists()
    wrong_tries(Client(), 5)


def test_an_hour_later_all_is_forgotten(client) -> None:
    wrong_tries(client, 5)
    let_pass(3601)
    wrong_tries(client, 5)


def test_unknown_names_are_slowed_just_the_same(client) -> None:
    for _number in range(5):
        assert sign_in(client, "nobody").status_code == 422
    assert sign_in(client, "nobody").status_code == 429


def test_one_persons_guesser_slows_nobody_else_and_no_other_address(client) -> None:
    make_user("bob", make_project("partner"))
    wrong_tries(client, 5)
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7")).status_code == 303
    assert sign_in(client, "bob").status_code == 303


def test_a_made_up_forwarded_address_helps_only_if_a_proxy_wrote_it(client, settings) -> None:
    for number in range(5):
        client.post("/login", {"name": "alice", "password": "wrong"}, headers={"X-Forwarded-For": f"192.0.2.{number}"})
    assert sign_in(client).status_code == 429
    settings.BEHIND_TLS = True
    for number in range(5):
        forwarded = {"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.1"}
        assert client.post("/login", {"name": "alice", "password": "wrong"}, headers=forwarded).status_code == 422
    for address, status in (("198.51.100.1", 429), ("nonsense", 429), ("198.51.100.2", 303)):
        right = {"name": "alice", "password": PASSWORD}
        assert client.post("/login", right, headers={"X-Forwarded-For": address}).status_code == status


def test_changing_the_browser_name_does_not_help(client) -> None:
    for number in range(5):
        client.post("/login", {"name": "alice", "password": "wrong"}, headers={"User-Agent": f"guesser {number}"})
    assert sign_in(client).status_code == 429


@pytest.mark.django_db(transaction=True)
async def test_who_must_wait_is_told_so_by_page_and_api_under_asgi_too() -> None:
    client = AsyncClient()
    for _number in range(5):
        assert (await client.post("/login", {"name": "alice", "password": "wrong"})).status_code == 422
    page = await client.post("/login", {"name": "alice", "password": "wrong"})
    assert (page.status_code, page.headers["Retry-After"]) == (429, "30")
    assert "Too many tries." in text(page) and 'name="password"' in text(page)
    user = {"name": "alice", "domain": {"id": "default"}, "password": "wrong"}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    answer = await client.post(TOKENS, body, content_type="application/json")
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"]["message"].startswith("Too many tries.")


def test_page_and_api_count_together(client) -> None:
    user = {"name": "alice", "domain": {"id": "default"}, "password": "wrong"}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    for _number in range(5):
        assert client.post(TOKENS, body, content_type="application/json").status_code == 401
    response = client.post(TOKENS, body, content_type="application/json")
    assert response.status_code == 429 and response.headers["Retry-After"] == "30"
    assert response.json()["error"]["message"] == "Too many tries. Wait 30 seconds and try again."
    assert sign_in(client).status_code == 429


def test_naming_the_user_by_id_does_not_help(client) -> None:
    wrong_tries(client, 5)
    user = {"id": User.objects.get(name="alice").pk, "password": PASSWORD}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    assert client.post(TOKENS, body, content_type="application/json").status_code == 429


def test_a_token_in_hand_is_not_slowed(client, alice: ApiClient) -> None:
    wrong_tries(client, 5)
    assert alice.get("/identity/v3/auth/projects").status_code == 200


def test_nothing_that_was_typed_is_kept(client) -> None:
    sign_in(client, password="almost-my-password")
    assert "almost-my-password" not in str(list(AccessAttempt.objects.values()))


def test_names_are_counted_apart_however_long() -> None:
    assert slowing.key("default", "x" * 300) != slowing.key("default", "x" * 301)
    assert len(slowing.key("default", "x" * 300)) <= 255


# -- where people go afterwards --------------------------------------------------------------------------------------
ELSEWHERE = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\\/evil.example",
    "http://evil.example", "https://evil.example", "HTTPS://evil.example", "https:evil.example", "https:/evil.example", "http:///evil.example",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "ftp://evil.example", "mailto:a@evil.example",
    "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example", " //evil.example",
    "\x00//evil.example", "\x1f//evil.example",
    "https://testserver@evil.example", "//testserver@evil.example", "https://evil.example/testserver", "//evil.example:80", "//[::1]",
    "evil.example", "@evil.example", ".evil.example", "?next=//evil.example", "#//evil.example",
    "http://testserver/", "//testserver/images",
    "／／evil.example", "%2f%2fevil.example", "%5cevil.example",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
def test_nobody_is_sent_elsewhere(client, target: str) -> None:
    page = client.get("/login", {"next": target})
    assert "evil.example" not in text(page)
    response = sign_in(client, next=target)
    assert response.status_code == 303 and response.headers["Location"] == "/"


@pytest.mark.parametrize("target", ["/images/", "/images/?q=a%20b&page=2", "/work/"])
def test_people_go_on_to_where_they_were_heading(client, target: str) -> None:
    assert sign_in(client, next=target).headers["Location"] == target


def test_a_page_that_needs_a_login_leads_there_and_back(client) -> None:
    response = client.get("/settings?a=1&b=2")
    assert response.status_code == 302 and response.headers["Location"] == "/login?next=%2Fsettings%3Fa%3D1%26b%3D2"
    post = client.post("/settings", {"page_size": 5})
    assert post.status_code == 302 and post.headers["Location"] == "/login"


def test_htmx_is_told_to_load_the_login_page_whole(client) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/images/?q=x"}
    response = client.get("/settings", headers=headers)
    assert response.status_code == 401
    assert response.headers["HX-Redirect"] == "/login?next=%2Fimages%2F%3Fq%3Dx"


def test_htmx_that_names_no_url_is_sent_to_the_plain_login_page(client) -> None:
    response = client.get("/settings", headers={"HX-Request": "true", "HX-Current-URL": "http://[::bad"})
    assert (response.status_code, response.headers["HX-Redirect"]) == (401, "/login")


# -- sessions --------------------------------------------------------------------------------------------------------
def test_a_session_key_from_before_signing_in_is_worth_nothing_after(client) -> None:
    client.cookies["sessionid"] = "a" * 32
    planted = Client()
    planted.cookies["sessionid"] = "a" * 32
    sign_in(client)
    assert client.cookies["sessionid"].value != "a" * 32
    assert planted.get("/settings").status_code == 302


def test_signing_in_as_someone_else_starts_a_new_session(alice_page) -> None:
    make_user("bob", make_project("partner"))
    before = alice_page.cookies["sessionid"].value
    sign_in(alice_page, "bob")
    assert alice_page.cookies["sessionid"].value != before
    assert not Session.objects.filter(pk=before).exists()
    assert 'value="bob"' in text(alice_page.get("/password"))


def test_logging_out_ends_the_session_and_asks_for_a_post(alice_page) -> None:
    key = alice_page.cookies["sessionid"].value
    assert alice_page.get("/logout").status_code == 405
    assert alice_page.get("/settings").status_code == 200
    assert alice_page.post("/logout").headers["Location"] == "/login"
    thief = Client()
    thief.cookies["sessionid"] = key
    assert thief.get("/settings").status_code == 302


def test_forms_need_the_csrf_token(people: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert sign_in(strict).status_code == 403


@pytest.mark.parametrize("which", ["user", "domain"])
def test_disabling_ends_sessions_at_once(alice_page, which: str) -> None:
    services.set_enabled(alice_page.user if which == "user" else alice_page.user.domain, False)
    assert alice_page.get("/settings").status_code == 302


@pytest.mark.parametrize("which", ["user", "domain"])
def test_enabling_again_revives_no_session(alice_page, bob_page, which: str) -> None:
    thing = alice_page.user if which == "user" else alice_page.user.domain
    services.set_enabled(thing, False)
    services.set_enabled(thing, True)
    assert alice_page.get("/settings").status_code == 302
    assert bob_page.get("/settings").status_code == (200 if which == "user" else 302)


def test_an_expired_session_is_no_login(alice_page) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert alice_page.get("/settings").status_code == 302


ENDED = "Your login has ended. Sign in again to go on."


def test_whose_login_ended_is_told_so_and_led_back(alice_page) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    response = alice_page.get("/settings?a=1")
    assert response.headers["Location"] == "/login?next=%2Fsettings%3Fa%3D1&ended=1"
    page = text(alice_page.get(response.headers["Location"]))
    assert ENDED in page and 'value="/settings?a=1"' in page
    assert ENDED not in text(sign_in(alice_page, password="wrong"))


def test_htmx_and_posts_lead_to_the_same_words(alice_page) -> None:
    key = alice_page.cookies["sessionid"].value
    Session.objects.all().delete()
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/images/"}
    assert alice_page.get("/settings", headers=headers).headers["HX-Redirect"] == "/login?next=%2Fimages%2F&ended=1"
    alice_page.cookies["sessionid"] = key
    assert alice_page.post("/settings", {"page_size": 5}).headers["Location"] == "/login?ended=1"


def test_a_first_visit_and_a_log_out_are_no_ended_login(client, alice_page) -> None:
    assert ENDED not in text(client.get("/settings", follow=True))
    assert ENDED not in text(alice_page.post("/logout", follow=True))
    assert ENDED not in text(alice_page.get("/settings", follow=True))


def test_a_script_is_told_that_only_its_csrf_token_is_old(people: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/logout", headers={"Accept": "application/json"})
    assert answer.status_code == 403 and answer.json()["csrf"] is True


def test_answers_to_signed_in_people_are_kept_nowhere(alice_page) -> None:
    for path in ("/settings", "/password", "/identity/projects", "/nowhere"):
        assert alice_page.get(path).headers["Cache-Control"] == "no-store"


def test_a_person_in_no_project_is_told_so(client) -> None:
    make_user("dora")
    sign_in(client, "dora")
    response = client.get("/settings")
    assert response.status_code == 403 and "You are in no project" in text(response)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.django_db(transaction=True)
def test_guesses_made_all_at_once_do_not_slip_past_the_count(counting) -> None:
    """At most two are weighed at a time, so the count is wrong by one at most."""
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _number: _guess(), range(24)))
    assert counting.runs <= 6
    assert answers.count(429) >= 18 and set(answers) == {422, 429}


def _guess() -> int:
    try:
        return int(sign_in(Client(), password="wrong").status_code)
    finally:
        connection.close()


def test_a_login_that_ran_out_while_one_was_away_is_no_first_visit(alice_page) -> None:
    assert alice_page.get("/settings").status_code == 200
    del alice_page.cookies["sessionid"]  # the browser drops it when its time is over
    assert alice_page.get("/settings").headers["Location"] == "/login?next=%2Fsettings&ended=1"
    assert ENDED in alice_page.get("/login?ended=1").content.decode()
