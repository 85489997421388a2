"""PUT of image data over a real connection: what is refused before the first byte, and what becomes of a broken one."""

import contextlib
import hashlib
import http.client
import json
import os
import socket
import threading
import time
from typing import Any

import pytest

from tests.images import hostile
from tests.images.sending import MIB, OCTETS, answer_of, files, half_sent, job_of, new_image, put, show
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.server


def active(server: Server, data: bytes, **fields: Any) -> str:
    image = new_image(server, **fields)
    assert put(server, image, data).status == 204
    return image


def queued_and_clean(server: Server, image: str) -> None:
    """Nothing is left of a failed upload but the reason."""
    assert show(server, image)["status"] == "queued"
    assert show(server, image)["size"] is None
    assert job_of(server, image)["status"] in {"failed", "cancelled"}
    assert not [name for name in files(server) if name.endswith("part") or image in name]


# -- up -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 511, MIB - 1, MIB, MIB + 1, 9 * MIB + 7])
def test_what_alice_sends_is_what_she_gets(server: Server, size: int):
    data = os.urandom(size)
    image = active(server, data)
    shown = show(server, image)
    assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", size, size)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    assert server.request("GET", f"/image/v2/images/{image}/file", user="alice").body == data


def test_the_journey_is_recorded_as_a_job(server: Server):
    job = job_of(server, active(server, os.urandom(2 * MIB)))
    assert (job["kind"], job["status"]) == ("images.upload", "succeeded")
    assert [step["name"] for step in json.loads(job["steps"])] == ["send", "inspect", "hash", "store", "activate"]


def test_a_chunked_body_of_unknown_length_is_taken(server: Server):
    image, pieces = new_image(server), [os.urandom(n) for n in (1, 70_000, 3 * MIB, 5)]
    connection = server.connection()
    headers = {**OCTETS, "X-Auth-Token": server.token("alice")}
    connection.request("PUT", f"/image/v2/images/{image}/file", iter(pieces), headers, encode_chunked=True)
    assert connection.getresponse().status == 204
    assert show(server, image)["checksum"] == hashlib.md5(b"".join(pieces)).hexdigest()


def test_zeros_are_stored_as_holes_and_come_back(server: Server):
    data = b"begin" + bytes(30 * MIB) + b"end" + bytes(5 * MIB)
    image = active(server, data)
    assert server.request("GET", f"/image/v2/images/{image}/file", user="alice").body == data
    blobs = [path for path in (server.data / "blobs").rglob("data") if path.stat().st_size == len(data)]
    assert blobs and all(path.stat().st_blocks * 512 < MIB for path in blobs)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Auth-Token": "wrong"}, 401),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json"}, 415),
        ({"x-openstack-image-size": "99"}, 400),
        ({"x-openstack-image-size": "-1"}, 400),
        ({"x-image-meta-store": "nowhere"}, 400),
    ],
)
def test_a_wrong_request_is_refused_and_the_image_stays_queued(server: Server, headers: dict[str, str], status: int):
    image = new_image(server)
    given = {**OCTETS, "X-Auth-Token": server.token("alice"), **headers}
    answer = server.request("PUT", f"/image/v2/images/{image}/file", b"x" * 1000, given)
    assert answer.status == status
    assert answer.json["error"]["code"] == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert show(server, image)["status"] == "queued"


def test_others_may_not_send(server: Server):
    image = new_image(server)
    assert put(server, image, b"x", user="bob").status == 404
    assert put(server, image, b"x", user="carol").status == 403
    assert put(server, "00000000-0000-0000-0000-000000000000", b"x").status == 404
    assert put(server, "not-an-id", b"x").status == 404
    assert put(server, new_image(server, visibility="community"), b"x", user="bob").status == 403


def test_formats_must_be_known_first(server: Server):
    answer = server.request("POST", "/image/v2/images", {"name": "bare"}, user="alice")
    refused = put(server, answer.json["id"], b"x")
    assert refused.status == 400
    assert refused.json["error"]["message"] == "Properties disk_format, container_format must be set prior to saving data."


def test_a_second_upload_is_a_conflict(server: Server):
    image = active(server, b"once")
    assert put(server, image, b"twice").status == 409
    assert server.request("GET", f"/image/v2/images/{image}/file", user="alice").body == b"once"


def test_of_two_at_once_one_wins(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    path = f"/image/v2/images/{image}/file"
    with half_sent(server, "PUT", path, headers, 2 * MIB, b"a" * MIB) as first:
        until(lambda: show(server, image)["status"] == "saving", "saving")
        assert put(server, image, b"b" * 100).status == 409
        first.sendall(b"a" * MIB)
        assert answer_of(first) == 204
    assert show(server, image)["checksum"] == hashlib.md5(b"a" * 2 * MIB).hexdigest()


def test_too_large_is_said_before_the_first_byte(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice"), "Expect": "100-continue"}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 2**30 + 1, b"") as connection:
        assert answer_of(connection) == 413
    assert show(server, image)["status"] == "queued"


def test_the_refusal_of_a_large_body_is_read_by_a_client_that_only_sends(server: Server):
    image = active(server, b"taken")
    answer = put(server, image, bytes(40 * MIB))
    assert answer.status == 409
    assert "error" in answer.json


def test_an_empty_file_is_refused_in_words(server: Server):
    image = new_image(server)
    answer = put(server, image, b"")
    assert answer.status == 400
    queued_and_clean(server, image)


def test_a_hostile_image_is_refused_with_its_reason(server: Server):
    image = new_image(server, disk_format="qcow2")
    answer = put(server, image, hostile.qcow2(backing=(512, 11)))
    assert answer.status == 415
    assert answer.json["error"]["message"]
    queued_and_clean(server, image)
    assert job_of(server, image)["message"] == answer.json["error"]["message"]


def test_a_file_that_is_not_what_it_was_declared_is_refused_while_it_is_still_being_sent(server: Server):
    image, headers = new_image(server, disk_format="qcow2"), {**OCTETS, "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 500 * MIB, os.urandom(2 * MIB)) as connection:
        assert answer_of(connection) == 415
    queued_and_clean(server, image)


def test_a_client_that_goes_away_leaves_the_image_queued(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 5 * MIB, bytes(3 * MIB)):
        until(lambda: show(server, image)["status"] == "saving", "saving")
    until(lambda: show(server, image)["status"] == "queued", "queued again")
    until(lambda: job_of(server, image)["status"] == "failed", "the job failed")
    queued_and_clean(server, image)
    assert put(server, image, b"second try").status == 204


def test_a_client_that_falls_silent_is_cut_off(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 5 * MIB, bytes(3 * MIB)) as connection:
        assert answer_of(connection) == 408
    queued_and_clean(server, image)


def test_drops_of_bytes_are_not_enough(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 5 * MIB, b"") as connection:
        connection.settimeout(0.2)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < 15:
            try:
                connection.sendall(b"x")
                answer = connection.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
    queued_and_clean(server, image)


def test_an_image_deleted_while_it_is_sent_is_gone_and_nothing_is_left(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    before = files(server)
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 5 * MIB, bytes(3 * MIB)) as connection:
        until(lambda: show(server, image)["status"] == "saving", "saving")
        assert server.request("DELETE", f"/image/v2/images/{image}", user="alice").status == 204
        assert answer_of(connection) == 410
    until(lambda: files(server) == before, "no file left")
    assert server.request("GET", f"/image/v2/images/{image}", user="alice").status == 404


def test_work_that_is_cancelled_stops_the_sender(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    wish = "cancel_requested=True, message='Cancelled by carol.'"
    cancel = f"from dashboard.jobs.models import Job; Job.objects.filter(subject_id='{image}').update({wish})"
    with half_sent(server, "PUT", f"/image/v2/images/{image}/file", headers, 2**29, b"") as connection:
        until(lambda: show(server, image)["status"] == "saving", "saving")
        cancelling = threading.Thread(target=server.python, args=[cancel])
        cancelling.start()
        connection.settimeout(0.1)
        answer = b""
        while not answer:
            with contextlib.suppress(TimeoutError):
                connection.sendall(bytes(4096))
                answer = connection.recv(100)
        cancelling.join()
        assert answer.startswith(b"HTTP/1.1 410")
    assert (job_of(server, image)["status"], job_of(server, image)["message"]) == ("cancelled", "Cancelled by carol.")
    queued_and_clean(server, image)


def test_more_bytes_than_announced_by_header_are_refused(server: Server):
    image = new_image(server)
    connection = server.connection()
    headers = {**OCTETS, "X-Auth-Token": server.token("alice"), "x-openstack-image-size": "5"}
    connection.request("PUT", f"/image/v2/images/{image}/file", iter([b"123", b"4567"]), headers, encode_chunked=True)
    assert connection.getresponse().status == 400
    queued_and_clean(server, image)


@pytest.mark.parametrize("size", ["", "-1", "1e3", "²", "9" * 5000])
def test_an_announced_size_that_is_no_number_is_refused(server: Server, size: str):
    answer = put(server, image := new_image(server), b"123", x_openstack_image_size=size)
    assert (answer.status, answer.json["error"]["message"]) == (400, "x-openstack-image-size is not a number.")
    assert show(server, image)["status"] == "queued"


@pytest.mark.parametrize(
    ("announced", "body"),
    [
        ("Content-Length: 4000", b"too little"),
        ("Transfer-Encoding: chunked", b"a\r\n0123456789\r\n"),
        ("Transfer-Encoding: chunked", b"a\r\n0123456789\r\nffff\r\nabc"),
        ("Transfer-Encoding: chunked", b"a\r\n0123456789\r\nzz\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"no chunk at all\r\n"),
    ],
)
@pytest.mark.parametrize("route", ["file", "stage"])
def test_a_sender_whose_body_ends_wrongly_and_who_still_listens_is_told(server: Server, announced: str, body: bytes, route: str):
    image = new_image(server)
    lines = [f"PUT /image/v2/images/{image}/{route} HTTP/1.1", "Host: 127.0.0.1", f"X-Auth-Token: {server.token('alice')}", announced]
    lines += [f"{name}: {value}" for name, value in OCTETS.items()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        connection.shutdown(socket.SHUT_WR)
        assert answer_of(connection) == 400
    queued_and_clean(server, image)


def test_the_tokens_of_others_and_no_token_are_told_apart(server: Server):
    image = new_image(server)
    answer = server.request("PUT", f"/image/v2/images/{image}/file", b"x", OCTETS)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Keystone uri="http://127.0.0.1')


# -- stage ----------------------------------------------------------------------------------------------------------
def test_staged_bytes_wait_for_their_import(server: Server):
    image, data = new_image(server), os.urandom(2 * MIB)
    assert put(server, image, data, route="stage").status == 204
    assert show(server, image)["status"] == "uploading"
    assert put(server, image, data, route="stage").status == 409
    assert put(server, image, data).status == 409
    answer = server.request("POST", f"/image/v2/images/{image}/import", {"method": {"name": "glance-direct"}}, user="alice")
    assert answer.status == 202
    until(lambda: show(server, image)["status"] == "active", "active")
    assert show(server, image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert not [name for name in files(server) if image in name]


def test_a_stage_that_breaks_leaves_nothing(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PUT", f"/image/v2/images/{image}/stage", headers, 5 * MIB, bytes(3 * MIB)):
        until(lambda: show(server, image)["status"] == "uploading", "uploading")
    until(lambda: job_of(server, image)["status"] == "failed", "the job failed")
    queued_and_clean(server, image)


def test_half_staged_bytes_cannot_be_imported(server: Server):
    image, headers, data = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}, os.urandom(6 * MIB)
    path, imported = f"/image/v2/images/{image}/stage", f"/image/v2/images/{image}/import"
    with half_sent(server, "PUT", path, headers, len(data), data[: 4 * MIB]) as connection:
        until(lambda: any(image in name for name in files(server)), "the first bytes")
        answer = server.request("POST", imported, {"method": {"name": "glance-direct"}}, user="alice")
        assert answer.status == 409
        assert "still being staged" in answer.json["error"]["message"]
        connection.sendall(data[4 * MIB :])
        assert answer_of(connection) == 204
    assert server.request("POST", imported, {"method": {"name": "glance-direct"}}, user="alice").status == 202
    until(lambda: show(server, image)["status"] == "active", "active")
    assert show(server, image)["os_hash_value"] == hashlib.sha512(data).hexdigest()


# -- load -----------------------------------------------------------------------------------------------------------
def test_a_hundred_slow_senders_hold_up_nobody(server: Server):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            headers = {**OCTETS, "X-Auth-Token": server.token("alice")}
            path = f"/image/v2/images/{new_image(server)}/file"
            stack.enter_context(half_sent(server, "PUT", path, headers, 5 * MIB, b"x"))
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert server.request("GET", "/healthz").status == 200
            took.append(time.monotonic() - began)
        assert sorted(took)[-2] < 1


def test_memory_does_not_grow_with_the_body(server: Server):
    image, headers = new_image(server), {**OCTETS, "X-Auth-Token": server.token("alice")}
    before = server.rss()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    block = os.urandom(4 * MIB)
    connection.putrequest("PUT", f"/image/v2/images/{image}/file")
    for name, value in {**headers, "Content-Length": str(64 * len(block))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    peak = before
    for _ in range(64):
        connection.send(block)
        peak = max(peak, server.rss())
    assert connection.getresponse().status == 204
    assert peak - before < 64 * MIB
