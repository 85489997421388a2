"""VMDK (VMware's Virtual Disk Format 5.0): a sparse extent in one file, monolithicSparse or streamOptimized."""

import re
import struct

from django.utils.translation import gettext as _

from images.formats.view import Facts, View, damaged, numbers, power_of_two, refuse

SECTOR = 512
AT_END = 2**64 - 1
FOOTER = 3
CREATE_TYPES = {b"monolithicsparse": "monolithicSparse", b"streamoptimized": "streamOptimized"}
FIELD = re.compile(rb'([A-Za-z][A-Za-z0-9_.]*)=\s*("[^"]*"|[^\s"]*)')
EXTENT = re.compile(rb'(?:RW|RDONLY)[ \t]+(\d{1,19})[ \t]+SPARSE[ \t]+"([^"/\\:%\x00-\x1f]{1,255})"(?:[ \t]+0)?', re.IGNORECASE)
DISK_DATABASE = re.compile(rb"ddb\.[A-Za-z0-9_.]+\s*=.*", re.IGNORECASE)
ORPHAN = {b"ffffffff", b"4294967295", b"-1"}


class Header:
    """The sparse extent header, from the head of the file or from its footer."""

    def __init__(self, data: bytes) -> None:
        (self.magic, self.version, self.flags, self.capacity, self.grain, self.descriptor, self.descriptor_size) = struct.unpack_from(
            "<4sIIQQQQ", data
        )
        (self.per_table, _redundant, self.directory, self.overhead) = struct.unpack_from("<IQQQ", data, 44)
        (self.compression,) = struct.unpack_from("<H", data, 77)

    def identity(self) -> tuple[object, ...]:
        """What head and footer must agree on."""
        return (self.magic, self.version, self.flags, self.capacity, self.grain, self.descriptor, self.descriptor_size, self.per_table)


def check(view: View, facts: Facts) -> None:
    """Accept a VMDK whose only extent is the file itself, without a parent, and whose tables lie within the file."""
    if view.read(0, 4) != b"KDMV":
        raise refuse(
            _("The VMDK is a descriptor or an old format that keeps the disk in other files. Convert it to one monolithicSparse VMDK.")
        )
    header = Header(view.read(0, SECTOR))
    _check_header(header)
    facts.version = str(header.version)
    facts.subformat = _check_descriptor(view.read(SECTOR, header.descriptor_size * SECTOR))
    facts.set_virtual_size(header.capacity * SECTOR)
    if header.directory == AT_END:
        header = _footer(view, header)
    _check_tables(view, header)


def _check_header(header: Header) -> None:
    if header.version not in (1, 2, 3):
        raise refuse(_("The VMDK has a version this server does not support. Convert it with qemu-img convert -O vmdk."))
    if not power_of_two(header.grain) or not 8 <= header.grain <= 2**16:
        raise damaged(_("its grain size is out of range"))
    if header.per_table != SECTOR:
        raise damaged(_("its table length is out of range"))
    if header.compression > 1:
        raise damaged(_("its compression is unknown"))
    # 2047 sectors: qemu reads no more than a mebibyte.
    if header.descriptor != 1 or not 1 <= header.descriptor_size <= 2047:
        raise damaged(_("its descriptor is not where it belongs"))


def _check_descriptor(data: bytes) -> str:
    """The embedded text, line by line; a line that is not understood is a refusal. Returns the create type."""
    text, _zero, rest = data.partition(b"\0")
    if rest.strip(b"\0") or not text.isascii():
        raise damaged(_("its descriptor contains more than text"))
    low = text.lower()
    # qemu searches the whole text, comments included.
    if b"parentfilenamehint" in low:
        raise refuse(_("The VMDK refers to a parent disk; images must stand alone. Flatten it with qemu-img convert."))
    if low.count(b"createtype") != 1 or low.count(b"parentcid") > 1:
        raise damaged(_("its descriptor contradicts itself"))
    fields: dict[bytes, bytes] = {}
    extents = []
    for line in (part.strip() for part in text.split(b"\n")):
        if not line or line.startswith(b"#") or DISK_DATABASE.fullmatch(line):
            continue
        if found := FIELD.fullmatch(line):
            fields[found[1].lower()] = found[2].strip(b'"').lower()
        elif found := EXTENT.fullmatch(line):
            extents.append(int(found[1]))
        else:
            raise refuse(_("The VMDK refers to other files or its descriptor cannot be understood. Convert it with qemu-img convert."))
    if fields.get(b"parentcid", b"ffffffff") not in ORPHAN:
        raise refuse(_("The VMDK refers to a parent disk; images must stand alone. Flatten it with qemu-img convert."))
    kind = CREATE_TYPES.get(fields.get(b"createtype", b""))
    if kind is None:
        raise refuse(_("Only VMDK images of type monolithicSparse or streamOptimized are accepted. Convert it with qemu-img convert."))
    if len(extents) != 1:
        raise refuse(_("The VMDK consists of several parts; the disk must be in one file. Convert it with qemu-img convert."))
    return kind


def _footer(view: View, header: Header) -> Header:
    """The header at the end of a streamed VMDK, which takes precedence; it must agree with the one in front."""
    tail = view.tail(3 * SECTOR)
    if len(tail) < 3 * SECTOR:
        raise damaged(_("its footer is missing"))
    for marker, kind in ((tail[:SECTOR], FOOTER), (tail[2 * SECTOR :], 0)):
        _value, size, found = struct.unpack_from("<QII", marker)
        if size or found != kind or any(marker[16:]):
            raise damaged(_("its footer is missing or wrong; perhaps the file is incomplete"))
    footer = Header(tail[SECTOR : 2 * SECTOR])
    if footer.identity() != header.identity() or footer.directory == AT_END:
        raise damaged(_("its footer contradicts its header"))
    return footer


def _check_tables(view: View, header: Header) -> None:
    """Each grain table is used once, and tables and grains begin inside the file."""
    count = -(-header.capacity // (header.grain * header.per_table))
    directory = view.table(header.directory * SECTOR, count * 4)
    if directory is None:
        return
    places = [place for place in numbers(directory, "I") if place]
    if len(set(places)) != len(places):
        raise damaged(_("parts of its disk share one table"))
    for place in places:
        if not view.within(place * SECTOR, header.per_table * 4):
            raise damaged(_("a table lies outside the file"))
        table = view.table(place * SECTOR, header.per_table * 4)
        if table is None:
            return
        top = max(numbers(table, "I"))
        if top > 1 and not view.within(top * SECTOR):
            raise damaged(_("a part of its disk lies beyond the end of the file"))
