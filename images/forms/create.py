"""The form that makes an image, and its first half: where the bytes come from."""

from typing import Any
from urllib.parse import unquote, urlsplit

from django import forms
from django.conf import settings
from django.core.validators import URLValidator
from django.utils.translation import gettext_lazy as _

from dashboard.core import qemu_img
from dashboard.core.context import RequestContext
from dashboard.core.errors import BadRequest
from images.forms.record import PROPERTIES, RecordForm, set_choices
from images.models import Image
from images.services import catalogue, checksums

FILE, URL = "file", "url"
TARGETS = ("raw", "qcow2")
SUFFIXES = {
    "qcow2": "qcow2", "qcow": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhdx": "vhdx", "vhd": "vhd", "vpc": "vhd",
    "iso": "iso", "raw": "raw", "luks": "luks",
}  # fmt: skip
FORMAT_NAMES = {
    "qcow2": "QCOW2 – QEMU", "raw": "Raw", "vmdk": "VMDK – VMware", "vdi": "VDI – VirtualBox", "vhdx": "VHDX – Hyper-V",
    "vhd": "VHD – Virtual PC, Azure", "iso": "ISO – optical disc", "luks": "LUKS – encrypted", "ploop": "Ploop – Virtuozzo",
    "ami": "AMI – Amazon machine", "ari": "ARI – Amazon ramdisk", "aki": "AKI – Amazon kernel",
}  # fmt: skip


def suffix_format(name: str) -> str | None:
    """The disk format a file name's suffix stands for; None when it tells nothing (.img, .bin)."""
    return SUFFIXES.get(name.rsplit(".", 1)[-1].lower()) if "." in name else None


def container_format(disk_format: str) -> str:
    """Amazon's three parts are their own containers; everything else comes bare."""
    return disk_format if disk_format in {"ami", "ari", "aki"} else "bare"


def url_filename(url: str) -> str:
    return unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]


class SourceForm(forms.Form):
    """Where an image's bytes come from: a file of this computer, sent after the form, or a URL the server fetches.

    `filename` and `length` are filled in by the page's script for the file it is about to send.
    """

    source = forms.ChoiceField(choices=[(FILE, _("Files")), (URL, _("URL"))])
    url = forms.CharField(
        label=_("URL"), required=False, max_length=2000, widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"})
    )
    disk_format = forms.ChoiceField(label=_("Format"), required=False)
    target_format = forms.ChoiceField(label=_("Store as"), required=False)
    checksum = forms.CharField(
        label=_("Checksum"),
        required=False,
        max_length=65536,
        widget=forms.Textarea(attrs={"rows": 1, "class": "font-monospace", "spellcheck": "false"}),
        help_text=_("Optional. The md5, sha256 or sha512 sum, or a line of a SHA256SUMS file; the image is refused if it does not match."),
    )
    filename = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)
    length = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, ctx: RequestContext, **kwargs: Any) -> None:
        self.ctx = ctx
        super().__init__(*args, **kwargs)
        can_convert = qemu_img.available()
        formats = [(f, FORMAT_NAMES.get(f, f.upper())) for f in FORMAT_NAMES if f in settings.DISK_FORMATS]
        formats += [(f, f.upper()) for f in settings.DISK_FORMATS if f not in FORMAT_NAMES]
        set_choices(self, "disk_format", [("", _("Recognised from the file")), *formats])
        targets = [(t, FORMAT_NAMES[t]) for t in TARGETS if t in settings.DISK_FORMATS] if can_convert else []
        set_choices(self, "target_format", [("", _("As it is")), *targets])
        if not can_convert:
            self.fields["target_format"].disabled = True
            self.fields["target_format"].help_text = _(
                "Conversion is switched off: qemu-img is not installed on the server. "
                "To have it, an administrator runs: sudo apt-get install qemu-utils"
            )

    @property
    def from_url(self) -> bool:
        return bool(self.cleaned_data.get("source") == URL)

    @property
    def expected(self) -> dict[str, str] | None:
        """The checksum to verify, as {"algo", "value"}."""
        value: dict[str, str] | None = self.cleaned_data.get("expected")
        return value

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("source") == URL:
            self._clean_url(data)
        elif data.get("source") == FILE:
            self._clean_file(data)
        try:
            data["expected"] = checksums.parse(data.get("checksum", ""), data.get("filename", ""))
        except BadRequest as error:
            self.add_error("checksum", str(error))
        return data

    def changes(self, image: Image) -> catalogue.Changes:
        """What this source changes about an image that waits for its bytes: the format, when it is another."""
        disk_format = self.cleaned_data["disk_format"]
        if disk_format == image.disk_format and image.container_format:
            return {}
        return {"disk_format": disk_format, "container_format": container_format(disk_format)}

    def _clean_url(self, data: dict[str, Any]) -> None:
        url = data["url"] = data.get("url", "").strip()
        if not url:
            self.add_error("url", _("Give the URL of the file."))
            return
        try:
            URLValidator(schemes=["http", "https"])(url)
        except forms.ValidationError:
            self.add_error("url", _("This is not the URL of a file; it should read https://host/path/file.qcow2."))
            return
        data["filename"] = url_filename(url)
        data["disk_format"] = data.get("disk_format") or suffix_format(data["filename"])
        if not data["disk_format"]:
            self.add_error("disk_format", _("The URL does not tell the format; choose it."))

    def _clean_file(self, data: dict[str, Any]) -> None:
        if data.get("length") is None:
            self.add_error(None, _("Choose a file. Sending one needs JavaScript; without it, give a URL instead."))
        elif data["length"] == 0:
            self.add_error(None, _("“%(name)s” is empty.") % {"name": data.get("filename")})
        data["disk_format"] = data.get("disk_format") or "raw"


class CreateForm(RecordForm, SourceForm):
    """Everything asked for when an image is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("source", FILE)
        self.fields["name"].help_text = _("Empty: the file’s name without its suffix.")

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not data.get("name"):
            data["name"] = _stem(data.get("filename", ""))
        return data

    def image_fields(self) -> dict[str, Any]:
        """The keywords of `catalogue.create`."""
        data = self.cleaned_data
        disk_format = data["disk_format"]
        return {
            "name": data["name"],
            "visibility": data["visibility"],
            "protected": data["protected"],
            "disk_format": disk_format,
            "container_format": container_format(disk_format),
            "min_disk": data["min_disk"],
            "min_ram": data["min_ram"],
            "tags": data["tags"],
            "properties": {name: data[name] for name in PROPERTIES if data[name]},
        }


def _stem(filename: str) -> str:
    """The file's name without the suffix of a disk format."""
    stem, dot, suffix = filename.rpartition(".")
    return stem if dot and stem and suffix.lower() in {*SUFFIXES, "img", "bin"} else filename
