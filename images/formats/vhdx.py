"""VHDX (Microsoft's MS-VHDX): headers, region table, metadata, block allocation table."""

import uuid

from django.utils.translation import gettext as _

from images.formats.view import Facts, View, damaged, numbers, power_of_two, refuse

KIB, MIB = 2**10, 2**20
HEADERS_AT = (64 * KIB, 128 * KIB)
REGIONS_AT = 192 * KIB
# The standard allows 2047 of each; files have two regions and five items, and reading thousands helps nobody.
REGIONS_MAX, ITEMS_MAX = 64, 64
BAT = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08").bytes_le
METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
FILE_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le
DISK_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8").bytes_le
LOGICAL_SECTOR = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F").bytes_le
PARENT_LOCATOR = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").bytes_le
HAS_PARENT = 2
STATES = {0, 1, 2, 3, 6}  # 7 is "partly in the parent"


def check(view: View, facts: Facts) -> None:
    """Accept a VHDX without a parent or an unwritten log, whose metadata is complete and whose blocks lie within the file."""
    if view.read(0, 8) != b"vhdxfile":
        raise refuse(_("The file is not a VHDX image."))
    _check_headers(view)
    regions = _regions(view)
    if BAT not in regions or METADATA not in regions:
        raise damaged(_("a region it needs is missing"))
    items = _metadata(view, *regions[METADATA])
    if PARENT_LOCATOR in items:
        raise _parent()
    if not {FILE_PARAMETERS, DISK_SIZE, LOGICAL_SECTOR} <= items.keys():
        raise damaged(_("the size of its disk is not stated"))
    block, flags = view.unpack("<II", items[FILE_PARAMETERS])
    if flags & HAS_PARENT:
        raise _parent()
    (size,) = view.unpack("<Q", items[DISK_SIZE])
    (sector,) = view.unpack("<I", items[LOGICAL_SECTOR])
    if not power_of_two(block) or not MIB <= block <= 256 * MIB:
        raise damaged(_("its block size is out of range"))
    if sector not in (512, 4096):
        raise damaged(_("its sector size is out of range"))
    facts.set_virtual_size(size)
    facts.subformat = "fixed" if flags & 1 else "dynamic"
    _check_blocks(view, regions[BAT], size, block, sector)


def _parent() -> Exception:
    return refuse(_("The VHDX refers to a parent disk; images must stand alone. Merge it with its parent first."))


def _check_headers(view: View) -> None:
    """Of the two headers the valid one with the higher sequence number counts; its log must be empty."""
    current, log = -1, b""
    for at in HEADERS_AT:
        signature, _crc, sequence = view.unpack("<4sIQ", at)
        if signature == b"head" and sequence > current:
            current, log = sequence, view.read(at + 48, 16)
    if current < 0:
        raise damaged(_("its headers are missing"))
    if any(log):
        raise refuse(_("The VHDX was not closed properly: its log holds changes. Open and close it with the program that made it."))


def _regions(view: View) -> dict[bytes, tuple[int, int]]:
    signature, _crc, count = view.unpack("<4sII", REGIONS_AT)
    if signature != b"regi" or count > REGIONS_MAX:
        raise damaged(_("its region table is wrong"))
    found: dict[bytes, tuple[int, int]] = {}
    for index in range(count):
        kind, offset, length, required = view.unpack("<16sQII", REGIONS_AT + 16 + 32 * index)
        if kind in found or (required & 1 and kind not in (BAT, METADATA)):
            raise damaged(_("its region table is wrong"))
        if offset < MIB or offset % MIB or not view.within(offset, length):
            raise damaged(_("a region lies outside the file"))
        found[kind] = (offset, length)
    return found


def _metadata(view: View, at: int, length: int) -> dict[bytes, int]:
    """Where each metadata item is in the file."""
    signature, _reserved, count = view.unpack("<8sHH", at)
    if signature != b"metadata" or count > ITEMS_MAX:
        raise damaged(_("its metadata table is wrong"))
    items: dict[bytes, int] = {}
    for index in range(count):
        kind, offset, size = view.unpack("<16sII", at + 32 + 32 * index)
        if kind in items or (size and (offset < 64 * KIB or offset + size > length)):
            raise damaged(_("its metadata table is wrong"))
        items[kind] = at + offset
    return items


def _check_blocks(view: View, region: tuple[int, int], size: int, block: int, sector: int) -> None:
    """Each block's state is one of a disk without parent and its place is in the file."""
    at, length = region
    ratio = 2**23 * sector // block  # after so many blocks comes one entry for a sector bitmap
    blocks = -(-size // block)
    entries = blocks + (blocks - 1) // max(ratio, 1)
    if entries * 8 > length:
        raise damaged(_("its block table does not fit the size of the disk"))
    table = view.table(at, entries * 8)
    if table is None:
        return
    if {low & 7 for low in set(table[0::8])} - STATES:
        raise damaged(_("its block table is wrong"))
    top = max(numbers(table, "Q")) >> 20 << 20
    if top and not view.within(top):
        raise damaged(_("a part of its disk lies beyond the end of the file"))
