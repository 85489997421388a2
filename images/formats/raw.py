"""Raw disks, and kernels and ramdisks, which are kept as they are: nothing will ever interpret their first bytes."""

from django.utils.translation import gettext as _

from images.formats import signatures
from images.formats.view import Facts, View, refuse

HEAD = 2**20


def check(view: View, facts: Facts) -> None:
    """Accept plain bytes; refuse documents, which are a mistaken upload."""
    head = view.read(0, min(HEAD, view.available))
    if kind := signatures.picture(head):
        raise refuse(_("The file is a document or picture (%(kind)s), not a disk image. Choose the image file itself.") % {"kind": kind})
    if kind := signatures.compressed(head):
        facts.notes.append(_("The file is compressed (%(kind)s) and is kept as it is; a machine cannot start from it.") % {"kind": kind})
    if view.size is None:
        return
    facts.set_virtual_size(view.size)
    if view.available == view.size and view.size > 512 and view.tail(512).startswith(b"conectix"):
        facts.notes.append(_("The file ends with the footer of a fixed VHD."))
