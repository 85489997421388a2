"""Names of kinds and steps as people read them."""

from django.utils.translation import gettext_lazy as _

STEPS: dict[str, object] = {
    "send": _("Sending"),
    "download": _("Downloading"),
    "verify": _("Verifying"),
    "inspect": _("Inspecting"),
    "convert": _("Converting"),
    "hash": _("Hashing"),
    "store": _("Storing"),
    "activate": _("Activating"),
}
KINDS: dict[str, object] = {
    "images.import": _("Import of an image"),
    "images.upload": _("Upload of an image"),
}


def step(name: str) -> str:
    """ "Converting" for "convert"; a name without a label is shown as it is."""
    return str(STEPS.get(name, name.replace("_", " ").capitalize()))


def kind(name: str) -> str:
    """ "Import of an image" for "images.import"."""
    return str(KINDS.get(name, name))
