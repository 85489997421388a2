"""Plain ASGI: who asks, by token or cookie, and from which page."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from dashboard.core.errors import Forbidden, Unauthenticated
from dashboard.identity import services
from dashboard.identity.authentication import authenticate_scope, origin_allowed, own_origin
from tests.conftest import ApiClient, PageClient
from tests.factories import make_project


def scope(kind: str = "http", method: str = "GET", scheme: str = "http", host: str = "localhost:8000", **headers: Any) -> dict[str, Any]:
    """An ASGI scope; a list as a header's value sends the header more than once."""
    pairs = [(b"host", host.encode())]
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            pairs.append((name.replace("_", "-").encode(), value.encode("latin-1")))
    return {"type": kind, "method": method, "scheme": scheme, "path": "/", "headers": pairs}


def cookie(person: Client) -> str:
    return f"theme=dark; sessionid={person.cookies['sessionid'].value}"


# -- Origin ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "localhost:8000", "http://localhost:8000"),
        ("ws", "localhost:8000", "http://localhost:8000"),
        ("http", "127.0.0.1", "http://127.0.0.1"),
        ("https", "localhost", "https://localhost"),
        ("wss", "localhost", "https://localhost"),
        ("ws", "[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_our_own_pages_may(scheme: str, host: str, origin: str) -> None:
    assert origin_allowed(scope(scheme=scheme, host=host, origin=origin))


@pytest.mark.parametrize(
    "origin",
    [
        [], "", "null", "http://evil.example", "http://localhost", "http://localhost:8001", "https://localhost:8000", "http://a.localhost:8000",
        "http://localhost.evil.example:8000", "http://localhost:8000.", "http://localhost.:8000", "HTTP://localhost:8000", "http://LOCALHOST:8000",
        "localhost:8000", "http://localhost:8000/", "http://localhost:8000, http://evil.example", "http://user@localhost:8000",
        ["http://localhost:8000", "http://localhost:8000"], ["http://localhost:8000", "http://evil.example"], "file://", "ws://localhost:8000",
    ],
)  # fmt: skip
def test_no_other_page_may(origin: Any) -> None:
    assert not origin_allowed(scope(origin=origin))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "localhost:8000@evil.example", "localhost.evil.example", "a b"])
def test_a_host_that_is_not_ours_makes_no_origin_ours(host: str) -> None:
    assert not origin_allowed(scope(host=host, origin=f"http://{host}"))


def test_two_hosts_are_none() -> None:
    twice = scope(origin="http://localhost:8000")
    twice["headers"].append((b"host", b"localhost:8000"))
    assert not origin_allowed(twice)


def test_behind_a_proxy_the_scheme_is_what_the_proxy_says(settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert origin_allowed(scope(origin="https://localhost:8000", x_forwarded_proto="https"))
    assert not origin_allowed(scope(origin="https://localhost:8000", x_forwarded_proto="http"))
    assert not origin_allowed(scope(origin="https://localhost:8000", x_forwarded_proto=["https", "https"]))
    settings.SECURE_PROXY_SSL_HEADER = None
    assert not origin_allowed(scope(origin="https://localhost:8000", x_forwarded_proto="https"))


# -- who -------------------------------------------------------------------------------------------------------------
pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_token_says_who_and_needs_no_origin(alice: ApiClient) -> None:
    assert await authenticate_scope(scope(method="PUT", x_auth_token=alice.token)) == alice.ctx


async def test_a_token_that_is_none_is_not_helped_by_a_cookie(alice_page: PageClient) -> None:
    for secret in ("", "null", "vtr_" + "A" * 43):
        with pytest.raises(Unauthenticated):
            await authenticate_scope(scope(x_auth_token=secret, cookie=cookie(alice_page)))


async def test_two_tokens_are_none(alice: ApiClient, bob: ApiClient) -> None:
    with pytest.raises(Unauthenticated):
        await authenticate_scope(scope(x_auth_token=[alice.token, bob.token]))


async def test_a_cookie_says_who_and_in_which_project(alice_page: PageClient) -> None:
    assert await authenticate_scope(scope(cookie=cookie(alice_page))) == alice_page.ctx


async def test_nothing_and_noise_are_nobody(db: None) -> None:
    for headers in ({}, {"cookie": "sessionid="}, {"cookie": "sessionid=" + "a" * 32}, {"cookie": "sessionid=../../x"}):
        with pytest.raises(Unauthenticated):
            await authenticate_scope(scope(**headers))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_with_a_cookie_a_change_must_come_from_our_pages(alice_page: PageClient, method: str) -> None:
    here, cookies = "http://localhost:8000", cookie(alice_page)
    assert await authenticate_scope(scope(method=method, cookie=cookies, origin=here)) == alice_page.ctx
    for origin in ("http://evil.example", "null"):
        with pytest.raises(Forbidden):
            await authenticate_scope(scope(method=method, cookie=cookies, origin=origin))
    with pytest.raises(Forbidden):
        await authenticate_scope(scope(method=method, cookie=cookies))


async def test_a_change_meant_for_a_project_just_lost_is_not_made_in_another_one(alice_page: PageClient) -> None:
    other = await sync_to_async(make_project)("other")
    await sync_to_async(services.grant)(alice_page.user, other, "member")
    await sync_to_async(services.revoke)(alice_page.user, alice_page.project, "member")
    # Taking a role away ends the sessions in which it was used; this one was not told.
    await sync_to_async(alice_page.force_login)(await sync_to_async(type(alice_page.user).objects.get)(pk=alice_page.user.pk))

    def remember() -> None:
        session = alice_page.session
        session["project_id"] = alice_page.project.id
        session.save()

    await sync_to_async(remember)()
    asked = {"cookie": cookie(alice_page), "origin": "http://localhost:8000"}
    assert (await authenticate_scope(scope(**asked))).project_id == other.id
    with pytest.raises(Forbidden):
        await authenticate_scope(scope(method="PUT", **asked))


async def test_a_websocket_must_come_from_our_pages(alice_page: PageClient) -> None:
    handshake = scope("websocket", scheme="ws", cookie=cookie(alice_page))
    del handshake["method"]
    with pytest.raises(Forbidden):
        await authenticate_scope(handshake)
    handshake["headers"].append((b"origin", b"http://localhost:8000"))
    assert await authenticate_scope(handshake) == alice_page.ctx


async def test_the_same_scope_asked_again_tells_that_the_login_ended(alice_page: PageClient) -> None:
    again = scope(cookie=cookie(alice_page))
    await authenticate_scope(again)
    await sync_to_async(alice_page.post)("/logout")
    with pytest.raises(Unauthenticated):
        await authenticate_scope(again)


@pytest.mark.parametrize("cause", ["disabled", "password", "role"])
async def test_a_session_ends_at_once_when(alice_page: PageClient, cause: str) -> None:
    end = {
        "disabled": lambda: services.set_enabled(alice_page.user, False),
        "password": lambda: services.set_password(alice_page.user, "a new long password"),
        "role": lambda: services.revoke(alice_page.user, alice_page.project, "member"),
    }
    await sync_to_async(end[cause])()
    with pytest.raises(Unauthenticated):
        await authenticate_scope(scope(cookie=cookie(alice_page)))


async def test_switching_projects_ends_what_was_opened_for_the_old_one(alice_page: PageClient) -> None:
    before = scope(cookie=cookie(alice_page))
    partner = await sync_to_async(make_project)("partner")
    await sync_to_async(services.grant)(alice_page.user, partner, "member")
    await sync_to_async(alice_page.post)("/project", {"project": partner.id})
    with pytest.raises(Unauthenticated):
        await authenticate_scope(before)
    ctx = await authenticate_scope(scope(cookie=cookie(alice_page)))
    assert ctx.project_name == "partner"


def test_links_name_the_scheme_that_the_proxy_in_front_speaks(settings: Any) -> None:
    asked = {"scheme": "http", "headers": [(b"host", b"vitrine.example"), (b"x-forwarded-proto", b"https")]}
    assert own_origin(asked) == "http://vitrine.example"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert own_origin(asked) == "https://vitrine.example"
