"""The steps of every import after the bytes are here, as plain functions: verify, inspect, convert, hash and store, activate."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from dashboard.core import qemu_img
from dashboard.core.errors import BadRequest
from dashboard.jobs.models import Job
from dashboard.jobs.services import Progress
from images.formats import inspect
from images.models import Image
from images.services import blobs, data, quotas, work
from images.uploads import staging

CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class File:
    """A staging file and what is known about it."""

    owner: UUID  # of the staging file: an upload's or an image's id
    path: Path
    disk_format: str
    container_format: str
    virtual_size: int | None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def verify(file: File, expected: dict[str, str], progress: Progress) -> None:
    """Compare the file with the checksum its sender gave, before any program touches it."""
    progress.step("verify", file.size)
    digest = hashlib.new(expected["algo"], usedforsecurity=False)
    with file.path.open("rb") as source:
        while piece := source.read(CHUNK):
            digest.update(piece)
            progress.advance(len(piece))
            progress.check()
    if not hmac.compare_digest(digest.hexdigest(), expected["value"].lower()):
        text = _("The file's {algo} checksum is {found}, not {wanted} as expected: it was damaged on the way or is another file.")
        raise BadRequest(text, algo=expected["algo"], found=digest.hexdigest(), wanted=expected["value"].lower())


def examine(file: File, progress: Progress) -> File:
    """Judge the whole file by what it was declared to be; returns it with its virtual size."""
    progress.step("inspect", file.size)
    size = file.size
    verdict = _judge(file.path, file.disk_format, file.container_format)
    progress.set(size)
    return replace(file, virtual_size=verdict.virtual_size)


def _judge(path: Path, declared: str, container: str) -> inspect.Verdict:
    with inspect.FileSource(path) as source:
        return inspect.inspect_source(source, declared=declared, container=container)


def wants_conversion(file: File, target_format: str | None) -> bool:
    """Whether the file shall become another format: installation media and wrapped images stay what they are."""
    return bool(target_format) and file.container_format == "bare" and file.disk_format not in (target_format, "iso")


def convert(image: Image, file: File, target_format: str, progress: Progress) -> File:
    """The file in another format, judged again; room for it is asked for before the first byte is written."""
    total = file.virtual_size or file.size
    progress.step("convert", total, note=f"{file.disk_format} → {target_format}")
    most = total if target_format == "raw" else qemu_img.measure(file.path, file.disk_format, target_format).required
    reserve(image, most)
    quotas.require_space(_still_to_write(file, most, target_format))
    target = staging.path(file.owner).with_suffix(".converted")
    target.unlink(missing_ok=True)

    def cancelled() -> bool:
        progress.check()  # raises
        return False

    qemu_img.convert(
        file.path,
        file.disk_format,
        target,
        target_format,
        on_progress=lambda percent: progress.set(int(total * percent / 100)),
        cancelled=cancelled,
    )
    verdict = _judge(target, target_format, "bare")
    return File(file.owner, target, target_format, "bare", verdict.virtual_size)


def _still_to_write(file: File, most: int, target_format: str) -> int:
    """Disk space the conversion needs: holes of a raw file cost none."""
    if target_format != "raw":
        return most
    return min(most, qemu_img.measure(file.path, file.disk_format, "raw").required)


def reserve(image: Image, size: int) -> None:
    """Count `size` bytes for the image against its project's quota, instead of what was counted for it before."""
    with transaction.atomic():
        quotas.require_growth(image, size)
        Image.objects.filter(pk=image.pk).update(size=size)


def store(image: Image, file: File, store_name: str | None, progress: Progress) -> data.Stored:
    """Hash the file and give it to the store."""
    size = file.size
    reserve(image, size)
    progress.step("hash", size)

    def hashed(done: int) -> None:
        progress.set(done)
        progress.check()

    return data.store_file(file.path, store_name, on_hash=hashed, on_store=lambda: progress.step("store", size))


def activate(job: Job, image: Image, file: File, stored: data.Stored, progress: Progress) -> None:
    """Make the image active, if who began this may still do so."""
    try:
        progress.set(stored.size)
        progress.step("activate")
        work.authorise(job.user_id, job.project_id, image)
    except BaseException:
        blobs.drop(stored.blob)
        raise
    data.activate(
        image,
        stored.blob,
        size=stored.size,
        virtual_size=file.virtual_size,
        checksum=stored.checksum,
        os_hash_value=stored.os_hash_value,
        disk_format=file.disk_format,
        container_format=file.container_format,
    )
