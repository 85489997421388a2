"""The socket of a real server: who is let in, whom it tells what, and what a kill -9 leaves undone."""

import asyncio
import datetime
import hashlib
import json
import os
import sqlite3
import threading
import time
from typing import Any

import pytest
import websockets

from tests.mirror import Mirror
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.server
MIB = 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    env = {"VITRINE_IMPORT_ALLOWED_HOSTS": "127.0.0.1", "VITRINE_IMPORT_ALLOWED_PORTS": ""}
    with Server(folder / "data", env=env) as running:
        yield running


def tab(server: Server, user: str, origin: str | None = "same"):
    headers = {"X-Auth-Token": server.token(user)}
    if origin is not None:
        headers["Origin"] = server.url if origin == "same" else origin
    return websockets.connect(f"ws://127.0.0.1:{server.port}/ws/", additional_headers=headers, max_queue=None)


def new_image(server: Server, user: str, name: str, **fields) -> str:
    body = {"name": name, "disk_format": "raw", "container_format": "bare", **fields}
    answer = server.request("POST", "/image/v2/images", body, user=user)
    assert answer.status == 201, answer
    return str(answer.json["id"])


def begin(server: Server, user: str, image: str, uri: str) -> None:
    method = {"method": {"name": "web-download", "uri": uri}}
    answer = server.request("POST", f"/image/v2/images/{image}/import", method, user=user)
    assert answer.status == 202, answer


def show(server: Server, user: str, image: str) -> Any:
    return server.request("GET", f"/image/v2/images/{image}", user=user).json


def throttled(mirror: Mirror, path: str, data: bytes, seconds: float) -> str:
    """A page that takes about so long to send `data`."""
    piece = len(data) // 20 + 1

    def page(visit):
        start = visit.part(data, ETag='"v1"')
        for at in range(start, len(data), piece):
            visit.wfile.write(data[at : at + piece])
            time.sleep(seconds / 20)

    mirror.pages[path] = page
    return mirror.url(path)


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "https://127.0.0.1"])
async def test_a_foreign_or_missing_origin_is_refused_in_the_handshake(server, origin):
    with pytest.raises(websockets.InvalidStatus) as refusal:
        async with tab(server, "alice", origin):
            pass
    assert refusal.value.response.status_code == 403


async def listen(socket, heard: list[dict[str, Any]], done) -> None:
    async with asyncio.timeout(60):
        while not done(heard):
            heard.append(json.loads(await socket.recv()))


def ended(number: int):
    return lambda heard: sum(m.get("status") == "succeeded" for m in heard) >= number


async def test_two_users_at_work_at_once_hear_each_their_own(server, mirror):
    data = os.urandom(4 * MIB)
    url = throttled(mirror, "/disk", data, 1.5)
    images = {user: await asyncio.to_thread(new_image, server, user, f"of-{user}") for user in ("alice", "bob")}
    heard: dict[str, list[dict[str, Any]]] = {"alice": [], "bob": [], "carol": []}
    async with tab(server, "alice") as alice, tab(server, "bob") as bob, tab(server, "carol") as carol:
        for user, image in images.items():
            await asyncio.to_thread(begin, server, user, image, url)
        await asyncio.gather(*(listen(s, heard[u], ended(1)) for u, s in (("alice", alice), ("bob", bob), ("carol", carol))))
    for user, image in (("alice", images["alice"]), ("carol", images["alice"]), ("bob", images["bob"])):
        [other] = {i for i in images.values() if i != image}
        assert other not in json.dumps(heard[user])
        figures = [m["done"] for m in heard[user] if m.get("stage") == "download"]
        assert len(set(figures)) >= 4
        assert figures == sorted(figures)
        assert any(m.get("subject") == f"image.{image}" and m["type"] == "changed" for m in heard[user])


async def end_seen(socket) -> float:
    """When this socket heard that the work succeeded, in seconds since the epoch."""
    async with asyncio.timeout(60):
        while json.loads(await socket.recv()).get("status") != "succeeded":
            pass
    return time.time()


async def delays(server: Server, mirror: Mirror, tabs: int) -> list[float]:
    """Seconds from the end of a job, as the database has it, until each of so many tabs was told."""
    url = throttled(mirror, f"/disk-{tabs}", os.urandom(2 * MIB), 1.0)
    image = await asyncio.to_thread(new_image, server, "alice", f"watched by {tabs}")
    sockets = await asyncio.gather(*(tab(server, "alice") for _ in range(tabs)))
    await asyncio.to_thread(begin, server, "alice", image, url)
    seen = await asyncio.gather(*(end_seen(socket) for socket in sockets))
    await asyncio.gather(*(socket.close() for socket in sockets))
    with sqlite3.connect(f"file:{server.data}/vitrine.sqlite3?mode=ro", uri=True) as database:
        [(text,)] = database.execute("SELECT finished_at FROM jobs_job WHERE subject_id = ?", [image])
    finished = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()
    return sorted(moment - finished for moment in seen)


async def test_a_hundred_tabs_all_see_the_end(server, mirror):
    assert len(await delays(server, mirror, 100)) == 100


@pytest.mark.parametrize("end", ["kill9", "stop"])
def test_a_download_goes_on_after_a_kill_or_a_stop_and_leaves_nothing_in_staging(tmp_path, mirror, end):
    data = os.urandom(8 * MIB)
    url = throttled(mirror, "/disk", data, 3)
    env = {"VITRINE_IMPORT_ALLOWED_HOSTS": "127.0.0.1", "VITRINE_IMPORT_ALLOWED_PORTS": ""}
    with Server(tmp_path / "data", env=env) as running:
        image = new_image(running, "alice", "killed")
        begin(running, "alice", image, url)
        staged = running.data / "staging" / image
        until(lambda: staged.exists() and staged.stat().st_size > 3 * MIB)
        getattr(running, end)()
        running.start()
        until(lambda: show(running, "alice", image)["status"] == "active")
        assert show(running, "alice", image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
        until(lambda: not list((running.data / "staging").iterdir()))


def test_a_cancelled_download_stops_while_the_other_side_is_silent(server, mirror):
    silent = threading.Event()

    def page(visit):
        visit.begin(Content_Length=10**9)
        visit.wfile.write(b"x" * 1000)
        visit.wfile.flush()
        silent.wait(60)

    mirror.pages["/disk"] = page
    image = new_image(server, "alice", "given-up")
    begin(server, "alice", image, mirror.url("/disk"))
    until(lambda: bool(mirror.visits))
    assert server.request("DELETE", f"/image/v2/images/{image}", user="alice").status == 204
    until(lambda: not (server.data / "staging" / image).exists())
    with sqlite3.connect(f"file:{server.data}/vitrine.sqlite3?mode=ro", uri=True) as database:
        query = "SELECT status FROM jobs_job WHERE subject_id = ?"
        until(lambda: database.execute(query, [image]).fetchone()[0] in {"cancelled", "failed"}, within=5)
    silent.set()
