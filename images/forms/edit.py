"""The edit form: it knows what it showed, so that only what the person changed is written."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.core.context import RequestContext
from images import policy
from images.models import Image, Visibility
from images.presentation import VISIBILITY_ICONS, VISIBILITY_MEANING, ImageView
from images.states import Status

BASE = ("name", "min_disk", "min_ram", "visibility", "protected", "disk_format")
PROPERTIES = ("description", "architecture")  # custom properties that have a field of their own
ARCHITECTURES = ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "riscv64", "s390x")
GATES = {Visibility.PUBLIC: "publicize_image", Visibility.COMMUNITY: "communitize_image"}


@dataclass(frozen=True)
class VisibilityChoice:
    value: str
    label: str
    meaning: str
    icon: str
    refused: str  # why it cannot be chosen; "" when it can


def visibility_choices(ctx: RequestContext, image: Image | None = None) -> list[VisibilityChoice]:
    """Every visibility with what it means, and why it is closed to this person where it is."""
    choices = []
    for value in Visibility:
        gate = GATES.get(value)
        open_ = gate is None or (image is not None and image.visibility == value) or policy.allows(ctx, gate, image)
        refused = "" if open_ else _("Only those whom the rule “%(rule)s” allows may choose this.") % {"rule": gate}
        choices.append(VisibilityChoice(value, str(value.label), str(VISIBILITY_MEANING[value]), VISIBILITY_ICONS[value], refused))
    return choices


class EditForm(forms.Form):
    """Everything that may be changed about an image in any living state.

    `before` carries what the form showed when it was opened. `changes()` compares with that, never with the row as it is now:
    what others changed meanwhile survives, and a clash on one field is pointed out once before it is overwritten.
    """

    name = forms.CharField(label=gettext_lazy("Name"), max_length=255, required=False)
    description = forms.CharField(label=gettext_lazy("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    tags = forms.CharField(
        label=gettext_lazy("Tags"),
        required=False,
        max_length=40000,
        help_text=gettext_lazy("Separated by commas; for finding the image again."),
    )
    architecture = forms.CharField(
        label=gettext_lazy("Architecture"), required=False, widget=forms.TextInput(attrs={"list": "architectures"})
    )
    disk_format = forms.ChoiceField(label=gettext_lazy("Disk format"), required=False)
    min_disk = forms.IntegerField(
        label=gettext_lazy("Minimum disk (GiB)"),
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        help_text=gettext_lazy("0 for no minimum."),
    )
    min_ram = forms.IntegerField(
        label=gettext_lazy("Minimum RAM (MiB)"),
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        help_text=gettext_lazy("0 for no minimum."),
    )
    visibility = forms.ChoiceField(label=gettext_lazy("Visibility"), choices=Visibility.choices)
    protected = forms.BooleanField(
        label=gettext_lazy("Protected"), required=False, help_text=gettext_lazy("Nobody can delete the image until this is switched off.")
    )
    before = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None = None, *, ctx: RequestContext, view: ImageView) -> None:
        self.ctx, self.view, self.image = ctx, view, view.image
        self.now = snapshot(view)
        shown = {**self.now, "tags": join_tags(self.now["tags"])}
        super().__init__(data, initial={**shown, "before": json.dumps(self.now)})
        self.visibilities = visibility_choices(ctx, self.image)
        self.architectures = ARCHITECTURES
        formats = self.fields["disk_format"]
        assert isinstance(formats, forms.ChoiceField)
        known = list(dict.fromkeys([*settings.DISK_FORMATS, *filter(None, [self.image.disk_format])]))
        formats.choices = [("", _("Not set")), *((f, f.upper()) for f in known)]
        if self.image.status != Status.QUEUED:
            formats.disabled = True
            formats.help_text = _("Fixed once data has been sent: the format describes that data.")

    def clean_tags(self) -> list[str]:
        tags = split_tags(self.cleaned_data["tags"])
        if too_long := next((t for t in tags if len(t) > 255), None):
            raise forms.ValidationError(_("“%(tag)s…” is longer than the 255 characters a tag may have.") % {"tag": too_long[:20]})
        if 0 <= settings.IMAGE_TAG_QUOTA < len(tags):
            raise forms.ValidationError(
                _("%(count)s tags are more than the %(limit)s an image may have.") % {"count": len(tags), "limit": settings.IMAGE_TAG_QUOTA}
            )
        return tags

    def clean_min_disk(self) -> int:
        return self.cleaned_data["min_disk"] or 0

    def clean_min_ram(self) -> int:
        return self.cleaned_data["min_ram"] or 0

    def clean_description(self) -> str:
        return _plain(self.cleaned_data["description"])

    def clean_visibility(self) -> str:
        value = str(self.cleaned_data["visibility"])
        refused = next((c.refused for c in self.visibilities if c.value == value), "")
        if refused:
            raise forms.ValidationError(refused)
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        before, clashes = self._before(), {}
        for name in (*BASE, *PROPERTIES):
            if name not in cleaned or self.fields[name].disabled or cleaned[name] == before.get(name):
                continue
            if self.now[name] not in (before.get(name), cleaned[name]):
                clashes[name] = self.now[name]
        for name, value in clashes.items():
            self.add_error(name, _("Meanwhile somebody set this to “%(value)s”. Save again to replace it.") % {"value": _word(value)})
        if clashes:
            self.data = {**{name: self.data.get(name, "") for name in self.data}, "before": json.dumps({**before, **clashes})}
        return cleaned

    def changed(self) -> dict[str, Any]:
        """Field → new value, for each field the person changed; tags as the whole new list."""
        before = self._before()
        changed = {
            name: self.cleaned_data[name]
            for name in (*BASE, *PROPERTIES)
            if not self.fields[name].disabled and self.cleaned_data[name] != before.get(name)
        }
        tags, shown = set(self.cleaned_data["tags"]), set(before.get("tags", []))
        if tags != shown:
            # Tags that others added meanwhile stay, and those they removed stay away.
            changed["tags"] = sorted((set(self.now["tags"]) - (shown - tags)) | (tags - shown))
        return changed

    def _before(self) -> dict[str, Any]:
        try:
            before = json.loads(self.data.get("before") or "null")
        except ValueError:
            before = None
        return before if isinstance(before, dict) and set(before) == set(self.now) else self.now


def snapshot(view: ImageView) -> dict[str, Any]:
    """The values an edit form of this image shows, in comparable form."""
    values: dict[str, Any] = {name: getattr(view.image, name) for name in BASE}
    values |= {name: _plain(view.properties.get(name, "")) for name in PROPERTIES}
    values |= {"name": _plain(view.image.name or ""), "disk_format": view.image.disk_format or ""}
    return values | {"tags": sorted(t.value for t in view.image.tags.all())}


def join_tags(tags: Iterable[str]) -> str:
    """Tags in one line, separated by commas; one that holds a comma stands in quotes."""
    words = (f'"{tag.replace(chr(34), chr(34) * 2)}"' if "," in tag or '"' in tag else tag for tag in tags)
    return ", ".join(words)


def split_tags(line: str) -> list[str]:
    """The tags of such a line, each once, in order of the alphabet."""
    rows = csv.reader(line.splitlines(), skipinitialspace=True)
    return sorted({tag.strip() for row in rows for tag in row if tag.strip()})


def _plain(text: str) -> str:
    """Text as it comes back from a browser's form field, but for its line ends."""
    return text.replace("\r\n", "\n").strip()


def _word(value: object) -> str:
    return {True: _("on"), False: _("off")}[value] if isinstance(value, bool) else str(value)
