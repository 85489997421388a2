"""OVA (DMTF's Open Virtualization Format, packed in a tar): its members, and which of them is the disk."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from images.formats import signatures
from images.formats.view import View, damaged, refuse

BLOCK = 512
MEMBERS_MAX = 16
TEXT_MAX = 2**20
COMPANIONS = (".ovf", ".mf", ".cert", ".nvram", ".txt", ".strings")
PLAIN_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f:]{1,100}")
# What tar programs add about a member without changing what it is called or how long it is.
HARMLESS_KEYS = {b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname"}
HREF = re.compile(rb"""href\s*=\s*["']([^"']*)["']""")
MANIFEST_LINE = re.compile(rb"SHA(?:1|256|512)\s*\(([^)]*)\)\s*=\s*[0-9A-Fa-f]+\s*")


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    offset: int
    size: int


def disk(view: View) -> Member:
    """The one disk of the package, after a look at everything else in it."""
    if not signatures.tar(view.read(0, BLOCK)):
        raise refuse(_("The file is not an OVA package (a tar archive). Choose “bare” as its container format."))
    members: list[Member] = []
    for member in walk(view):
        members.append(member)
        if len(members) > MEMBERS_MAX:
            raise refuse(_("The OVA package has more than %(count)d parts.") % {"count": MEMBERS_MAX})
    names = {member.name for member in members}
    if len(names) != len(members):
        raise damaged(_("two parts of the package have the same name"))
    descriptions = [member for member in members if member.name.lower().endswith(".ovf")]
    disks = [member for member in members if not member.name.lower().endswith(COMPANIONS)]
    if len(descriptions) != 1:
        raise refuse(_("The OVA package has no description (.ovf), or more than one."))
    if len(disks) != 1:
        raise refuse(_("The OVA package must contain exactly one disk. Unpack it and upload its disks one by one."))
    _check_description(view, descriptions[0], names)
    for member in members:
        if member.name.lower().endswith(".mf"):
            _check_manifest(view, member, names)
    return disks[0]


def walk(view: View) -> Iterator[Member]:
    """The regular files of a tar, one header at a time; anything else in it is a refusal."""
    at = 0
    for _count in range(4 * MEMBERS_MAX):
        if not view.within(at, BLOCK):
            return
        header = view.read(at, BLOCK)
        if not any(header):
            return
        kind, size = header[156:157], _number(header[124:136])
        if _number(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * 32:
            raise damaged(_("a checksum in the package is wrong"))
        if not view.within(at + BLOCK, size):
            raise damaged(_("a part of the package is longer than the file"))
        if kind in (b"x", b"g"):
            _check_extended(view, at + BLOCK, size)
        elif kind in (b"0", b"\0"):
            yield Member(_name(header), at + BLOCK, size)
        else:
            raise refuse(_("The package contains links, devices or folders; only plain files are accepted."))
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
    raise refuse(_("The package consists of too many parts."))


def _number(field: bytes) -> int:
    """An octal number; or one in base 256, which no package needs, as too large."""
    if field[0] & 0x80:
        return 2**63
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise damaged(_("a header in the package is wrong")) from None


def _name(header: bytes) -> str:
    if header[345:500].strip(b"\0"):
        raise refuse(_("The package contains folders; only plain files are accepted."))
    name = header[:100].split(b"\0", 1)[0].decode("utf-8", "replace").removeprefix("./")
    if not PLAIN_NAME.fullmatch(name):
        raise refuse(_("The package contains a file name that is not allowed."))
    return name


def _check_extended(view: View, at: int, size: int) -> None:
    """A pax header may state times and owners, not names and sizes: other programs would see another package."""
    if size > 4096:
        raise damaged(_("a header in the package is wrong"))
    data = view.read(at, size)
    while data:
        digits, _space, _rest = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 5 else 0
        record, data = data[:length], data[length:]
        key = record[len(digits) + 1 :].partition(b"=")[0]
        if not record.endswith(b"\n") or key not in HARMLESS_KEYS:
            raise refuse(_("The package uses features of tar that are not accepted. Pack it as plain ustar."))


def _check_description(view: View, member: Member, names: set[str]) -> None:
    if member.size > TEXT_MAX:
        raise refuse(_("The description in the OVA package is too long."))
    text = view.read(member.offset, member.size)
    if b"\0" in text or b"<!" in text.replace(b"<!--", b""):
        raise refuse(_("The description in the OVA package contains declarations that are not accepted."))
    for href in HREF.findall(text):
        if href.decode("utf-8", "replace") not in names:
            raise refuse(_("The description in the OVA package refers to a file that is not in it."))


def _check_manifest(view: View, member: Member, names: set[str]) -> None:
    if member.size > TEXT_MAX:
        raise refuse(_("The manifest in the OVA package is too long."))
    for line in view.read(member.offset, member.size).splitlines():
        found = MANIFEST_LINE.fullmatch(line)
        if line.strip() and (not found or found[1].decode("utf-8", "replace") not in names):
            raise refuse(_("The manifest in the OVA package refers to a file that is not in it."))
