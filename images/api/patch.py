"""Glance's dialect of JSON patch as a pure function: a document becomes operations, operations become Changes.

Two media types differ in how an operation is written. Version 2.1: {"op": "replace", "path": "/name", "value": "x"}; version 2.0,
from an early draft: {"replace": "/name", "value": "x"}. Both know add, replace and remove, on whole attributes only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest, Conflict, Forbidden
from images.services import fields
from images.services.catalogue import Changes

V21 = "application/openstack-images-v2.1-json-patch"
V20 = "application/openstack-images-v2.0-json-patch"
MEDIA_TYPES = (V20, V21)
VERBS = ("add", "remove", "replace")
Verb = Literal["add", "remove", "replace"]


@dataclass(frozen=True, slots=True)
class Operation:
    verb: Verb
    name: str  # of the attribute, unescaped
    value: Any = None


def parse(document: Any, media_type: str = V21) -> list[Operation]:
    """The operations of a patch document; BadRequest when it is not one, Forbidden when it touches what nobody may."""
    if not isinstance(document, list):
        raise BadRequest(_("Request body must be a JSON array of operation objects."))
    return [_operation(item, media_type) for item in document]


def changes(operations: Sequence[Operation], properties: Mapping[str, str]) -> Changes:
    """What the operations, one after the other, come to for an image that has these custom properties."""
    found = Changes()
    after = dict(properties)
    for operation in operations:
        if operation.name in fields.WRITABLE:
            if operation.verb == "remove":
                raise Forbidden(_("Property %s may not be removed.") % operation.name)
            found[operation.name] = _checked(operation)  # type: ignore[literal-required]
        else:
            _apply(operation, after)
    if added := {name: value for name, value in after.items() if properties.get(name) != value}:
        found["properties_set"] = added
    if removed := sorted(properties.keys() - after.keys()):
        found["properties_removed"] = removed
    return found


def _apply(operation: Operation, properties: dict[str, str]) -> None:
    name = operation.name
    if operation.verb != "add" and name not in properties:
        raise Conflict(_("Property %s does not exist.") % fields.shown(name))
    if operation.verb == "remove":
        del properties[name]
    else:
        properties.update(fields.check_properties({name: operation.value}))


def _checked(operation: Operation) -> Any:
    if operation.name != "tags":
        return fields.check(operation.name, operation.value)
    if not isinstance(operation.value, list):
        raise BadRequest(_("tags: this must be a list of texts."))
    return fields.check_tags(operation.value)


def _operation(item: Any, media_type: str) -> Operation:
    if not isinstance(item, dict):
        raise BadRequest(_("Operations must be JSON objects."))
    verb, pointer = _draft_4(item) if media_type == V20 else _draft_10(item)
    name = _attribute(pointer)
    if verb == "remove":
        return Operation(verb, name)
    if "value" not in item:
        raise BadRequest(_('Operation "%s" requires a member named "value".') % verb)
    return Operation(verb, name, item["value"])


def _draft_10(item: dict[str, Any]) -> tuple[Verb, Any]:
    verb = item.get("op")
    if not isinstance(verb, str) or verb not in VERBS:
        raise BadRequest(_("An operation needs a member “op” that is one of: %s.") % ", ".join(VERBS))
    if "path" not in item:
        raise BadRequest(_("An operation needs a member “path”."))
    return verb, item["path"]  # type: ignore[return-value]


def _draft_4(item: dict[str, Any]) -> tuple[Verb, Any]:
    verbs = [verb for verb in VERBS if verb in item]
    if len(verbs) != 1:
        raise BadRequest(_('Operation objects must contain exactly one member named "add", "remove", or "replace".'))
    return verbs[0], item[verbs[0]]  # type: ignore[return-value]


def _attribute(pointer: Any) -> str:
    """The attribute a JSON pointer names."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise BadRequest(_("Pointer `%s` does not start with “/”.") % fields.shown(str(pointer)))
    if re.search(r"~(?![01])", pointer):
        raise BadRequest(_("Pointer `%s` contains “~” that is not part of an escape sequence.") % fields.shown(pointer))
    parts = [part.replace("~1", "/").replace("~0", "~").strip() for part in pointer[1:].split("/")]
    if not all(parts):
        raise BadRequest(_("Pointer `%s` has an empty part.") % fields.shown(pointer))
    name = parts[0]
    if name == "locations":
        raise Forbidden(_("It's not allowed to change locations if locations are invisible."))
    if len(parts) != 1:
        raise BadRequest(_("Invalid JSON pointer for this resource: “%s”") % fields.shown(pointer))
    if name not in fields.WRITABLE:
        fields.check_property_name(name)
    return name
