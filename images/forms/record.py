"""What a person may say about an image, whether it is being made or changed."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.core.context import RequestContext
from images import policy
from images.models import Image, Visibility
from images.presentation import VISIBILITY_ICONS, VISIBILITY_MEANING
from images.services.fields import INT32, NAME_LENGTH

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


class RecordForm(forms.Form):
    """The fields of the record. Whoever builds the form says who asks (`ctx`), and about which image (`image`, None for a new one)."""

    ctx: RequestContext
    image: Image | None = None

    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=NAME_LENGTH)
    description = forms.CharField(label=gettext_lazy("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    tags = forms.CharField(
        label=gettext_lazy("Tags"),
        required=False,
        max_length=40000,
        help_text=gettext_lazy("Separated by commas; for finding the image again."),
    )
    architecture = forms.CharField(
        label=gettext_lazy("Architecture"),
        required=False,
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"list": "architectures"}),
    )
    min_disk = forms.IntegerField(
        label=gettext_lazy("Minimum disk (GiB)"),
        required=False,
        min_value=0,
        max_value=INT32,
        help_text=gettext_lazy("0 for no minimum."),
    )
    min_ram = forms.IntegerField(
        label=gettext_lazy("Minimum RAM (MiB)"),
        required=False,
        min_value=0,
        max_value=INT32,
        help_text=gettext_lazy("0 for no minimum."),
    )
    visibility = forms.ChoiceField(label=gettext_lazy("Visibility"), choices=Visibility.choices, initial=Visibility.PRIVATE)
    protected = forms.BooleanField(
        label=gettext_lazy("Protected"), required=False, help_text=gettext_lazy("Nobody can delete the image until this is switched off.")
    )
    architectures = ARCHITECTURES

    @property
    def visibilities(self) -> list[VisibilityChoice]:
        return visibility_choices(self.ctx, self.image)

    def clean_description(self) -> str:
        return plain(self.cleaned_data["description"])

    def clean_tags(self) -> list[str]:
        tags = split_tags(self.cleaned_data["tags"])
        if too_long := next((t for t in tags if len(t) > NAME_LENGTH), None):
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

    def clean_visibility(self) -> str:
        value = str(self.cleaned_data["visibility"])
        if refused := next((choice.refused for choice in self.visibilities if choice.value == value), ""):
            raise forms.ValidationError(refused)
        return value


def set_choices(form: forms.Form, name: str, choices: list[tuple[str, Any]]) -> None:
    """What is offered in a field whose choices are known only when the form is built."""
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    field.choices = choices


def join_tags(tags: Iterable[str]) -> str:
    """Tags in one line, separated by commas; one that holds a comma stands in quotes."""
    words = (f'"{tag.replace(chr(34), chr(34) * 2)}"' if "," in tag or '"' in tag else tag for tag in tags)
    return ", ".join(words)


def split_tags(line: str) -> list[str]:
    """The tags of such a line, each once, in order of the alphabet."""
    rows = csv.reader(line.splitlines(), skipinitialspace=True)
    return sorted({tag.strip() for row in rows for tag in row if tag.strip()})


def plain(text: str) -> str:
    """Text as it comes back from a browser's form field, but for its line ends."""
    return text.replace("\r\n", "\n").strip()
