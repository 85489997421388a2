"""LUKS version 1 (on-disk format 1.2): cipher, key slots, where the data begins."""

import struct

from django.utils.translation import gettext as _

from images.formats.view import Facts, View, damaged, refuse

SLOTS_AT, SLOT, SLOTS = 208, 48, 8
ACTIVE, INACTIVE = 0x00AC71F3, 0x0000DEAD
ITERATIONS_MAX = 12_000_000  # the limit oslo.utils sets: more only burns the time of whoever opens it
SECTOR = 512


def check(view: View, facts: Facts) -> None:
    """Accept a LUKS 1 volume whose key slots and data lie within the file. The disk inside stays unknown."""
    if view.read(0, 6) != b"LUKS\xba\xbe":
        raise refuse(_("The file is not a LUKS volume."))
    (version,) = view.unpack(">H", 6)
    if version != 1:
        raise refuse(_("The LUKS volume has a version other than 1. Convert it with cryptsetup convert --type luks1."))
    header = view.read(0, SLOTS_AT + SLOT * SLOTS)
    facts.version = "1"
    data_at, key_bytes = struct.unpack_from(">II", header, 104)
    (iterations,) = struct.unpack_from(">I", header, 164)
    if not 8 <= key_bytes <= 128:
        raise damaged(_("its key length is out of range"))
    for at in range(SLOTS_AT, SLOTS_AT + SLOT * SLOTS, SLOT):
        state, slot_iterations = struct.unpack_from(">II", header, at)
        material_at, stripes = struct.unpack_from(">II", header, at + 40)
        if state == INACTIVE or not state:
            continue
        if state != ACTIVE or not 1 <= stripes <= 4000 or not view.within(material_at * SECTOR, key_bytes * stripes):
            raise damaged(_("a key slot is wrong"))
        iterations = max(iterations, slot_iterations)
    if iterations > ITERATIONS_MAX:
        raise damaged(_("it asks for an absurd amount of computing to unlock it"))
    if not view.within(data_at * SECTOR):
        raise damaged(_("its data lies beyond the end of the file"))
    if view.size is not None:
        facts.set_virtual_size(view.size - data_at * SECTOR)
