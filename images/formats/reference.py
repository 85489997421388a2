"""oslo.utils' format_inspector, the judge of image formats that Glance, Nova and Cinder share, asked for a second opinion."""

import logging
from typing import Any

from django.utils.translation import gettext as _
from oslo_utils.imageutils import format_inspector

from images.formats.view import refuse

# It writes lines of the file into the log; our own refusal says what is needed.
logging.getLogger(format_inspector.__name__).setLevel(logging.CRITICAL)

HEAD = 2**20
# How much of the file an inspector sees when asked for the format. VHDX: the mark only, for oslo then reads tables of
# thousands of entries at every piece (see vhdx.py). VMDK: a sector, for a text that is not ASCII further on breaks it; what
# is a descriptor, signatures.py says.
PIECE = {"vhdx": 64 * 2**10, "vmdk": 512}
JUDGES = {"qcow2", "gpt", "luks", "vmdk"}  # those with safety checks


def families(head: bytes) -> set[str]:
    """The formats that oslo.utils sees in the first mebibyte. An inspector that breaks is a refusal."""
    found = set()
    for name, kind in format_inspector.ALL_FORMATS.items():
        if name == "raw":
            continue
        inspector = kind()
        try:
            inspector.eat_chunk(head[: PIECE.get(name, HEAD)])
        except format_inspector.ImageFormatError:
            continue  # its way to say "not mine"
        if inspector.format_match:
            found.add(name)
    return found


def judge(name: str, head: bytes, tail: bytes = b"") -> None:
    """Run oslo's safety checks of one format over head and tail of a complete file."""
    if name not in JUDGES:
        return
    inspector: Any = format_inspector.ALL_FORMATS[name]()
    try:
        inspector.eat_chunk(head[:HEAD])
        if len(head) > HEAD or tail:
            inspector.eat_chunk(tail)
        inspector.finish()
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as failure:
        if name == "gpt":
            raise refuse(_("The disk has a boot sector whose partition table is empty or wrong. Partition the disk anew.")) from None
        raise refuse(
            _("The file fails the safety check of its format (%(checks)s).") % {"checks": ", ".join(sorted(failure.failures))[:80]}
        ) from None
    except format_inspector.ImageFormatError:
        raise refuse(_("The file fails the safety check of its format.")) from None
