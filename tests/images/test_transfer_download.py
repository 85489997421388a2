"""GET of image data over a real connection: whole, in ranges, for whom, and never as a page; and what a browser's session may do."""

import hashlib
import os
import socket
import threading
import time
from typing import Any

import pytest

from tests.images.sending import MIB, OCTETS, answer_of, half_sent, new_image, put, show
from tests.server import Answer, Server
from tests.waiting import until

pytestmark = pytest.mark.server


def active(server: Server, data: bytes, **fields: Any) -> str:
    image = new_image(server, **fields)
    assert put(server, image, data).status == 204
    return image


# -- down -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def published(server: Server) -> tuple[str, bytes]:
    data = os.urandom(3 * MIB + 11)
    return active(server, data, name='Café "x"\u202e/../ ; rm -rf.raw', visibility="community"), data


def get(server: Server, image: str, user: str = "alice", method: str = "GET", **headers: str) -> Answer:
    return server.request(method, f"/image/v2/images/{image}/file", headers={k.replace("_", "-"): v for k, v in headers.items()}, user=user)


def test_a_download_cannot_be_taken_for_a_page(server: Server, published: tuple[str, bytes]):
    image, data = published
    answer = get(server, image)
    assert answer.body == data
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["ETag"] == f'"{hashlib.sha512(data).hexdigest()}"'
    assert answer.headers["Content-MD5"] == hashlib.md5(data).hexdigest()
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="Caf_')
    assert "filename*=UTF-8''Caf%C3%A9" in disposition
    assert not set("/\\\u202e") & set(disposition)
    assert disposition.count('"') == 2


def test_head_tells_everything_but_the_bytes(server: Server, published: tuple[str, bytes]):
    answer = get(server, published[0], method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(published[1]))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-14", 5, 15),
        ("bytes=-7", -7, None),
        ("bytes=1048575-1048577", MIB - 1, MIB + 2),
        ("bytes=9-", 9, None),
        ("bytes=0-99999999", 0, None),
    ],
)
def test_a_range_is_that_part(server: Server, published: tuple[str, bytes], asked: str, start: int, end: int | None):
    image, data = published
    answer = get(server, image, Range=asked)
    assert answer.status == 206
    assert answer.body == data[start:end]
    first = start if start >= 0 else len(data) + start
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(data)}"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=3145739-", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(server: Server, published: tuple[str, bytes], asked: str):
    answer = get(server, published[0], Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(published[1])}"


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=-", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=0x1-2"])
def test_a_range_nobody_can_serve_gets_the_whole(server: Server, published: tuple[str, bytes], asked: str):
    answer = get(server, published[0], Range=asked)
    assert (answer.status, answer.body) == (200, published[1])


def test_a_range_of_another_version_gets_the_whole(server: Server, published: tuple[str, bytes]):
    image, data = published
    etag = f'"{hashlib.sha512(data).hexdigest()}"'
    assert get(server, image, Range="bytes=0-1", If_Range=etag).status == 206
    assert get(server, image, Range="bytes=0-1", If_Range='"other"').status == 200


def test_who_may_download(server: Server, published: tuple[str, bytes]):
    image, data = published
    assert get(server, image, user="bob").body == data
    assert get(server, image, user="carol").status == 403
    assert get(server, image, user="admin").body == data
    private = active(server, b"private")
    assert get(server, private, user="bob").status == 404
    assert server.request("GET", f"/image/v2/images/{private}/file").status == 401


def test_a_deactivated_image_is_for_administrators_only(server: Server):
    image = active(server, b"closed")
    assert server.request("POST", f"/image/v2/images/{image}/actions/deactivate", user="alice").status == 204
    assert get(server, image).status == 403
    assert get(server, image, user="admin").body == b"closed"


def test_an_image_without_bytes_answers_204(server: Server):
    answer = get(server, new_image(server))
    assert (answer.status, answer.body) == (204, b"")


def test_other_methods_are_not_allowed(server: Server, published: tuple[str, bytes]):
    answer = server.request("POST", f"/image/v2/images/{published[0]}/file", b"x", user="alice")
    assert answer.status == 405
    assert answer.headers["Allow"] == "PUT, GET, HEAD"


def test_damaged_data_is_never_served(server: Server):
    image = active(server, data := os.urandom(50_000))
    blob = next(path for path in (server.data / "blobs").rglob("data") if path.stat().st_size == 50_000 and path.read_bytes() == data)
    os.truncate(blob, 49_999)
    assert get(server, image).status == 503


def test_a_download_that_nobody_reads_holds_up_nobody(server: Server, published: tuple[str, bytes]):
    with socket.create_connection(("127.0.0.1", server.port)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(
            f"GET /image/v2/images/{published[0]}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.token('alice')}\r\n\r\n".encode()
        )
        stuck.recv(100)
        began = time.monotonic()
        assert server.request("GET", "/healthz").status == 200
        assert time.monotonic() - began < 2


# -- sessions -------------------------------------------------------------------------------------------------------
SESSION = """
from django.contrib.auth import login
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from dashboard.identity.models import Project, User
request = HttpRequest()
request.session = SessionStore()
login(request, User.objects.get(name="alice"), backend="dashboard.identity.authentication.PasswordBackend")
request.session["project_id"] = Project.objects.get(name="demo").pk
request.session.save()
print(request.session.session_key)
"""


@pytest.fixture(scope="module")
def cookie(server: Server) -> dict[str, str]:
    """Alice's browser."""
    return {"Cookie": f"sessionid={server.python(SESSION).strip()}"}


def test_a_browser_downloads_with_its_session(server: Server, cookie: dict[str, str]):
    image = active(server, b"bytes for a browser")
    answer = server.request("GET", f"/images/{image}/download", headers=cookie)
    assert (answer.status, answer.body) == (200, b"bytes for a browser")
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_link_followed_without_a_login_leads_there_and_then_to_the_image(server: Server):
    image = new_image(server)
    answer = server.request("GET", f"/images/{image}/download")
    assert (answer.status, answer.headers["Location"]) == (303, f"/login?next=%2Fimages%2F{image}%2F")


@pytest.mark.parametrize(
    ("origin", "status"), [(None, 403), ("null", 403), ("http://evil.example", 403), ("https://127.0.0.1", 403), ("own", 204)]
)
def test_a_page_of_another_site_cannot_send_with_alices_session(server: Server, cookie: dict[str, str], origin: str | None, status: int):
    image = new_image(server)
    headers = {**OCTETS, **cookie, **({"Origin": server.url if origin == "own" else origin} if origin else {})}
    assert server.request("PUT", f"/image/v2/images/{image}/file", b"bytes", headers).status == status
    assert show(server, image)["status"] == ("active" if status == 204 else "queued")


def test_an_ended_session_sends_nothing(server: Server):
    headers = {**OCTETS, "Cookie": "sessionid=ended", "Origin": server.url}
    assert server.request("PUT", f"/image/v2/images/{new_image(server)}/file", b"bytes", headers).status == 401


def test_who_lost_the_role_while_sending_makes_no_image(server: Server):
    change = "from dashboard.identity import services as s; from dashboard.identity.models import *\n"
    who = "User.objects.get(name='bob'), Project.objects.get(name='partner'), 'member'"
    image, headers = new_image(server, "bob"), {**OCTETS, "X-Auth-Token": server.token("bob")}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 2 * MIB, bytes(MIB)) as connection:
        until(lambda: show(server, image, "admin")["status"] == "saving", "saving")
        revoking = threading.Thread(target=server.python, args=[f"{change}s.revoke({who})"])
        revoking.start()
        left = MIB
        while revoking.is_alive():  # she goes on sending, lest she be cut off for silence
            connection.sendall(bytes(4096))
            left -= 4096
            revoking.join(0.1)
        try:
            connection.sendall(bytes(left))
            assert answer_of(connection) in {401, 403}
        finally:
            server.python(f"{change}s.grant({who})")
    assert show(server, image, "admin")["status"] == "queued"
