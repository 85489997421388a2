"""ISO 9660: the primary volume descriptor at sector 16."""

import struct

from django.conf import settings
from django.utils.translation import gettext as _

from dashboard.core.units import filesize
from images.formats.view import Facts, View, refuse, too_large

AT, SECTOR = 0x8000, 2048


def check(view: View, facts: Facts) -> None:
    """Accept an ISO 9660 or UDF disc image; its size, for a machine that reads it, is that of the file."""
    descriptor = view.read(AT, SECTOR)
    if descriptor[1:6] not in (b"CD001", b"NSR02", b"NSR03"):
        raise refuse(_("The file is not an ISO image."))
    if descriptor[0] == 1:
        (blocks,) = struct.unpack_from("<I", descriptor, 80)
        (block,) = struct.unpack_from("<H", descriptor, 128)
        claimed = blocks * block
        if claimed > settings.IMAGE_SIZE_CAP:
            raise too_large(claimed)
        if view.size is not None and claimed > view.size:
            facts.notes.append(
                _("The disc states a size of %(stated)s, but the file has only %(size)s; perhaps it is incomplete.")
                % {"stated": filesize(claimed), "size": filesize(view.size)}
            )
    if view.size is None:
        return
    facts.set_virtual_size(view.size)
