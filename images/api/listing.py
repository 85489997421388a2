"""Glance's list query: the query string of `GET /v2/images` as a queryset, its order and its page."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, Q
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from dashboard.core.api.pagination import Key, after, limit
from dashboard.core.context import RequestContext
from dashboard.core.errors import BadRequest
from images.models import Image, ImageLocation, ImageProperty, ImageTag, Visibility
from images.models.image import ImageQuerySet

SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_NULLABLE = {"name", "container_format", "disk_format", "size"}
_PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "tag", "os_hidden"})
_MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
_LISTED = frozenset({"name", "status", "id", "container_format", "disk_format"})  # fields that know `in:`
_TEXTS = frozenset({"owner", "checksum", "os_hash_algo", "os_hash_value"})
_NUMBERS = {
    "size_min": "size__gte", "size_max": "size__lte", "size": "size", "virtual_size": "virtual_size", "min_disk": "min_disk",
    "min_ram": "min_ram",
}  # fmt: skip
_DATES = frozenset({"created_at", "updated_at"})
_COMPARISONS = {"gt": "__gt", "gte": "__gte", "lt": "__lt", "lte": "__lte", "eq": "", "neq": ""}
_QUOTED = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*))\s*(,|$)')
_MOST = 128  # tags or properties an image can have at most, and more than anybody filters by
_INT64 = 2**63 - 1


def page(ctx: RequestContext, params: QueryDict) -> tuple[list[Image], UUID | None]:
    """The images of the page asked for, and the marker of the next one when there is more."""
    if any("\x00" in text for name, values in params.lists() for text in (name, *values)):
        raise BadRequest(_("The NUL character is not allowed."))
    size, keys = limit(params), order(params)
    query = _filtered(_scope(ctx, params), params)
    if marker := params.get("marker"):
        query = query.filter(after(keys, _marker(ctx, marker)))
    if not size:
        return [], None
    copies = Prefetch("locations", ImageLocation.objects.select_related("blob"))
    rows = query.order_by(*(key.order() for key in keys)).prefetch_related("properties", "tags", copies)[: size + 1]
    found = list(rows)
    return found[:size], found[size - 1].pk if len(found) > size else None


def order(params: QueryDict) -> list[Key]:
    """The order asked for, made total: ties are broken by age and by id."""
    wanted = _pairs(params) or [("created_at", "")]
    directions = [direction for _name, direction in wanted]
    tie = directions[0] if len(set(directions)) == 1 else ""
    keys: dict[str, Key] = {}
    for name, direction in [*wanted, ("created_at", tie), ("id", tie)]:
        if name not in SORT_KEYS:
            raise BadRequest(_("Invalid sort key: %(key)s. It must be one of the following: %(all)s.") % _about(name, SORT_KEYS))
        if direction not in {"asc", "desc", ""}:
            raise BadRequest(_("Invalid sort direction: %s") % direction[:80])
        keys.setdefault(name, Key(name, descending=direction != "asc", nullable=name in _NULLABLE))
    return list(keys.values())


def _pairs(params: QueryDict) -> list[tuple[str, str]]:
    names = [name.strip() for name in params.getlist("sort_key")]
    directions = [direction.strip() for direction in params.getlist("sort_dir")]
    if (combined := params.get("sort")) is not None:
        if names or directions:
            raise BadRequest(_("Old and new sorting syntax cannot be combined"))
        parts = [part.partition(":") for part in combined.strip().split(",")]
        return [(name.strip(), direction.strip()) for name, _colon, direction in parts]
    if len(directions) > 1 and len(directions) != len(names):
        raise BadRequest(_("Number of sort dirs does not match the number of sort keys"))
    names = names or (["created_at"] if directions else [])
    if len(directions) <= 1:
        directions = (directions or [""]) * len(names)
    return list(zip(names, directions, strict=True))


def _scope(ctx: RequestContext, params: QueryDict) -> ImageQuerySet:
    """Which images the asker looks at: the default list, or those of one visibility."""
    if params.get("member_status", "accepted") not in _MEMBER_STATUSES:
        raise BadRequest(_("Invalid status: %s") % params["member_status"][:80])
    visibility = params.get("visibility")
    if not visibility:
        return Image.objects.listed_for(ctx)
    if visibility == "all":
        return Image.objects.visible_to(ctx)
    if visibility not in Visibility.values:
        raise BadRequest(_("Invalid visibility value: %s") % visibility[:80])
    return Image.objects.visible_to(ctx).filter(visibility=visibility)


def _marker(ctx: RequestContext, marker: str) -> dict[str, Any]:
    """The row a page begins after. A tombstone serves as well: images may go while somebody pages through them."""
    seen = Q() if ctx.is_admin else Q(owner=ctx.project_id) | Q(visibility__in=[Visibility.PUBLIC, Visibility.COMMUNITY])
    found = _uuid(marker)
    row = Image.objects.filter(seen, pk=found).values(*SORT_KEYS).first() if found else None
    if row is None:
        raise BadRequest(_("Invalid marker: %s") % marker[:80])
    return dict(row)


def _filtered(query: ImageQuerySet, params: QueryDict) -> ImageQuerySet:
    if "changes-since" in params:
        raise BadRequest(_('The "changes-since" filter is no longer available on v2.'))
    query = query.filter(os_hidden=_boolean("os_hidden", params.get("os_hidden", "false")))
    tags = {tag.strip() for tag in params.getlist("tag")}
    given = [(name, value) for name, values in params.lists() if name not in _PAGING for value in values]
    if len(tags) + len(given) > _MOST:
        raise BadRequest(_("More than %s filters at once are not possible.") % _MOST)
    for tag in sorted(tags):
        query = query.filter(pk__in=ImageTag.objects.filter(value=tag).values("image"))
    for name, value in given:
        query = query.filter(_condition(name, value))
    return query


def _condition(name: str, value: str) -> Q:
    if name in _LISTED:
        return _listed(name, value)
    if name in _TEXTS:
        return Q(**{name: value})
    if name in _NUMBERS:
        return Q(**{_NUMBERS[name]: _number(name, value)})
    if name in _DATES:
        return _date(name, value)
    if name == "protected":
        return Q(protected=_boolean(name, value))
    return Q(pk__in=ImageProperty.objects.filter(name=name, value=value).values("image"))


def _listed(name: str, value: str) -> Q:
    operator, rest = _operator(value, {"in", *_COMPARISONS})
    if operator not in {"in", "eq", ""}:
        raise BadRequest(_("The filter %(name)s knows no operator “%(operator)s”.") % {"name": name, "operator": operator})
    wanted: Iterable[Any] = _split(rest) if operator == "in" else [rest]
    if name == "id":
        wanted = [found for text in wanted if (found := _uuid(text))]
    return Q(**{f"{name}__in": list(wanted)})


def _date(name: str, value: str) -> Q:
    operator, rest = _operator(value, _COMPARISONS)
    try:
        moment = parse_datetime(rest)
        moment = moment and (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # the last day of the year 9999, west of Greenwich, is in no calendar
        moment = None
    if moment is None:
        raise BadRequest(_("%(name)s: “%(value)s” is not a date and time in ISO 8601.") % {"name": name, "value": rest[:80]})
    condition = _on(name, operator, moment)
    return ~condition if operator == "neq" else condition


def _on(name: str, operator: str, moment: datetime) -> Q:
    # Clients see whole seconds, so they compare with whole seconds: equal means within that second, later means after it.
    whole, last = moment.replace(microsecond=0), moment.replace(microsecond=999999)
    if operator in {"gt", "lte"}:
        return Q(**{name + _COMPARISONS[operator]: last})
    if operator in {"gte", "lt"}:
        return Q(**{name + _COMPARISONS[operator]: whole})
    return Q(**{f"{name}__gte": whole, f"{name}__lte": last})


def _operator(value: str, known: Iterable[str]) -> tuple[str, str]:
    """`in:a,b` → ("in", "a,b"); a value without one of the known operators is itself."""
    operator, colon, rest = value.partition(":")
    return (operator, rest) if colon and operator in known else ("", value)


def _split(text: str) -> list[str]:
    """Values between commas; double quotes protect a comma."""
    found, at = [], 0
    while True:
        match = _QUOTED.match(text, at)
        if match is None:
            raise BadRequest(_("The list of values is not quoted properly: %s") % text[:80])
        quoted, plain, comma = match.groups()
        found.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip())
        at = match.end()
        if not comma:
            return found


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 19 and int(value) <= _INT64):
        raise BadRequest(_("%(name)s: “%(value)s” is not a whole number.") % {"name": name, "value": value[:80]})
    return int(value)


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        message = _("Invalid value '%(value)s' for '%(name)s' filter. Valid values are 'true' or 'false'.")
        raise BadRequest(message % {"value": value[:80], "name": name})
    return value.lower() == "true"


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _about(key: str, known: Iterable[str]) -> dict[str, str]:
    return {"key": key[:80], "all": ", ".join(known)}
