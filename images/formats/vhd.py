"""VHD (Microsoft's Virtual Hard Disk 1.0), dynamic: footer and its copy in front, sparse header, block allocation table."""

import struct

from django.utils.translation import gettext as _

from images.formats.view import Facts, View, damaged, numbers, power_of_two, refuse

DYNAMIC, DIFFERENCING = 3, 4
CHS_MAX = 65535 * 16 * 255 * 512  # what geometry can express; larger disks go by the size field alone
CHS_SLACK = 4 * 2**20
# Programs whose size field counts for every reader; qemu's force_size writes the largest geometry beside it.
BY_SIZE = {b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0"}
EMPTY = 2**32 - 1


def check(view: View, facts: Facts) -> None:
    """Accept a dynamic VHD without a parent whose two footers agree and whose blocks lie within the file."""
    footer = view.read(0, 512)
    if not footer.startswith(b"conectix"):
        raise refuse(_("The file is not a dynamic VHD. A fixed VHD must be converted first: qemu-img convert -O vpc -o subformat=dynamic."))
    size, kind, header_at = _check_footer(footer)
    facts.subformat = "dynamic"
    facts.set_virtual_size(size)
    header = view.read(header_at, 1024)
    table_at, entries = _check_header(header, size)
    if not view.within(table_at, entries * 4):
        raise damaged(_("its block table lies outside the file"))
    table = view.table(table_at, entries * 4)
    if table is not None:
        # A generator: a list of the largest table would take half a gigabyte.
        last_block = max((place for place in numbers(table, "I", big=True) if place != EMPTY), default=0)
        if not view.within(last_block * 512):
            raise damaged(_("a part of its disk lies beyond the end of the file"))
    last = view.tail(512)
    if not last.startswith(b"conectix"):
        raise damaged(_("the footer at its end is missing; perhaps the file is incomplete"))
    if _check_footer(last) != (size, kind, header_at):
        raise damaged(_("the footers at its two ends contradict each other"))


def _check_footer(footer: bytes) -> tuple[int, int, int]:
    """Size of the disk, kind, and where the sparse header is."""
    if not _checksum_holds(footer, 0x40):
        raise damaged(_("the checksum of its footer is wrong"))
    (header_at,) = struct.unpack_from(">Q", footer, 0x10)
    (size,) = struct.unpack_from(">Q", footer, 0x30)
    cylinders, heads, sectors, kind = struct.unpack_from(">HBBI", footer, 0x38)
    if kind == DIFFERENCING:
        raise refuse(_("The VHD refers to a parent disk; images must stand alone. Merge it with its parent first."))
    if kind != DYNAMIC:
        raise refuse(_("Only dynamic VHD images are accepted. Convert it with qemu-img convert -O vpc -o subformat=dynamic."))
    # Readers disagree on which of the two sizes counts, so they have to be the same, the last cylinder aside.
    by_geometry = cylinders * heads * sectors * 512
    beyond_geometry = by_geometry == CHS_MAX and (size > by_geometry or footer[0x1C:0x20] in BY_SIZE)
    if abs(by_geometry - size) > CHS_SLACK and not beyond_geometry:
        raise damaged(_("its two statements of the disk's size contradict each other"))
    return size, kind, header_at


def _check_header(header: bytes, size: int) -> tuple[int, int]:
    """Where the block table is, and how many entries it has."""
    if not header.startswith(b"cxsparse"):
        raise damaged(_("its second header is missing"))
    if not _checksum_holds(header, 0x24):
        raise damaged(_("the checksum of its second header is wrong"))
    (table_at,) = struct.unpack_from(">Q", header, 0x10)
    entries, block = struct.unpack_from(">II", header, 0x1C)
    if any(header[0x28:0x38]) or any(header[0x40:0x240]):
        raise refuse(_("The VHD refers to a parent disk; images must stand alone. Merge it with its parent first."))
    if not power_of_two(block) or not 512 <= block <= 256 * 2**20:
        raise damaged(_("its block size is out of range"))
    if entries * block < size:
        raise damaged(_("its block table does not fit the size of the disk"))
    return table_at, entries


def _checksum_holds(data: bytes, at: int) -> bool:
    (stated,) = struct.unpack_from(">I", data, at)
    return bool(stated == ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF)
