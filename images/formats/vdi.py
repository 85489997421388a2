"""VDI (VirtualBox): header and block map."""

from django.utils.translation import gettext as _

from images.formats.signatures import VDI_MAGIC
from images.formats.view import Facts, View, damaged, numbers, refuse

DYNAMIC, STATIC = 1, 2
BLOCK = 2**20  # the only block size in use, and the only one qemu opens
UNUSED = 0xFFFFFFFE  # this and the next number mark blocks without data


def check(view: View, facts: Facts) -> None:
    """Accept a VDI without a parent whose block map fits the disk and lies within the file."""
    if view.read(0x40, 4) != VDI_MAGIC:
        raise refuse(_("The file is not a VDI image."))
    version, _header_size, kind = view.unpack("<III", 0x44)
    map_at, data_at = view.unpack("<II", 0x154)
    size, block, extra, blocks, allocated = view.unpack("<QIIII", 0x170)
    if version != 0x00010001:
        raise refuse(_("The VDI has a version this server does not support. Convert it with qemu-img convert -O vdi."))
    if any(view.read(0x1A8, 32)) or kind not in (DYNAMIC, STATIC):
        raise refuse(_("The VDI refers to a parent disk or is of an unusual kind; images must stand alone. Clone it as a full disk."))
    facts.version = "1.1"
    facts.subformat = "dynamic" if kind == DYNAMIC else "static"
    facts.set_virtual_size(size)
    if block != BLOCK or extra:
        raise damaged(_("its block size is out of range"))
    if blocks * BLOCK < size or blocks * BLOCK >= size + 2 * BLOCK or allocated > blocks:
        raise damaged(_("its block map does not fit the size of the disk"))
    if map_at < 512 or map_at % 512 or data_at % 512 or data_at < map_at + blocks * 4 or not view.within(map_at, blocks * 4):
        raise damaged(_("its block map lies outside the file"))
    table = view.table(map_at, blocks * 4)
    if table is None:
        return
    used = [number for number in numbers(table, "I") if number < UNUSED]
    if len(set(used)) != len(used):
        raise damaged(_("parts of its disk share one block"))
    if used and (max(used) >= blocks or not view.within(data_at + max(used) * BLOCK)):
        raise damaged(_("a part of its disk lies beyond the end of the file"))
