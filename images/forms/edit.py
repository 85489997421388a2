"""The edit form: it knows what it showed, so that only what the person changed is written."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.core.context import RequestContext
from images.forms.record import PROPERTIES, RecordForm, join_tags, plain, set_choices
from images.presentation import ImageView
from images.states import Status

BASE = ("name", "min_disk", "min_ram", "visibility", "protected", "disk_format")


class EditForm(RecordForm):
    """Everything that may be changed about an image in any living state.

    `before` carries what the form showed when it was opened. `changed()` compares with that, never with the row as it is now:
    what others changed meanwhile survives, and a clash on one field is pointed out once before it is overwritten.
    """

    disk_format = forms.ChoiceField(label=gettext_lazy("Format"), required=False)
    before = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None = None, *, ctx: RequestContext, view: ImageView) -> None:
        self.ctx, self.image = ctx, view.image
        self.now = snapshot(view)
        shown = {**self.now, "tags": join_tags(self.now["tags"])}
        super().__init__(data, initial={**shown, "before": json.dumps(self.now)})
        known = list(dict.fromkeys([*settings.DISK_FORMATS, *filter(None, [self.image.disk_format])]))
        set_choices(self, "disk_format", [("", _("Not set")), *((f, f.upper()) for f in known)])
        if self.image.status != Status.QUEUED:
            self.fields["disk_format"].disabled = True
            self.fields["disk_format"].help_text = _("Fixed once data has been sent: the format describes that data.")

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
        """What the form showed, as it comes back from the browser; what it cannot have shown is taken for what is there now."""
        try:
            before = json.loads(self.data.get("before") or "null")
        except (ValueError, RecursionError):
            before = None
        return before if isinstance(before, dict) and _shapes(before) == _shapes(self.now) else self.now


def snapshot(view: ImageView) -> dict[str, Any]:
    """The values an edit form of this image shows, in comparable form."""
    values: dict[str, Any] = {name: getattr(view.image, name) for name in BASE}
    values |= {name: plain(view.properties.get(name, "")) for name in PROPERTIES}
    values |= {"name": plain(view.image.name or ""), "disk_format": view.image.disk_format or ""}
    return values | {"tags": sorted(t.value for t in view.image.tags.all())}


def _shapes(values: dict[str, Any]) -> dict[str, Any]:
    """The kind of each value; that of a list says whether it holds only texts."""
    return {name: all(isinstance(v, str) for v in value) if isinstance(value, list) else type(value) for name, value in values.items()}


def _word(value: object) -> str:
    return {True: _("on"), False: _("off")}[value] if isinstance(value, bool) else str(value)
