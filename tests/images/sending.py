"""What the tests of the data plane do over and over: make an image, send bytes, look."""

import base64
import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.server import Answer, Server

OCTETS = {"Content-Type": "application/octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream"}
MIB = 2**20


def new_image(server: Server, user: str = "alice", **fields: Any) -> str:
    """The id of a queued image."""
    answer = server.request(
        "POST", "/image/v2/images", {"name": "disk", "disk_format": "raw", "container_format": "bare", **fields}, user=user
    )
    assert answer.status == 201, answer
    return str(answer.json["id"])


def show(server: Server, image: str, user: str = "alice") -> Any:
    return server.request("GET", f"/image/v2/images/{image}", user=user).json


def put(server: Server, image: str, data: bytes, user: str = "alice", *, route: str = "file", **headers: str) -> Answer:
    given = {**OCTETS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return server.request("PUT", f"/image/v2/images/{image}/{route}", data, given, user=user)


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def begin(server: Server, length: int, image: str = "", user: str = "alice", body: bytes = b"", **headers: str) -> Answer:
    """POST to /uploads/."""
    image = image or new_image(server, user)
    given = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata(image_id=image, filename="disk.raw")}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = server.request("POST", "/uploads/", body or None, given, user=user)
    answer.image = image
    return answer


def url_of(server: Server, length: int) -> str:
    """The URL of a new upload."""
    answer = begin(server, length)
    assert answer.status == 201, answer
    return str(answer.headers["Location"])


def checksum(algorithm: str, data: bytes) -> str:
    """Upload-Checksum."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def send(server: Server, url: str, offset: int | str, data: bytes, user: str = "alice", **headers: str) -> Answer:
    """PATCH."""
    given = {**TUS, **CHUNK, "Upload-Offset": str(offset), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return server.request("PATCH", url, data, given, user=user)


def offset(server: Server, url: str, user: str = "alice") -> int:
    answer = server.request("HEAD", url, headers=TUS, user=user)
    assert answer.status == 200, answer
    return int(answer.headers["Upload-Offset"])


def files(server: Server) -> list[str]:
    """Every file in staging and store."""
    return sorted(
        str(path.relative_to(server.data)) for top in ("staging", "blobs") for path in (server.data / top).rglob("*") if path.is_file()
    )


def job_of(server: Server, image: str) -> dict[str, Any]:
    """The newest job of an image, read from the server's database."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"file:{server.data / 'vitrine.sqlite3'}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        row = database.execute("SELECT * FROM jobs_job WHERE subject_id = ? ORDER BY created_at DESC LIMIT 1", (image,)).fetchone()
        return dict(row)


def ended(server: Server, image: str) -> bool:
    """Whether the newest job of the image is over, for better or worse."""
    return job_of(server, image)["status"] in {"succeeded", "failed"}


@contextlib.contextmanager
def half_sent(server: Server, method: str, path: str, headers: dict[str, str], length: int, data: bytes) -> Iterator[socket.socket]:
    """A connection that announced `length` bytes and sent `data`; it is the caller's to go on, or to break."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
        yield connection


def answer_of(connection: socket.socket) -> int:
    """The status of the answer that comes on a raw connection."""
    return int(connection.makefile("rb").readline().split()[1])


def staged(server: Server, url: str) -> Path:
    return server.data / "staging" / url.rpartition("/")[2]
