"""Forms of the room."""

import zoneinfo
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.utils.translation import gettext_lazy as _

from dashboard.identity.authentication import PASSWORD_MAX_LENGTH
from dashboard.identity.models import Domain, User
from dashboard.identity.services import DEFAULT_DOMAIN


def _password(label: Any, autocomplete: str, **kwargs: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete, **kwargs.pop("attrs", {})})
    return forms.CharField(label=label, strip=False, max_length=PASSWORD_MAX_LENGTH, widget=widget, **kwargs)


class LoginForm(forms.Form):
    """Name and password; the domain is asked only when there is a choice."""

    name = forms.CharField(
        label=_("User name"),
        max_length=255,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True, "autocapitalize": "none", "spellcheck": "false"}),
    )
    password = _password(_("Password"), "current-password")
    domain = forms.ModelChoiceField(label=_("Domain"), queryset=Domain.objects.none(), empty_label=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = Domain.objects.filter(enabled=True).order_by("name")
        if domains.count() > 1:
            self.fields["domain"].queryset = domains  # type: ignore[attr-defined]
            self.fields["domain"].initial = DEFAULT_DOMAIN
        else:
            del self.fields["domain"]
        if self.is_bound and self.data.get("name"):
            # Drawn again because the password was wrong: that is where people type next.
            del self.fields["name"].widget.attrs["autofocus"]
            self.fields["password"].widget.attrs["autofocus"] = True

    @property
    def domain_id(self) -> str:
        """The domain chosen, or the only one."""
        chosen: Domain | None = self.cleaned_data.get("domain")
        return chosen.pk if chosen else DEFAULT_DOMAIN


def time_zones() -> list[tuple[str, str]]:
    """Every zone that is a place, and UTC; the old aliases are left out."""
    places = sorted(
        name
        for name in zoneinfo.available_timezones()
        if "/" in name and not name.startswith(("Etc/", "SystemV/", "US/", "posix", "right"))
    )
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a person may set about his pages."""

    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zones, help_text=_("Times on all pages are shown in this zone."))
    page_size = forms.IntegerField(
        label=_("Rows on a page"),
        min_value=1,
        max_value=settings.API_LIMIT_MAX,
        help_text=_("Between 1 and %(limit)s.") % {"limit": settings.API_LIMIT_MAX},
    )
    theme = forms.ChoiceField(label=_("Theme"), choices=User.Theme.choices, widget=forms.RadioSelect)

    class Meta:
        model = User
        fields = ("time_zone", "page_size", "theme")


class PasswordForm(forms.Form):
    """The present password, and a new one twice."""

    current = _password(_("Current password"), "current-password", attrs={"autofocus": True})
    new = _password(_("New password"), "new-password")
    confirm = _password(_("New password again"), "new-password")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["new"].help_text = " ".join(str(text) for text in password_validators_help_texts())

    def clean_new(self) -> str:
        new: str = self.cleaned_data["new"]
        if new == self.cleaned_data.get("current"):
            raise forms.ValidationError(_("The new password must differ from the current one."))
        validate_password(new, self.user)
        return new

    def clean_confirm(self) -> str:
        confirm: str = self.cleaned_data["confirm"]
        if "new" in self.cleaned_data and confirm != self.cleaned_data["new"]:
            raise forms.ValidationError(_("The two new passwords are not the same."))
        return confirm
