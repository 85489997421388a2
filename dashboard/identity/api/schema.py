"""What the body of POST auth/tokens may be, and what it asks for."""

from dataclasses import dataclass, field
from typing import Any

import jsonschema
from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest, Unauthenticated

_TEXT = {"type": "string", "maxLength": 4096}
_DOMAIN = {"type": "object", "properties": {"id": _TEXT, "name": _TEXT}, "anyOf": [{"required": ["id"]}, {"required": ["name"]}]}
_BY_ID_OR_NAME = {"anyOf": [{"required": ["id"]}, {"required": ["name", "domain"]}]}
_USER = {
    "type": "object",
    # A longer password is refused by the backend in the words of a wrong one.
    "properties": {"id": _TEXT, "name": _TEXT, "domain": _DOMAIN, "password": {"type": "string"}},
    "required": ["password"],
    **_BY_ID_OR_NAME,
}
_IDENTITY = {
    "type": "object",
    "properties": {
        "methods": {"type": "array", "minItems": 1, "maxItems": 10, "items": _TEXT},
        "password": {"type": "object", "properties": {"user": _USER}, "required": ["user"]},
        "token": {"type": "object", "properties": {"id": _TEXT}, "required": ["id"]},
    },
    "required": ["methods"],
}
_SCOPE = {
    "type": ["object", "string"],
    "properties": {
        "project": {"type": "object", "properties": {"id": _TEXT, "name": _TEXT, "domain": _DOMAIN}, **_BY_ID_OR_NAME},
        "unscoped": {"type": "object"},
        "domain": {"type": "object"},
        "system": {"type": "object"},
        "OS-TRUST:trust": {"type": "object"},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "auth": {"type": "object", "properties": {"identity": _IDENTITY, "scope": _SCOPE}, "required": ["identity"]},
    },
    "required": ["auth"],
}
_validator = jsonschema.Draft202012Validator(SCHEMA)
METHODS = ("password", "token")


@dataclass(frozen=True)
class Asked:
    """A well-formed request for a token. `project` is None when no project was named; `unscoped` when none is wanted."""

    methods: tuple[str, ...]
    user: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    project: dict[str, Any] | None = None
    unscoped: bool = False


def read(body: Any) -> Asked:
    """BadRequest names the field that is wrong, never its value: that may be a password."""
    error = jsonschema.exceptions.best_match(_validator.iter_errors(body))
    if error is not None:
        raise BadRequest(_("Invalid input for field '{field}'."), field="/".join(str(part) for part in error.absolute_path) or "auth")
    identity, scope = body["auth"]["identity"], body["auth"].get("scope")
    methods = tuple(dict.fromkeys(identity["methods"]))
    for method in methods:
        if method not in METHODS:
            raise Unauthenticated(_("Attempted to authenticate with an unsupported method."))
        if method not in identity:
            raise BadRequest(_("Invalid input for field '{field}'."), field=f"auth/identity/{method}")
    return Asked(
        methods=methods,
        user=identity["password"]["user"] if "password" in methods else {},
        token=identity["token"]["id"] if "token" in methods else "",
        **_scope(scope),
    )


def _scope(scope: Any) -> dict[str, Any]:
    if scope is None or scope == {}:
        return {}
    if scope == "unscoped" or (isinstance(scope, dict) and set(scope) == {"unscoped"}):
        return {"unscoped": True}
    if isinstance(scope, dict) and set(scope) == {"project"}:
        return {"project": scope["project"]}
    if isinstance(scope, dict) and len(scope) == 1 and set(scope) <= {"domain", "system", "OS-TRUST:trust"}:
        raise Unauthenticated  # nobody holds roles there
    raise BadRequest(_("Invalid input for field '{field}'."), field="auth/scope")
