"""Real clients judge the API: the unmodified `openstack` command and openstacksdk against a live server."""

import functools
import hashlib
import http.server
import json
import os
import pty
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack import exceptions

from tests.images import hostile
from tests.server import DEMO_PASSWORD, Server, free_port

pytestmark = pytest.mark.server
OPENSTACK = Path(sys.executable).with_name("openstack")
SEVERAL_MIB = 3 * 2**20 + 17


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A web server with images on it: its folder and port."""
    folder = tmp_path_factory.mktemp("mirror")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mirror: tuple[Path, int]) -> Iterator[Server]:
    allowed = {"VITRINE_IMPORT_ALLOWED_HOSTS": "127.0.0.1", "VITRINE_IMPORT_ALLOWED_PORTS": str(mirror[1])}
    with Server(tmp_path_factory.mktemp("server"), env=allowed) as running:
        yield running


class Person:
    """A demo user at a terminal and with the SDK."""

    def __init__(self, server: Server, name: str, project: str, folder: Path) -> None:
        self.folder = folder
        self.login = {
            "auth_url": f"{server.url}/identity/v3",
            "username": name,
            "password": DEMO_PASSWORD,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OS_IDENTITY_API_VERSION": "3",
            **{f"OS_{key.upper()}": value for key, value in self.login.items()},
        }

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # A terminal for stdin: from anything else `image create` would read the image's data.
        terminal, stdin = pty.openpty()
        try:
            done = subprocess.run(
                [str(OPENSTACK), *words],
                stdin=stdin,
                env=self.environment,
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            os.close(terminal)
            os.close(stdin)
        assert not check or done.returncode == 0, done.stderr
        return done

    def openstack(self, *words: str) -> Any:
        """What the command prints, as JSON."""
        return json.loads(self.run(*words, "-f", "json").stdout)

    def connect(self) -> Any:
        return openstack.connection.Connection(auth=self.login, region_name="RegionOne", identity_api_version="3", app_name="vitrine-tests")

    def await_status(self, image: str, status: str, seconds: float = 60) -> dict[str, Any]:
        connection, deadline = self.connect(), time.monotonic() + seconds
        while (found := connection.image.get_image(image)).status != status:
            assert time.monotonic() < deadline, f"{found.status}, not {status}"
            time.sleep(0.1)
        return dict(found.to_dict())


@pytest.fixture
def alice(server: Server, tmp_path: Path) -> Person:
    return Person(server, "alice", "demo", tmp_path)


@pytest.fixture
def bob(server: Server, tmp_path: Path) -> Person:
    return Person(server, "bob", "partner", tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of a few MiB, not a multiple of anything."""
    file = tmp_path / "disk.raw"
    file.write_bytes(random.Random(5).randbytes(SEVERAL_MIB))
    return file


def test_alice_gets_a_token_at_the_terminal(alice):
    token = alice.openstack("token", "issue")
    assert token["id"] and token["project_id"] and token["expires"]
    assert {service["Name"] for service in alice.openstack("catalog", "list")} >= {"keystone", "glance"}


def test_a_wrong_password_is_said_so(alice):
    alice.environment["OS_PASSWORD"] = "wrong"
    refused = alice.run("token", "issue", check=False)
    assert refused.returncode and "401" in refused.stderr


def test_alice_keeps_a_disk_image_at_the_terminal(alice, disk):
    made = alice.openstack(
        *("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", str(disk), "--tag", "t", "--private", "debian")
    )
    image = made["id"]
    listed = {row["ID"]: row for row in alice.openstack("image", "list")}
    assert listed[image]["Name"] == "debian" and listed[image]["Status"] == "active"

    shown = alice.openstack("image", "show", image)
    assert shown["size"] == SEVERAL_MIB and shown["visibility"] == "private" and shown["tags"] == ["t"]
    assert shown["checksum"] == hashlib.md5(disk.read_bytes()).hexdigest()
    assert shown["properties"]["os_hash_value"] == hashlib.sha512(disk.read_bytes()).hexdigest()

    alice.run("image", "set", "--property", "os_distro=debian", "--min-ram", "256", "--name", "debian-12", "--tag", "u", image)
    shown = alice.openstack("image", "show", "debian-12")
    assert shown["properties"]["os_distro"] == "debian" and shown["min_ram"] == 256 and shown["tags"] == ["t", "u"]
    alice.run("image", "unset", "--property", "os_distro", "--tag", "t", image)
    shown = alice.openstack("image", "show", image)
    assert "os_distro" not in shown["properties"] and shown["tags"] == ["u"]

    alice.run("image", "save", "--file", "saved.raw", image)
    assert (alice.folder / "saved.raw").read_bytes() == disk.read_bytes()

    alice.run("image", "set", "--deactivate", image)
    assert alice.openstack("image", "show", image)["status"] == "deactivated"
    alice.run("image", "set", "--activate", image)

    alice.run("image", "set", "--protected", image)
    refused = alice.run("image", "delete", image, check=False)
    assert refused.returncode and "protected" in refused.stderr
    alice.run("image", "set", "--unprotected", image)
    alice.run("image", "delete", image)
    assert image not in {row["ID"] for row in alice.openstack("image", "list")}


def test_alice_imports_from_the_web_at_the_terminal(alice, mirror):
    folder, port = mirror
    data = hostile.qcow2()
    (folder / "disk.qcow2").write_bytes(data)
    image = alice.openstack("image", "create", "--disk-format", "qcow2", "--container-format", "bare", "web")["id"]
    alice.run("image", "import", "--method", "web-download", "--uri", f"http://127.0.0.1:{port}/disk.qcow2", image)
    found = alice.await_status(image, "active")
    assert found["size"] == len(data) and found["hash_value"] == hashlib.sha512(data).hexdigest()
    alice.run("image", "save", "--file", "web.qcow2", image)
    assert (alice.folder / "web.qcow2").read_bytes() == data


def test_alice_stages_and_imports_at_the_terminal(alice, disk):
    image = alice.openstack(
        "image", "create", "--import", "--disk-format", "raw", "--container-format", "bare", "--file", str(disk), "staged"
    )["id"]
    assert alice.await_status(image, "active")["size"] == SEVERAL_MIB


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/x", "http://169.254.169.254/latest", "http://[::ffff:127.0.0.1]/x"])
def test_a_forbidden_address_is_refused_although_the_client_does_not_look(alice, uri):
    image = alice.openstack("image", "create", "--disk-format", "raw", "--container-format", "bare", "bad")["id"]
    alice.run("image", "import", "--method", "web-download", "--uri", uri, image)  # ends well whatever the service says
    assert alice.openstack("image", "show", image)["status"] == "queued"
    answer = alice.connect().image.post(f"/images/{image}/import", json={"method": {"name": "web-download", "uri": uri}})
    assert answer.status_code == 400


def test_bob_cannot_even_name_what_is_alices(alice, bob, disk):
    image = alice.connect().image.create_image("secret", filename=str(disk), disk_format="raw", container_format="bare").id
    refused = bob.run("image", "show", image, check=False)
    assert refused.returncode and "No Image found" in refused.stderr
    with pytest.raises(exceptions.NotFoundException):
        bob.connect().image.delete_image(image, ignore_missing=False)
    with pytest.raises(exceptions.NotFoundException):
        bob.connect().image.download_image(image)


def test_the_sdk_does_the_same(alice, disk, mirror):
    cloud = alice.connect()
    image = cloud.image.create_image(
        "sdk", filename=str(disk), disk_format="raw", container_format="bare", tags=["x"], wait=True, os_distro="alpine", min_disk=1
    )
    found = cloud.image.get_image(image)
    assert (found.status, found.size, found.min_disk, found.tags) == ("active", SEVERAL_MIB, 1, ["x"])
    assert cloud.image.find_image("sdk").id == found.id

    cloud.image.update_image(found, name="sdk-2", os_version="3.20")
    cloud.image.add_tag(found, "y")
    cloud.image.remove_tag(found, "x")
    found = cloud.image.get_image(image)
    assert (found.name, found.tags, found.os_version) == ("sdk-2", ["y"], "3.20")

    assert cloud.image.download_image(found).content == disk.read_bytes()
    (mirror[0] / "again.raw").write_bytes(disk.read_bytes())
    again = cloud.image.create_image("again", disk_format="raw", container_format="bare", allow_duplicates=True)
    cloud.image.import_image(again, method="web-download", uri=f"http://127.0.0.1:{mirror[1]}/again.raw")
    assert alice.await_status(again.id, "active")["hash_value"] == hashlib.sha512(disk.read_bytes()).hexdigest()

    for one in (found, again):
        cloud.image.delete_image(one)
    assert not {found.id, again.id} & {one.id for one in cloud.image.images()}


def test_the_sdk_pages_through_a_list(alice):
    cloud = alice.connect()
    made = {cloud.image.create_image(f"page-{number}", allow_duplicates=True).id for number in range(7)}
    listed = [
        image.id
        for image in cloud.image.images(limit=2, sort="name:asc", status="queued", name="in:" + ",".join(f"page-{n}" for n in range(7)))
    ]
    assert len(listed) == 7 and set(listed) == made


def test_the_sdk_is_told_what_the_service_can_do(alice):
    cloud = alice.connect()
    assert cloud.image.get_import_info().import_methods["value"] == ["glance-direct", "web-download"]
    assert [store.id for store in cloud.image.stores()] == ["local"]
    assert cloud.image.get_image_schema().properties["disk_format"]
    assert cloud.image.get_images_schema().properties["images"]
