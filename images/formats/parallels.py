"""Parallels (ploop) expandable images: header and block map."""

from django.utils.translation import gettext as _

from images.formats.signatures import PARALLELS
from images.formats.view import Facts, View, damaged, numbers, refuse

IN_USE = 0x746F6E59


def check(view: View, facts: Facts) -> None:
    """Accept an expandable Parallels image that was closed properly and whose blocks lie within the file."""
    magic = view.read(0, 16)
    if magic not in PARALLELS:
        raise refuse(_("The file is not a Parallels image."))
    extended = magic == PARALLELS[1]
    version, _heads, _cylinders, tracks, entries, sectors = view.unpack("<IIIIIQ", 16)
    in_use, _data_at, _flags, extension = view.unpack("<IIIQ", 44)
    if version != 2:
        raise refuse(_("The Parallels image has a version this server does not support. Convert it to QCOW2."))
    if in_use == IN_USE or extension:
        raise refuse(_("The Parallels image was not closed properly or has extensions. Close it with the program that made it."))
    if not extended:
        sectors &= 0xFFFFFFFF
    facts.version = "2"
    facts.set_virtual_size(sectors * 512)
    if not 1 <= tracks <= 2**22:
        raise damaged(_("its block size is out of range"))
    if entries * tracks < sectors or not view.within(64, entries * 4):
        raise damaged(_("its block map does not fit the size of the disk"))
    table = view.table(64, entries * 4)
    if table is None or not table:
        return
    top = max(numbers(table, "I")) * (tracks if extended else 1) * 512
    if top and not view.within(top):
        raise damaged(_("a part of its disk lies beyond the end of the file"))
