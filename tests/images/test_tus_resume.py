"""Resumable uploads in rough weather: cut, doubled, killed, deleted, refused; and grants that outlive the login."""

import functools
import hashlib
import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from tests.images import hostile
from tests.images.sending import (
    CHUNK,
    MIB,
    TUS,
    answer_of,
    begin,
    checksum,
    ended,
    files,
    half_sent,
    job_of,
    metadata,
    new_image,
    offset,
    put,
    send,
    show,
    staged,
    url_of,
)
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.server


@pytest.mark.parametrize("at", [1, 511, 512, MIB - 1, MIB, MIB + 1, 3 * MIB - 1])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_upload_cut_anywhere_is_resumed_there(server: Server, at: int, how: str):
    data = os.urandom(3 * MIB)
    answer = begin(server, len(data))
    url = answer.headers["Location"]
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PATCH", url, headers, len(data), data[:at]) as connection:
        if how == "reset":
            until(lambda: staged(server, url).exists(), "the first bytes")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "close":  # every byte sent is kept; a reset may throw away what was on its way
        until(lambda: offset(server, url) == at, "every byte sent before the cut")

    def go_on() -> bool:
        reached = offset(server, url)
        assert reached <= at
        return send(server, url, reached, data[reached:]).status == 204  # 409: the cut request had more to write

    until(go_on, "the rest")
    until(lambda: show(server, answer.image)["status"] == "active", "active")
    assert show(server, answer.image)["os_hash_value"] == hashlib.sha512(data).hexdigest()


def test_p12_of_two_at_once_one_goes_on(server: Server):
    data = os.urandom(2 * MIB)
    answer = begin(server, len(data))
    url = answer.headers["Location"]
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PATCH", url, headers, len(data), data[:1000]) as first:
        until(lambda: staged(server, url).exists(), "the first request has the upload")
        refused: list[int] = []
        second = threading.Thread(target=lambda: refused.append(send(server, url, 0, b"other bytes").status))
        second.start()
        at = 1000
        while second.is_alive():  # busy all the while
            first.sendall(data[at : at + 100])
            at += 100
            second.join(0.05)
        assert refused == [423]
        first.sendall(data[at:])
        assert answer_of(first) == 204
    until(lambda: show(server, answer.image)["status"] == "active", "active")
    assert show(server, answer.image)["checksum"] == hashlib.md5(data).hexdigest()


def test_a_sender_that_comes_back_takes_over_from_its_dead_connection(server: Server):
    data = os.urandom(2 * MIB)
    answer = begin(server, len(data))
    url = answer.headers["Location"]
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PATCH", url, headers, len(data), data[:MIB]) as dead:  # still open, and silent
        until(lambda: staged(server, url).exists(), "the first request has the upload")
        at = offset(server, url)
        assert at == MIB
        assert send(server, url, at, data[at:]).status == 204
        assert answer_of(dead) == 423
    until(lambda: show(server, answer.image)["status"] == "active", "active")


# -- ours -----------------------------------------------------------------------------------------------------------
def test_a_grant_outlives_the_login(server: Server):
    answer = begin(server, 100)
    url, grant = answer.headers["Location"], {"Upload-Grant": answer.headers["Upload-Grant"]}
    seen = server.request("HEAD", url, headers={**TUS, **grant})
    assert (seen.status, seen.headers["Upload-Offset"]) == (200, "0")
    assert server.request("PATCH", url, b"x", {**TUS, **CHUNK, "Upload-Offset": "0", **grant, "Cookie": "sessionid=ended"}).status == 204
    assert server.request("HEAD", url, headers={**TUS, "Upload-Grant": "guess"}).status in {401, 404}
    other = url_of(server, 5)
    assert server.request("HEAD", other, headers={**TUS, **grant}).status == 404
    assert server.request("DELETE", url, headers={**TUS, **grant}).status == 204


@pytest.mark.parametrize("pieces", [[MIB], [1, 511, 4096]])
def test_a_wrong_file_is_refused_as_soon_as_its_beginning_is_there(server: Server, pieces: list[int]):
    image, data = new_image(server, disk_format="qcow2"), hostile.qcow2(backing=(512, 11))
    answer = begin(server, 100 * MIB, image)
    url, at, sent = answer.headers["Location"], 0, answer
    body = data.ljust(2 * MIB, b"\0")
    for size in [*pieces, 2 * MIB]:
        sent = send(server, url, at, body[at : at + size])
        if sent.status != 204:
            break
        at = int(sent.headers["Upload-Offset"])
    assert sent.status == 415
    reason = sent.json["error"]["message"]
    assert show(server, image)["status"] == "queued"
    assert (job_of(server, image)["status"], job_of(server, image)["message"]) == ("failed", reason)
    assert not staged(server, url).exists()


def test_an_image_deleted_while_its_bytes_come_leaves_nothing(server: Server):
    answer = begin(server, 50 * MIB)
    url = answer.headers["Location"]
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PATCH", url, headers, 50 * MIB, bytes(MIB)) as sending:
        until(lambda: staged(server, url).exists(), "the first bytes")
        assert server.request("DELETE", f"/image/v2/images/{answer.image}", user="alice").status == 204
        sending.sendall(bytes(49 * MIB))
        assert answer_of(sending) == 404
    until(lambda: not [name for name in files(server) if url.rpartition("/")[2] in name], "nothing left")


def test_a_verified_checksum_of_the_whole_file_is_verified(server: Server):
    data = os.urandom(5000)
    for given, end in ((f"sha256:{hashlib.sha256(data).hexdigest()}", "active"), ("md5:" + "0" * 32, "queued")):
        image = new_image(server)
        answer = begin(server, len(data), image, Upload_Metadata=metadata(image_id=image, checksum=given))
        send(server, answer.headers["Location"], 0, data)
        until(functools.partial(ended, server, image), "the end")
        assert show(server, image)["status"] == end


def test_put_is_refused_while_a_resumable_upload_runs(server: Server):
    answer = begin(server, 10)
    assert put(server, answer.image, b"x").status == 409


def test_kill_nine_loses_nothing_that_was_told(tmp_path: Path):
    data = os.urandom(9 * MIB)
    with Server(tmp_path / "killed") as server:
        answer = begin(server, len(data))
        url, grant = answer.headers["Location"], answer.headers["Upload-Grant"]
        assert send(server, url, 0, data[: 3 * MIB]).status == 204
        headers = {**TUS, **CHUNK, "Upload-Offset": str(3 * MIB), "Upload-Grant": grant}
        with half_sent(server, "PATCH", url, headers, 6 * MIB, data[3 * MIB : 8 * MIB]):
            until(lambda: staged(server, url).stat().st_size > 3 * MIB, "more bytes")
            server.kill9()
        server.start()
        at = int(server.request("HEAD", url, headers={**TUS, "Upload-Grant": grant}).headers["Upload-Offset"])
        assert 3 * MIB < at <= 8 * MIB
        sent = server.request("PATCH", url, data[at:], {**TUS, **CHUNK, "Upload-Offset": str(at), "Upload-Grant": grant})
        assert sent.status == 204
        until(lambda: show(server, answer.image)["status"] == "active", "active")
        assert show(server, answer.image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
        until(lambda: not list((server.data / "staging").iterdir()), "staging empty")


def test_kill_nine_in_a_piece_with_a_checksum_takes_the_piece_back(tmp_path: Path):
    data = os.urandom(6 * MIB)
    with Server(tmp_path / "killed") as server:
        answer = begin(server, len(data))
        url, grant = answer.headers["Location"], answer.headers["Upload-Grant"]
        assert send(server, url, 0, data[:100]).status == 204
        headers = {**TUS, **CHUNK, "Upload-Offset": "100", "Upload-Grant": grant, "Upload-Checksum": checksum("sha1", data[100:])}
        with half_sent(server, "PATCH", url, headers, len(data) - 100, data[100 : 5 * MIB]):
            until(lambda: staged(server, url).stat().st_size > 100, "unverified bytes")
            server.kill9()
        server.start()
        seen = server.request("HEAD", url, headers={**TUS, "Upload-Grant": grant})
        assert seen.headers["Upload-Offset"] == "100"
        assert staged(server, url).read_bytes() == data[:100]


def test_kill_nine_in_a_put_returns_the_image_to_queued(tmp_path: Path):
    with Server(tmp_path / "killed") as server:
        image = new_image(server)
        headers = {"Content-Type": "application/octet-stream", "X-Auth-Token": server.token("alice")}
        with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 9 * MIB, bytes(5 * MIB)):
            until(lambda: show(server, image)["status"] == "saving", "saving")
            server.kill9()
        server.start()
        until(lambda: show(server, image)["status"] == "queued", "queued", within=60)
        assert job_of(server, image)["status"] == "failed"
        assert put(server, image, b"again").status == 204
