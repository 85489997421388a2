"""What each field of an image may hold. Every writer passes here: API, pages, imports."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from dashboard.core.errors import Forbidden, InvalidValue, LimitExceeded
from images.models import Visibility

INT32 = 2**31 - 1
NAME_LENGTH = 255
VALUE_LENGTH = 65535
RESERVED_PREFIX = "os_glance"  # Glance keeps its own bookkeeping under it

READ_ONLY = frozenset(
    {"id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at"}
    | {"self", "file", "schema", "direct_url", "stores"}
)
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
WRITABLE = frozenset(
    {"name", "visibility", "protected", "os_hidden", "owner", "disk_format", "container_format", "min_disk", "min_ram", "tags"}
)
BASE = READ_ONLY | WRITABLE


def check(field: str, value: Any) -> Any:
    """The value of a writable field, as it will be stored; InvalidValue when it will not do."""
    if field in {"name", "owner"}:
        return _short_text(field, value, empty=field == "name")
    if field in {"protected", "os_hidden"}:
        return _boolean(field, value)
    if field in {"min_disk", "min_ram"}:
        return _count(field, value)
    return _one_of(field, value, choices(field), optional=field != "visibility")


def choices(field: str) -> list[str]:
    """The values of a field that has a list of them."""
    return {
        "visibility": [str(v) for v in Visibility.values],
        "disk_format": list(settings.DISK_FORMATS),
        "container_format": list(settings.CONTAINER_FORMATS),
    }[field]


def check_property_name(name: str) -> str:
    """A name of a custom property: not one of the image's own fields, nothing reserved."""
    if name.startswith(RESERVED_PREFIX) or name in RESERVED:
        raise Forbidden(_("Attribute '%s' is reserved.") % shown(name))
    if name in READ_ONLY:
        raise Forbidden(_("Attribute '%s' is read-only.") % name)
    if not name:
        raise InvalidValue(field="properties", reason=_("a property needs a name."))
    if name in WRITABLE or len(name) > NAME_LENGTH:
        raise InvalidValue(field="properties", reason=_("'%s' cannot be the name of a property.") % shown(name))
    return text("properties", name)


def check_properties(given: Mapping[str, Any]) -> dict[str, str]:
    """Custom properties: names and values that may be stored."""
    checked = {}
    for name, value in given.items():
        check_property_name(name)
        if not isinstance(value, str):
            raise InvalidValue(field=shown(name), reason=_("the value of a property must be text."))
        if len(value) > VALUE_LENGTH:
            raise InvalidValue(field=shown(name), reason=_("at most %s characters are allowed.") % VALUE_LENGTH)
        checked[name] = text(name, value)
    return checked


def check_tags(given: Iterable[Any]) -> list[str]:
    """Tags without repetition, in the order given."""
    tags = []
    for tag in given:
        if not isinstance(tag, str) or not tag:
            raise InvalidValue(field="tags", reason=_("a tag must be text and not empty."))
        if len(tag) > NAME_LENGTH:
            raise InvalidValue(field="tags", reason=_("a tag may have at most %s characters.") % NAME_LENGTH)
        tags.append(text("tags", tag))
    return list(dict.fromkeys(tags))


def require_number(what: Collection[object], limit: int, message: str) -> None:
    """Refuse more than `limit` of something; `message` has places for both figures. -1 is unlimited."""
    if 0 <= limit < len(what):
        raise LimitExceeded(message % {"number": len(what), "limit": limit})


def text(field: str, value: str) -> str:
    """The text itself, unless a database could not hold it."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue(field=shown(field), reason=_("this is not valid Unicode text.")) from None
    if "\x00" in value:
        raise InvalidValue(field=shown(field), reason=_("the NUL character is not allowed."))
    return value


def shown(name: str) -> str:
    """A name from outside, fit to stand in a sentence."""
    return name[:80].encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")


def _short_text(field: str, value: Any, *, empty: bool) -> str | None:
    if value is None and empty:
        return None
    if not isinstance(value, str) or not (value or empty):
        raise InvalidValue(field=field, reason=_("this must be text.") if empty else _("this must be text and not empty."))
    if len(value) > NAME_LENGTH:
        raise InvalidValue(field=field, reason=_("at most %s characters are allowed.") % NAME_LENGTH)
    return text(field, value)


def _boolean(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue(field=field, reason=_("this must be true or false."))
    return value


def _count(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT32:
        raise InvalidValue(field=field, reason=_("this must be a whole number from 0 to %s.") % INT32)
    return value


def _one_of(field: str, value: Any, allowed: list[str], *, optional: bool) -> str | None:
    if value is None and optional:
        return None
    if not isinstance(value, str) or value not in allowed:
        raise InvalidValue(field=field, reason=_("this must be one of %s.") % ", ".join(allowed))
    return value
