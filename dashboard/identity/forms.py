"""Forms of the room."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from dashboard.identity.authentication import PASSWORD_MAX_LENGTH
from dashboard.identity.models import Domain


class LoginForm(forms.Form):
    """Name and password; the domain is asked only when there is a choice."""

    name = forms.CharField(
        label=_("User name"),
        max_length=255,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True, "autocapitalize": "none", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=PASSWORD_MAX_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    domain = forms.ModelChoiceField(label=_("Domain"), queryset=Domain.objects.none(), empty_label=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = Domain.objects.filter(enabled=True).order_by("name")
        if domains.count() > 1:
            self.fields["domain"].queryset = domains  # type: ignore[attr-defined]
        else:
            del self.fields["domain"]
