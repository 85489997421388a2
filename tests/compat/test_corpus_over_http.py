"""Hostile and sound files sent to a running server: each gets its verdict through every door and in pieces of any size.

With VITRINE_CORPUS naming a folder with a manifest.json (name, claim, verdict per case) that corpus is sent; otherwise the
project's own cases (tests.images.formats.cases), of which every family sends some.
"""

import functools
import itertools
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashboard.core import qemu_img
from tests import invariants
from tests.images.formats.cases import CASES
from tests.images.sending import CHUNK, OCTETS, TUS, begin, job_of, new_image
from tests.images.sending import put as put_whole
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.server
FOLDER = os.environ.get("VITRINE_CORPUS", "")
CODES = {
    "accept": {204},
    "accept-raw": {204},
    "reject": {415},
    "reject-convert": {415},
    "reject-quota": {413},
    "quota": {413},
    "empty": {400},
    "any-no-crash": {204, 400, 413, 415},
}


@dataclass(frozen=True)
class Sent:
    """A file, what it is declared to be, and what must become of it."""

    name: str
    disk_format: str
    container_format: str
    verdict: str
    read: Callable[[], bytes]

    @property
    def family(self) -> tuple[str, str]:
        return self.disk_format, self.container_format

    @functools.cached_property
    def size(self) -> int:
        return len(self.read())

    @property
    def codes(self) -> set[int]:
        return CODES[self.verdict] if self.size else {400}


def _of_folder(folder: Path) -> list[Sent]:
    cases = json.loads((folder / "manifest.json").read_text())["cases"]
    return [
        Sent(c["name"], c["claim"], "ova" if c["name"].endswith(".ova") else "bare", c["verdict"], (folder / c["name"]).read_bytes)
        for c in cases
    ]


def _of_ours() -> list[Sent]:
    """Our hand-made cases. Where qemu-img has the last word it misses the checksums they lack: there it makes the sound files."""
    made = {"vdi": "vdi", "vhdx": "vhdx", "vhd": "vpc", "ploop": "parallels"} if qemu_img.available() else {}
    sound = [Sent(f"{ours}: made by qemu-img", ours, "bare", "accept", functools.partial(_made, theirs)) for ours, theirs in made.items()]
    last_word = {*made, "luks"} if made else set()
    ours = [c for c in CASES if not (c.verdict == "accept" and c.declared in last_word)]
    return [Sent(c.name, c.declared, c.container, c.verdict, c.build) for c in ours] + sound


def _made(form: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk"
        subprocess.run(["qemu-img", "create", "-q", "-f", form, path, "8M"], check=True)
        return path.read_bytes()


ALL = _of_folder(Path(FOLDER)) if FOLDER else _of_ours()


def _some(of_each: int) -> list[Sent]:
    """The first few cases of every family and verdict, small ones first."""
    taken: dict[tuple[tuple[str, str], str], list[Sent]] = {}
    for sent in sorted(ALL, key=lambda sent: sent.size):
        taken.setdefault((sent.family, sent.verdict), []).append(sent)
    return list(itertools.chain.from_iterable(group[:of_each] for group in taken.values()))


WHOLE = ALL if FOLDER else _some(2)
SAMPLE = _some(2 if FOLDER else 1)
PIECES = [(sent, piece) for sent in SAMPLE for piece in (1, 511, 4096) if sent.size // piece <= (300_000 if FOLDER else 3000)]
REQUESTS = [(sent, piece) for sent in SAMPLE for piece in (1, 511, 4096) if sent.size // piece <= (1100 if FOLDER else 20)]


def by_name(value: object) -> str:
    """How a case is called in a test's id."""
    return str(getattr(value, "name", value))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("corpus") / "data") as server:
        yield server
        assert invariants.after(server) == []


def image_for(server: Server, sent: Sent) -> str:
    return new_image(server, disk_format=sent.disk_format, container_format=sent.container_format)


def judged(server: Server, sent: Sent, image: str, status: int, sentence: str) -> None:
    """The answer is the verdict; a refused file leaves nothing behind, a taken one is active."""
    assert status in sent.codes, f"{sent.name}: {status} {sentence}"
    found = server.request("GET", f"/image/v2/images/{image}", user="alice").json
    staging, blobs = (list((server.data / top).glob(pattern)) for top, pattern in (("staging", "*"), ("blobs", "*/*")))
    if status == 204:
        assert (found["status"], found["size"]) == ("active", sent.size)
        assert server.request("DELETE", f"/image/v2/images/{image}", user="alice").status == 204
        return
    assert (found["status"], found["size"], found["virtual_size"], found["checksum"]) == ("queued", None, None, None)
    assert (staging, blobs) == ([], []), "bytes of a refused file are left"
    assert sentence.strip().endswith("."), f"no sentence: {sentence!r}"
    assert str(server.data) not in sentence
    assert job_of(server, image)["status"] == "failed"
    assert job_of(server, image)["message"] == sentence


def message(body: bytes) -> str:
    return str(json.loads(body)["error"]["message"]) if body else ""


# -- PUT …/file -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sent", WHOLE, ids=by_name)
def test_put_in_one_piece(server: Server, sent: Sent):
    answer = put_whole(server, image := image_for(server, sent), sent.read())
    judged(server, sent, image, answer.status, message(answer.body))


@pytest.mark.parametrize(("sent", "piece"), PIECES, ids=by_name)
def test_put_cut_into_pieces(server: Server, sent: Sent, piece: int):
    image, data = image_for(server, sent), sent.read()
    status, body = put_chunked(server, image, (data[at : at + piece] for at in range(0, len(data), piece)))
    judged(server, sent, image, status, message(body))


def put_chunked(server: Server, image: str, pieces: Iterator[bytes]) -> tuple[int, bytes]:
    """Chunked transfer encoding with exactly these chunks; a server that answers early and closes is listened to."""
    lines = [f"PUT /image/v2/images/{image}/file HTTP/1.1", "Host: 127.0.0.1", "Transfer-Encoding: chunked", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in {**OCTETS, "X-Auth-Token": server.token("alice")}.items()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            for group in _groups(pieces, 512):
                connection.sendall(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in group))
            connection.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = connection.makefile("rb").read()
    head, _blank, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def _groups(pieces: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while group := list(itertools.islice(pieces, size)):
        yield group


# -- tus ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sent", WHOLE[:: 1 if FOLDER else 2], ids=by_name)
def test_resumable_upload_in_one_piece(server: Server, sent: Sent):
    by_tus(server, sent, max(1, sent.size))


@pytest.mark.parametrize(("sent", "piece"), REQUESTS, ids=by_name)
def test_resumable_upload_in_pieces(server: Server, sent: Sent, piece: int):
    by_tus(server, sent, piece)


def by_tus(server: Server, sent: Sent, piece: int) -> None:
    data, image = sent.read(), image_for(server, sent)
    created = begin(server, len(data), image)
    assert created.status == 201, created
    url, offset = created.headers["Location"], 0
    headers = {**TUS, **CHUNK, "X-Auth-Token": server.token("alice")}
    connection = server.connection()
    while offset < len(data):
        connection.request("PATCH", url, data[offset : offset + piece], {**headers, "Upload-Offset": str(offset)})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 204:
            judged(server, sent, image, answer.status, message(body))
            break
        offset = int(answer.headers["Upload-Offset"])
    else:
        job = until(lambda: (job := job_of(server, image))["finished_at"] and job, "the end of the import")
        if job["status"] == "succeeded":
            judged(server, sent, image, 204, "")
        else:  # the import has no code of its own: its reason is the verdict
            assert job["status"] == "failed", job["message"]
            judged(server, sent, image, min(sent.codes - {204}, default=0), job["message"])
    connection.close()
