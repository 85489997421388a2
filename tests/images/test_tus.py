"""tus 1.0 by its conformance list (labels O, V, H, P, C, W, E, K, X as in the protocol's chapters)."""

import base64
import hashlib
import os
import socket
import time
from email.utils import parsedate_to_datetime

import pytest

from tests.images.sending import (
    CHUNK,
    MIB,
    TUS,
    answer_of,
    begin,
    checksum,
    half_sent,
    job_of,
    metadata,
    new_image,
    offset,
    send,
    show,
    staged,
    url_of,
)
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.server


# -- OPTIONS, version -----------------------------------------------------------------------------------------------
def test_options_tell_what_is_spoken(server: Server):
    for path in ("/uploads/", "/uploads", url_of(server, 5)):
        answer = server.request("OPTIONS", path, headers={"Tus-Resumable": "9.9.9"})  # O4: ignored; and no login asked
        assert answer.status == 204  # O1
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Extension"] == "creation,creation-with-upload,termination,expiration,checksum"  # O2
        assert answer.headers["Tus-Max-Size"] == str(2**30)  # O3
        assert "sha1" in answer.headers["Tus-Checksum-Algorithm"].split(",")  # O5


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0", "9.9.9"])
def test_v1_another_version_changes_nothing(server: Server, version: str | None):
    url, image = url_of(server, 10), new_image(server)
    headers = {"Tus-Resumable": version} if version else {}
    for method, path, more in [
        ("POST", "/uploads/", {"Upload-Length": "5", "Upload-Metadata": metadata(image_id=image)}),
        ("HEAD", url, {}),
        ("PATCH", url, {**CHUNK, "Upload-Offset": "0"}),
        ("DELETE", url, {}),
    ]:
        answer = server.request(method, path, b"12345" if method == "PATCH" else None, {**headers, **more}, user="alice")
        assert answer.status == 412
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert offset(server, url) == 0
    assert show(server, image)["status"] == "queued"


# -- creation -------------------------------------------------------------------------------------------------------
def test_c1_a_new_upload_has_an_unguessable_address_and_a_grant(server: Server):
    answer = begin(server, 100)
    assert answer.status == 201
    assert answer.headers["Location"].startswith("/uploads/")
    assert len(answer.headers["Location"]) == len("/uploads/") + 36
    assert answer.headers["Upload-Offset"] == "0"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert len(answer.headers["Upload-Grant"]) >= 32
    assert show(server, answer.image)["status"] == "uploading"
    assert staged(server, answer.headers["Location"]).exists() is False  # no space is taken before bytes come


@pytest.mark.parametrize("length", ["-1", "1e3", "+5", "0x10", "9223372036854775808", "5, 5", "Infinity", "", "5_0", "٣"])
def test_c5_a_length_that_is_no_number_is_400(server: Server, length: str):
    image = new_image(server)
    headers = {**TUS, "Upload-Metadata": metadata(image_id=image)}
    lines = [f"{k}: {v}" for k, v in {**headers, "Upload-Length": length, "X-Auth-Token": server.token("alice")}.items()]
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(("POST /uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
        assert answer_of(raw) == 400
    assert show(server, image)["status"] == "queued"


def test_c3_c4_the_length_is_required_and_not_deferred(server: Server):
    image = new_image(server)
    given = {**TUS, "Upload-Metadata": metadata(image_id=image)}
    assert server.request("POST", "/uploads/", headers=given, user="alice").status == 400
    assert server.request("POST", "/uploads/", headers={**given, "Upload-Defer-Length": "1"}, user="alice").status == 400
    assert (
        server.request("POST", "/uploads/", headers={**given, "Upload-Defer-Length": "1", "Upload-Length": "5"}, user="alice").status == 400
    )
    assert show(server, image)["status"] == "queued"


def test_c6_too_large_is_413(server: Server):
    answer = begin(server, 2**30 + 1)
    assert answer.status == 413
    assert show(server, answer.image)["status"] == "queued"


@pytest.mark.parametrize(
    "given",
    ["image_id", "a YQ==,a YQ==", "ключ YQ==", "key !!!", "key YQ", "k /w==", ",", "a YQ==,,b YQ==", "filename YQ=="],
    ids=["no value", "twice", "non-ascii", "not base64", "no padding", "not utf-8", "empty", "gap", "no image"],
)
def test_c7_bad_metadata_is_400(server: Server, given: str):
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": given.encode().decode("latin-1")}
    assert server.request("POST", "/uploads/", headers=headers, user="alice").status == 400


def test_c7_good_metadata_is_echoed_byte_for_byte(server: Server):
    image = new_image(server)
    given = metadata(image_id=image, filename="a\r\nSet-Cookie: x=1 ü.raw") + ",is_confidential,empty "
    answer = server.request("POST", "/uploads/", headers={**TUS, "Upload-Length": "5", "Upload-Metadata": given.strip()}, user="alice")
    assert answer.status == 201
    assert "Set-Cookie" not in answer.headers
    seen = server.request("HEAD", answer.headers["Location"], headers=TUS, user="alice")
    assert seen.headers["Upload-Metadata"] == given.strip()  # H5


def test_only_who_may_upload_may_begin(server: Server):
    image = new_image(server)
    assert begin(server, 5, image, user="bob").status == 404
    assert begin(server, 5, image, user="carol").status == 403
    assert (
        server.request("POST", "/uploads/", headers={**TUS, "Upload-Length": "5", "Upload-Metadata": metadata(image_id=image)}).status
        == 401
    )
    assert begin(server, 5, image).status == 201
    assert begin(server, 5, image).status == 409


@pytest.mark.parametrize(("name", "value"), [("target_format", "exe"), ("checksum", "abc"), ("checksum", "md5:" + "0" * 64)])
def test_a_wish_that_cannot_be_met_is_refused_at_once(server: Server, name: str, value: str):
    image = new_image(server)
    answer = begin(server, 5, image, Upload_Metadata=metadata(image_id=image, **{name: value}))
    assert answer.status == 400
    assert show(server, image)["status"] == "queued"


# -- HEAD -----------------------------------------------------------------------------------------------------------
def test_head_tells_where_to_go_on(server: Server):
    url = url_of(server, 100)
    answer = server.request("HEAD", url, headers=TUS, user="alice")
    assert answer.status == 200
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("0", "100")  # H1, H2
    assert answer.headers["Cache-Control"] == "no-store"  # H4
    assert send(server, url, 0, b"x" * 30).status == 204
    assert offset(server, url) == 30


@pytest.mark.parametrize("user", ["bob", "carol", "admin"])
def test_h6_the_upload_of_another_does_not_exist(server: Server, user: str):
    url = url_of(server, 100)
    for method, more in (("HEAD", {}), ("PATCH", {**CHUNK, "Upload-Offset": "0"}), ("DELETE", {})):
        answer = server.request(method, url, headers={**TUS, **more}, user=user)
        assert answer.status == 404
        assert "Upload-Offset" not in answer.headers
    assert offset(server, url) == 0


@pytest.mark.parametrize("name", ["00000000-0000-0000-0000-000000000000", "x", "..", "{00000000-0000-0000-0000-000000000000}"])
def test_unknown_uploads_are_404(server: Server, name: str):
    assert server.request("HEAD", f"/uploads/{name}", headers=TUS, user="alice").status == 404
    assert send(server, f"/uploads/{name}", 0, b"x").status == 404  # P5
    assert server.request("DELETE", f"/uploads/{name}", headers=TUS, user="alice").status == 404  # X4


# -- PATCH ----------------------------------------------------------------------------------------------------------
def test_p1_bytes_in_pieces_make_an_image(server: Server):
    data = os.urandom(5 * MIB + 3)
    answer = begin(server, len(data))
    url, at = answer.headers["Location"], 0
    for size in (1, 511, MIB, 2 * MIB + 7, len(data)):
        piece = data[at : at + size]
        sent = send(server, url, at, piece)
        assert sent.status == 204
        at += len(piece)
        assert sent.headers["Upload-Offset"] == str(at)
    until(lambda: show(server, answer.image)["status"] == "active", "active")
    assert show(server, answer.image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
    until(lambda: not staged(server, url).exists(), "staging empty")
    assert server.request("HEAD", url, headers=TUS, user="alice").status == 404  # X5: handed over


@pytest.mark.parametrize("wrong", [0, 9, 11, 100, 101])
def test_p2_a_wrong_offset_changes_nothing(server: Server, wrong: int):
    url = url_of(server, 100)
    send(server, url, 0, b"0123456789")
    assert send(server, url, wrong, b"x").status == 409
    assert offset(server, url) == 10
    assert staged(server, url).read_bytes() == b"0123456789"


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", ""])
def test_p3_a_wrong_type_is_415(server: Server, kind: str):
    url = url_of(server, 10)
    assert send(server, url, 0, b"x", Content_Type=kind).status == 415
    assert offset(server, url) == 0


@pytest.mark.parametrize("wrong", ["-1", "1e3", "+5", "0x10", "9223372036854775808", "5, 5", ""])
def test_p4_an_offset_that_is_no_number_is_400(server: Server, wrong: str):
    url = url_of(server, 10)
    assert send(server, url, wrong, b"x").status == 400
    assert server.request("PATCH", url, b"x", {**TUS, **CHUNK}, user="alice").status == 400
    assert offset(server, url) == 0


def test_p7_more_than_is_left_is_413_and_not_stored(server: Server):
    url = url_of(server, 10)
    assert send(server, url, 0, b"x" * 11).status == 413
    assert offset(server, url) == 0
    connection = server.connection()
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    connection.request("PATCH", url, iter([b"12345", b"67890x"]), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    assert offset(server, url) <= 10
    assert len(staged(server, url).read_bytes()) <= 10


def test_p8_what_came_before_a_cut_is_kept(server: Server):
    data = os.urandom(3 * MIB)
    answer = begin(server, len(data))
    url = answer.headers["Location"]
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PATCH", url, headers, len(data), data[: 2 * MIB + 5]):
        pass
    at = until(lambda: offset(server, url), "an offset")
    assert at == 2 * MIB + 5
    assert send(server, url, at, data[at:]).status == 204
    until(lambda: show(server, answer.image)["status"] == "active", "active")
    assert show(server, answer.image)["checksum"] == hashlib.md5(data).hexdigest()


def test_p9_p10_empty_pieces_change_nothing(server: Server):
    url = url_of(server, 10)
    assert send(server, url, 0, b"").headers["Upload-Offset"] == "0"
    image = new_image(server, disk_format="qcow2")
    empty = begin(server, 0, image)
    assert empty.status == 201  # C2: complete at once, and no image is empty
    until(lambda: job_of(server, image)["status"] == "failed", "refused")
    assert show(server, image)["status"] == "queued"


def test_p13_other_methods_may_come_as_post(server: Server):
    url = url_of(server, 10)
    given = {**TUS, "X-HTTP-Method-Override": "PATCH", **CHUNK, "Upload-Offset": "0"}
    assert server.request("POST", url, b"12345", given, user="alice").status == 204
    seen = server.request("POST", url, headers={**TUS, "X-HTTP-Method-Override": "HEAD"}, user="alice")
    assert (seen.status, seen.headers["Upload-Offset"]) == (200, "5")
    assert server.request("POST", url, headers={**TUS, "X-HTTP-Method-Override": "BREW"}, user="alice").status == 405
    assert server.request("POST", url, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}, user="alice").status == 204


# -- creation with upload -------------------------------------------------------------------------------------------
def test_w1_the_first_bytes_may_come_with_the_creation(server: Server):
    answer = begin(server, 100, body=b"x" * 40, **CHUNK)
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "40")
    assert offset(server, answer.headers["Location"]) == 40


def test_a_whole_image_in_one_request(server: Server):
    answer = begin(server, 1000, body=b"y" * 1000, **CHUNK)
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "1000")
    until(lambda: show(server, answer.image)["status"] == "active", "active")


def test_w2_w3_a_wrong_body_leaves_no_upload(server: Server):
    for body, headers, status in ((b"x", {"Content_Type": "text/plain"}, 415), (b"x" * 11, CHUNK, 413)):
        answer = begin(server, 10, body=body, **headers)
        assert answer.status == status
        assert show(server, answer.image)["status"] == "queued"


def test_w4_a_refusal_comes_before_the_body(server: Server):
    headers = {**TUS, **CHUNK, "Upload-Length": "5", "Upload-Metadata": metadata(image_id=new_image(server)), "Expect": "100-continue"}
    with half_sent(server, "POST", "/uploads/", headers, 5, b"") as connection:
        assert answer_of(connection) == 401


def test_a_creation_that_breaks_leaves_none_behind(server: Server):
    image = new_image(server)
    headers = {
        **TUS,
        **CHUNK,
        "Upload-Length": "5000000",
        "Upload-Metadata": metadata(image_id=image),
        "X-Auth-Token": server.token("alice"),
    }
    with half_sent(server, "POST", "/uploads/", headers, 5000000, b"x" * MIB):
        until(lambda: show(server, image)["status"] == "uploading", "uploading")
    until(lambda: show(server, image)["status"] == "queued", "queued")


# -- expiration -----------------------------------------------------------------------------------------------------
def test_e1_e3_expiry_is_told_and_slides(server: Server):
    answer = begin(server, 10)
    url, first = answer.headers["Location"], parsedate_to_datetime(answer.headers["Upload-Expires"])
    time.sleep(1.1)  # the header counts whole seconds
    patched = parsedate_to_datetime(send(server, url, 0, b"12345").headers["Upload-Expires"])
    seen = server.request("HEAD", url, headers=TUS, user="alice").headers["Upload-Expires"]
    assert first < patched == parsedate_to_datetime(seen)


# -- checksum -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5"])
def test_k1_k8_a_right_checksum_is_stored(server: Server, algorithm: str):
    url, data = url_of(server, 1000), os.urandom(500)
    assert send(server, url, 0, data, Upload_Checksum=checksum(algorithm, data)).status == 204
    assert staged(server, url).read_bytes() == data
    assert offset(server, url) == 500


def test_k8_crc32(server: Server):
    url, data = url_of(server, 9), b"123456789"
    good = base64.b64encode(bytes.fromhex("cbf43926")).decode()
    assert send(server, url, 0, data, Upload_Checksum=f"crc32 {good}").status == 204


def test_k2_a_wrong_checksum_throws_the_piece_away(server: Server):
    url = url_of(server, 10 * MIB)
    assert send(server, url, 0, b"good").status == 204
    answer = send(server, url, 4, os.urandom(5 * MIB), Upload_Checksum=checksum("sha1", b"other"))
    assert answer.status == 460
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert offset(server, url) == 4
    assert staged(server, url).read_bytes() == b"good"


@pytest.mark.parametrize("wrong", ["sha3 YQ==", "SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha1", "sha1 ", "sha1 !!", "sha1 YQ==", ""])
def test_k3_k4_k5_a_malformed_checksum_is_400(server: Server, wrong: str):
    url = url_of(server, 10)
    assert send(server, url, 0, b"x", Upload_Checksum=wrong).status == 400
    assert offset(server, url) == 0


def test_k6_a_cut_piece_with_a_checksum_does_not_count(server: Server):
    url, data = url_of(server, 3 * MIB), os.urandom(3 * MIB)
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice"), "Upload-Checksum": checksum("sha1", data)}
    with half_sent(server, "PATCH", url, headers, len(data), data[: 2 * MIB]):
        until(lambda: staged(server, url).exists(), "the first bytes")
    assert offset(server, url) == 0
    assert staged(server, url).read_bytes() == b""


# -- termination ----------------------------------------------------------------------------------------------------
def test_x1_x2_given_up_is_gone(server: Server):
    answer = begin(server, 10)
    url = answer.headers["Location"]
    send(server, url, 0, b"12345")
    assert server.request("DELETE", url, headers=TUS, user="alice").status == 204
    assert server.request("HEAD", url, headers=TUS, user="alice").status == 404
    assert send(server, url, 5, b"x").status == 404
    assert not staged(server, url).exists()
    assert show(server, answer.image)["status"] == "queued"
    assert job_of(server, answer.image)["status"] == "cancelled"
    assert begin(server, 10, answer.image).status == 201


def test_x3_given_up_while_bytes_come(server: Server):
    answer = begin(server, 5 * MIB)
    url = answer.headers["Location"]
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-Auth-Token": server.token("alice")}
    with half_sent(server, "PATCH", url, headers, 5 * MIB, bytes(MIB)) as sending:
        until(lambda: staged(server, url).exists(), "the first bytes")
        assert server.request("DELETE", url, headers=TUS, user="alice").status == 204
        assert answer_of(sending) in {404, 423}
    assert not staged(server, url).exists()
