"""A full disk: one clear sentence, the image queued again, nothing left, and room for the next one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.sending import CHUNK, MIB, OCTETS, TUS, begin, job_of, new_image, put, send, show, staged
from tests.server import Server
from tests.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 16 MiB."""
    path = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a small disk")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Iterator[Server]:
    store = '{"local": {"driver": "images.stores.filesystem.FileSystemStore", "root": "%s"}}' % (small / "blobs")
    env = {"VITRINE_STAGING": str(small / "staging"), "VITRINE_STORES": store}
    with Server(tmp_path_factory.mktemp("full") / "data", env=env) as server:
        yield server


def free(small: Path) -> int:
    disk = os.statvfs(small)
    return disk.f_bavail * disk.f_frsize


def test_what_cannot_fit_is_refused_before_the_first_byte(server: Server):
    answer = put(server, image := new_image(server), bytes(17 * MIB))
    assert answer.status == 413
    assert "not enough space" in answer.json["error"]["message"]
    assert show(server, image)["status"] == "queued"
    assert begin(server, 17 * MIB).status == 413


@pytest.mark.parametrize("route", ["file", "stage"])
def test_a_disk_that_fills_up_while_bytes_come(server: Server, small: Path, route: str):
    before, image = free(small), new_image(server)
    headers = {**OCTETS, "X-Auth-Token": server.token("alice")}
    connection = server.connection()
    pieces = (os.urandom(MIB) for _ in range(20))
    connection.request("PUT", f"/image/v2/images/{image}/{route}", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert show(server, image)["status"] == "queued"
    assert job_of(server, image)["status"] == "failed"
    assert "not enough space" in job_of(server, image)["message"]
    until(lambda: free(small) >= before - MIB, "space given back")
    assert put(server, image, os.urandom(MIB), route=route).status == 204
    server.request("DELETE", f"/image/v2/images/{image}", user="alice")


def test_a_disk_that_fills_up_under_a_resumable_upload(server: Server, small: Path):
    answer = begin(server, 12 * MIB)
    url = answer.headers["Location"]
    assert send(server, url, 0, os.urandom(2 * MIB)).status == 204
    other = small / "other"
    other.write_bytes(os.urandom(free(small) - 4 * MIB))
    try:
        refused = server.request("PATCH", url, os.urandom(10 * MIB), {**TUS, **CHUNK, "Upload-Offset": str(2 * MIB)}, user="alice")
        assert refused.status == 413
        assert "not enough space" in refused.json["error"]["message"]
        assert show(server, answer.image)["status"] == "queued"
        assert not (small / "staging" / staged(server, url).name).exists()
    finally:
        other.unlink()
    assert put(server, answer.image, os.urandom(MIB)).status == 204


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Server]:
    """A server with all it has, its database too, on one disk of 64 MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a small disk")
    try:
        with Server(tmp_path / "data") as server:
            yield server
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_an_upload_that_fills_the_disk_of_the_database_stops_nobody(crowded: Server):
    answer = begin(crowded, 50 * MIB)
    url = answer.headers["Location"]
    assert send(crowded, url, 0, os.urandom(10 * MIB)).status == 204
    other = crowded.data.parent / "other"
    other.write_bytes(os.urandom(25 * MIB))
    refused = send(crowded, url, 10 * MIB, os.urandom(40 * MIB))
    assert refused.status == 413
    assert "not enough space" in refused.json["error"]["message"]
    assert show(crowded, answer.image)["status"] == "queued"
    assert job_of(crowded, answer.image)["status"] == "failed"
    assert not staged(crowded, url).exists()
    assert put(crowded, answer.image, os.urandom(MIB)).status == 204
