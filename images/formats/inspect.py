"""Decide whether a file may be kept: is it what it was declared to be, complete, and free of references to anything else?

`inspect_head` answers as soon as the first mebibyte is there, so that most refusals come before the rest is sent;
`inspect_source` answers for the whole file. Both run the same checks in the same order, the first as far as its bytes
reach. They raise UnsupportedFormat (415), TooLarge (413) or, for an empty file, BadRequest (400), each with one sentence
for the person who sent the file. A check that breaks is a refusal too.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from django.conf import settings
from django.utils.translation import gettext as _

from dashboard.core import errors, qemu_img
from dashboard.core.units import filesize
from images.formats import iso, luks, ova, parallels, qcow2, raw, reference, signatures, vdi, vhd, vhdx, vmdk
from images.formats.view import Facts, NotYet, View, refuse, too_large

logger = logging.getLogger(__name__)

HEAD = 2**20
"""How many bytes inspect_head wants; it makes use of up to 4 MiB."""
HEAD_MAX = 4 * HEAD

PLAIN = frozenset({"raw", "ami", "ari", "aki"})
FAMILIES: Mapping[str, Callable[[View, Facts], None]] = {
    "raw": raw.check, "ami": raw.check, "ari": raw.check, "aki": raw.check, "iso": iso.check, "qcow2": qcow2.check,
    "vmdk": vmdk.check, "vhd": vhd.check, "vhdx": vhdx.check, "vdi": vdi.check, "luks": luks.check, "ploop": parallels.check,
}  # fmt: skip
CONTENT_COMPRESSED = frozenset({"gzip", "zip", "xz", "zstd"})
QEMU_SLACK = {"vhd": vhd.CHS_SLACK}  # bytes by which qemu-img may see another size; otherwise less than a sector


class Source(Protocol):
    """A file that can be read at any place. `path` is None where no local file exists."""

    @property
    def size(self) -> int: ...
    @property
    def path(self) -> Path | None: ...
    def pread(self, offset: int, length: int, /) -> bytes: ...


class FileSource:
    """A local file, open while in use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    def pread(self, offset: int, length: int, /) -> bytes:
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "FileSource":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The file is accepted; this is what it is.

    `virtual_size` is None where it cannot be known (a compressed container, the head alone of a raw disk). `disk` is the
    offset and length of the disk inside an OVA package, or None. `notes` are sentences for people.
    """

    format: str
    virtual_size: int | None
    notes: tuple[str, ...] = ()
    subformat: str = ""
    version: str = ""
    disk: tuple[int, int] | None = None


def inspect_head(head: bytes, *, declared: str, container: str = "bare", size: int | None = None) -> Verdict:
    """Judge a file by its first mebibyte. A shorter head is the whole file, unless `size` says that more will follow."""
    if size is None and len(head) < HEAD:
        size = len(head)
    head = bytes(head[:HEAD_MAX])
    available = len(head) if size is None else min(len(head), size)
    return _guarded(View(lambda at, n: head[at : at + n], size=size, available=available), declared, container or "bare")


def inspect_source(source: Source, *, declared: str, container: str = "bare") -> Verdict:
    """Judge a complete file; where it lies on this machine, qemu-img is asked last."""
    verdict = _guarded(View(source.pread, size=source.size), declared, container or "bare")
    if source.path is not None:
        _ask_qemu(source.path, verdict)
    return verdict


# -- the order of the checks ----------------------------------------------------------------------------------------


def _guarded(view: View, declared: str, container: str) -> Verdict:
    """Run the checks; whatever breaks in them is a verdict about the file, never a crash of ours."""
    facts = Facts()
    disk: list[tuple[int, int]] = []
    try:
        if view.size == 0:
            raise errors.BadRequest(_("The file is empty. Choose the image file again."))
        if declared not in FAMILIES:
            raise refuse(_("This server cannot check images of that disk format, so it does not accept them."))
        if view.size is not None and view.size > settings.IMAGE_SIZE_CAP:
            raise too_large(view.size)
        _check_container(view, declared, container, facts, disk)
    except errors.Error:
        raise
    except NotYet:
        pass
    except Exception:
        logger.exception("The inspection of a file declared as %s broke", declared)
        raise refuse(_("The file could not be understood as what it was declared to be.")) from None
    return Verdict(declared, facts.virtual_size, tuple(facts.notes), facts.subformat, facts.version, disk[0] if disk else None)


def _check_container(view: View, declared: str, container: str, facts: Facts, disk: list[tuple[int, int]]) -> None:
    if container in ("ova", "docker", "compressed"):
        head = view.read(0, min(HEAD, view.available))
        if found := signatures.families(head) - {"gpt"}:
            raise refuse(_("The file is not a package of the declared container format but %(kind)s.") % {"kind": _kinds(found)})
    if container == "ova":
        member = ova.disk(view)
        disk.append((member.offset, member.size))
        _check_disk(view.part(member.offset, member.size), declared, facts)
    elif container == "docker":
        if not signatures.tar(head):
            raise refuse(_("The file is not a Docker archive (a tar archive, as made by docker save)."))
    elif container == "compressed":
        if signatures.compressed(head) not in CONTENT_COMPRESSED:
            raise refuse(_("The file is not compressed with gzip, zip, xz or zstd. Choose “bare” as its container format."))
    else:
        _check_disk(view, declared, facts)


def _check_disk(view: View, declared: str, facts: Facts) -> None:
    head = view.read(0, min(HEAD, view.available))
    found = signatures.families(head) | reference.families(head)
    expected = set() if declared in PLAIN else {declared}
    tolerated = {"gpt"} if declared in PLAIN or declared == "iso" else set()
    if found - expected - tolerated:
        raise _mismatch(found, declared)
    if "gpt" in found and declared in ("raw", "ami"):
        reference.judge("gpt", head)
    FAMILIES[declared](view, facts)
    if expected - found:
        raise _mismatch(found, declared)
    if declared in reference.JUDGES:
        reference.judge(declared, head, view.tail(1536))


def _mismatch(found: set[str], declared: str) -> errors.UnsupportedFormat:
    if len(found) > 1:
        return refuse(
            _("The file carries the marks of several formats at once (%(kinds)s), so it cannot be trusted.") % {"kinds": _kinds(found)}
        )
    return refuse(
        _("The file was declared as %(declared)s, but it is %(kind)s. Choose the format that fits.")
        % {"declared": declared, "kind": _kinds(found) if found else "raw"}
    )


def _kinds(found: set[str]) -> str:
    return ", ".join(_("a partition table") if name == "gpt" else name for name in sorted(found))


def _ask_qemu(path: Path, verdict: Verdict) -> None:
    """Have qemu-img open the image as what it is, under limits, and compare. Plain bytes are never parsed by anything."""
    if qemu_img.DRIVERS.get(verdict.format, "raw") == "raw" or verdict.virtual_size is None or not qemu_img.available():
        return
    offset, length = verdict.disk or (0, None)
    try:
        info = qemu_img.info(path, verdict.format, offset=offset, length=length)
    except OSError as error:
        raise errors.Unavailable(_("The image could not be examined just now. Try again.")) from error
    encrypted = info.encrypted and verdict.format != "luks"
    if not info.stands_alone or encrypted or info.snapshots or info.corrupt:
        raise refuse(_("The image refers to other files, is encrypted, damaged, or holds snapshots. Convert it with qemu-img convert."))
    if abs(info.virtual_size - verdict.virtual_size) > QEMU_SLACK.get(verdict.format, 511):
        raise refuse(
            _("The size of the disk is ambiguous: %(one)s or %(other)s. Convert it with qemu-img convert.")
            % {"one": filesize(verdict.virtual_size), "other": filesize(info.virtual_size)}
        )
