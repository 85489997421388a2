"""The tus client that browsers get, unmodified, uploads into a running server: in one piece, in many, and paused in the middle."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.sending import MIB, new_image, show
from tests.server import ROOT, Server
from tests.waiting import until

CLIENT = ROOT / "static" / "vendor" / "tus-js-client" / "tus.min.js"
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not CLIENT.exists(), reason="tus-js-client is not vendored"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("tus") / "data") as server:
        yield server


@pytest.mark.parametrize(("piece", "pause"), [(10**9, 0), (MIB, 0), (3 * MIB + 1, 5 * MIB), (10**9, 6 * MIB)])
def test_tus_js_client_brings_a_file_in(server: Server, tmp_path: Path, piece: int, pause: int):
    data = os.urandom(11 * MIB + 123)
    file = tmp_path / "disk.raw"
    file.write_bytes(data)
    image = new_image(server)
    script = Path(__file__).with_name("tus_client.cjs")
    arguments = [CLIENT, f"{server.url}/uploads/", server.token("alice"), image, file, piece, pause]
    done = subprocess.run(["node", script, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["url"].startswith(f"{server.url}/uploads/")
    assert told["paused"] is (pause > 0)
    until(lambda: show(server, image)["status"] == "active", "active")
    assert show(server, image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
