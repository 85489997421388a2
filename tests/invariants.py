"""What must be true of database, disk and processes whatever was killed, cut or refused before.

    violations = invariants.after(server, acknowledged={image_id: sha512_of_what_was_sent})

`after` waits until nothing is under way, has the server's own housekeeping run once, and returns every rule that does not hold,
as sentences. It shares no code with what it checks: rows are read with plain SQL and every blob is hashed again.
"""

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.server import Server

LIVE = ("waiting", "queued", "running")
BUSY = ("saving", "uploading", "importing")
SWEEP = "from images.services import sweeping; sweeping.sweep()"
USAGE = """
import json
from dashboard.identity.models import Project
from images.services.quotas import usage
print(json.dumps({p.pk: {name: used.usage for name, used in usage(p.pk).items()} for p in Project.objects.all()}))
"""
Row = dict[str, Any]


def rows(server: Server, query: str, *values: Any) -> list[Row]:
    """Rows of the server's database, read beside it."""
    with contextlib.closing(sqlite3.connect(f"file:{server.data / 'vitrine.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values)]


def settle(server: Server, timeout: float = 90) -> None:
    """Wait until no job is at work; uploads that wait for their sender stay. Then tidy up as the server does every minute."""
    deadline = time.monotonic() + timeout
    while at_work := rows(server, "SELECT kind, status, stage, message FROM jobs_job WHERE status IN ('queued', 'running')"):
        assert time.monotonic() < deadline, f"jobs never end: {at_work}"
        time.sleep(0.05)
    while rows(server, "SELECT 1 FROM images_blob WHERE state <> 'ready'"):
        assert time.monotonic() < deadline, "blobs stay unfinished"
        server.python(SWEEP)
        time.sleep(0.2)
    server.python(SWEEP)


def after(server: Server, acknowledged: Mapping[str, str] | None = None, *, timeout: float = 90) -> list[str]:
    """Every violation once the dust has settled; empty when all is well."""
    settle(server, timeout)
    images = {_id(row["id"]): row for row in rows(server, "SELECT * FROM images_image")}
    located = rows(server, "SELECT image_id, key, sha512, state FROM images_imagelocation JOIN images_blob b ON b.id = blob_id")
    return [
        *_data(server, images, located),
        *_promises(images, acknowledged or {}),
        *_disk(server, images, located),
        *_usage(server, images),
        *_states(server, images),
        *_outcomes(server, images),
        *_processes(server),
    ]


def _id(text: str) -> str:
    """Django keeps UUIDs in SQLite without dashes."""
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" if len(text) == 32 else text


def _blob_file(server: Server, key: str) -> Path:
    return server.data / "blobs" / key[:2] / key / "data"


def _data(server: Server, images: Mapping[str, Row], located: list[Row]) -> list[str]:
    """I1: an active image has one location, and the bytes there are what its record says."""
    wrong = []
    by_image = {_id(row["image_id"]): row for row in located}
    for image_id, image in images.items():
        found = by_image.get(image_id)
        if image["status"] not in ("active", "deactivated"):
            if found:
                wrong.append(f"image {image_id} is {image['status']} and has data")
            continue
        if found is None or found["state"] != "ready" or not _blob_file(server, found["key"]).is_file():
            wrong.append(f"image {image_id} is {image['status']} and has no data")
            continue
        bytes_ = _blob_file(server, found["key"]).read_bytes()
        sha512 = hashlib.sha512(bytes_).hexdigest()
        md5 = hashlib.md5(bytes_, usedforsecurity=False).hexdigest()
        if (len(bytes_), md5, sha512, sha512) != (image["size"], image["checksum"], image["os_hash_value"], found["sha512"]):
            wrong.append(f"image {image_id} has other bytes than its record says")
    return wrong


def _promises(images: Mapping[str, Row], acknowledged: Mapping[str, str]) -> list[str]:
    """I2: what a client was told to be done is done."""
    wrong = []
    for image_id, sha512 in acknowledged.items():
        image = images.get(image_id)
        if image is None or image["status"] not in ("active", "deactivated", "deleted"):
            wrong.append(f"image {image_id} was acknowledged and is {image and image['status']}")
        elif image["status"] != "deleted" and image["os_hash_value"] != sha512:
            wrong.append(f"image {image_id} was acknowledged with other bytes")
    return wrong


def _disk(server: Server, images: Mapping[str, Row], located: list[Row]) -> list[str]:
    """I3: store and staging hold what rows name and nothing else; references are counted right."""
    wrong = []
    ready = {row["key"]: row["refs"] for row in rows(server, "SELECT key, refs FROM images_blob WHERE state = 'ready'")}
    counted: dict[str, int] = {}
    for row in located:
        counted[row["key"]] = counted.get(row["key"], 0) + 1
    if ready != counted:
        wrong.append(f"references are {ready} and should be {counted}")
    root = server.data / "blobs"
    there = {str(path.relative_to(root)) for path in root.glob("*/*/*")} | {str(path.relative_to(root)) for path in root.glob("*/*")}
    named = {f"{key[:2]}/{key}" for key in ready} | {f"{key[:2]}/{key}/data" for key in ready}
    if there != named:
        wrong.append(f"the store has {sorted(there - named)} too many and lacks {sorted(named - there)}")
    uploads = {_id(row["id"]) for row in rows(server, "SELECT id FROM images_upload")}
    staged = {image_id for image_id, image in images.items() if image["status"] == "uploading"}
    over = {path.name for path in (server.data / "staging").glob("*") if path.name.partition(".")[0] not in uploads | staged}
    if over:
        wrong.append(f"staging keeps {sorted(over)}")
    return wrong


def _usage(server: Server, images: Mapping[str, Row]) -> list[str]:
    """I4: what counts against the quota is what the rows say."""
    lengths = {_id(row["image_id"]): row["length"] for row in rows(server, "SELECT image_id, length FROM images_upload")}
    wrong = []
    for project, told in json.loads(server.python(USAGE)).items():
        mine = {i: image for i, image in images.items() if image["owner"] == project and image["status"] != "deleted"}
        sizes = {i: (image["status"] in BUSY and lengths.get(i)) or image["size"] or 0 for i, image in mine.items()}
        true = {
            "image_size_total": sum(sizes.values()),
            "image_stage_total": sum(size for i, size in sizes.items() if mine[i]["status"] in ("uploading", "importing")),
            "image_count_total": len(mine),
            "image_count_uploading": sum(image["status"] in BUSY for image in mine.values()),
        }
        if told != true:
            wrong.append(f"usage of {project} is told as {told} and is {true}")
        wrong += [f"image {i} is queued and counts {size} bytes" for i, size in sizes.items() if mine[i]["status"] == "queued" and size]
    return wrong


def _states(server: Server, images: Mapping[str, Row]) -> list[str]:
    """I5: nothing is under way for ever. Only a resumable upload and staged bytes may wait for somebody."""
    uploading = {_id(row["image_id"]) for row in rows(server, "SELECT image_id FROM images_upload")}
    wrong = []
    for image_id, image in images.items():
        if image["status"] in ("saving", "importing"):
            wrong.append(f"image {image_id} stays {image['status']}")
        if image["status"] == "uploading" and image_id not in uploading and not (server.data / "staging" / image_id).is_file():
            wrong.append(f"image {image_id} is uploading, with neither upload nor staged bytes")
        if image["status"] in ("queued", "deleted") and image_id in uploading:
            wrong.append(f"image {image_id} is {image['status']} and has an upload")
    for job in rows(server, "SELECT subject_id, status FROM jobs_job WHERE status IN ('waiting', 'queued', 'running')"):
        if job["subject_id"] not in uploading:
            wrong.append(f"a job of image {job['subject_id']} stays {job['status']}")
    return wrong


def _outcomes(server: Server, images: Mapping[str, Row]) -> list[str]:
    """What the newest job of each image says is what became of it, in words without a path."""
    wrong = []
    newest = {job["subject_id"]: job for job in rows(server, "SELECT * FROM jobs_job WHERE subject_type = 'image' ORDER BY created_at, id")}
    for image_id, job in newest.items():
        status = images[image_id]["status"] if image_id in images else "gone"
        if status == "deleted" or job["status"] in LIVE:
            continue
        staged = status == "uploading" and json.loads(job["arguments"]).get("method") == "stage"
        if (job["status"] == "succeeded") != (status in ("active", "deactivated") or staged):
            wrong.append(f"image {image_id} is {status} and its job says {job['status']}: {job['message']}")
        if job["status"] != "succeeded" and (not job["message"] or str(server.data) in job["message"]):
            wrong.append(f"the reason of {image_id} is no reason: {job['message']!r}")
    return wrong


def _processes(server: Server) -> list[str]:
    """I8: no program works for a job that is over."""
    wrong = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if "qemu-img" in line and str(server.data) in line:
                    wrong.append(f"process {entry.name} is still there: {line}")
    return wrong
