"""Marker paging: rows after a given row in a total order, in time that does not grow with the page's depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.db.models.expressions import OrderBy
from django.http import QueryDict
from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order. NULL counts as the smallest value, on every database."""

    field: str
    descending: bool = False
    nullable: bool = False

    def order(self) -> OrderBy:
        column = F(self.field)
        if not self.nullable:
            return column.desc() if self.descending else column.asc()
        return column.desc(nulls_last=True) if self.descending else column.asc(nulls_first=True)

    def same(self, value: Any) -> Q:
        return Q(**{f"{self.field}__isnull": True}) if value is None else Q(**{self.field: value})

    def beyond(self, value: Any) -> Q | None:
        """Rows that come strictly later; None when there can be none."""
        if value is None:
            return None if self.descending else Q(**{f"{self.field}__isnull": False})
        if not self.descending:
            return Q(**{f"{self.field}__gt": value})
        later = Q(**{f"{self.field}__lt": value})
        return later | Q(**{f"{self.field}__isnull": True}) if self.nullable else later


def after(keys: Sequence[Key], row: Mapping[str, Any]) -> Q:
    """The rows that follow `row` in the order of `keys`, whose last must be unique."""
    found, tied = Q(pk__in=[]), Q()
    for key in keys:
        value = row[key.field]
        if (beyond := key.beyond(value)) is not None:
            found |= tied & beyond
        tied &= key.same(value)
    first = keys[0]
    bound = first.beyond(row[first.field])
    # Says the same once more about the first column alone: that is what an index can be searched by.
    edge = first.same(row[first.field]) if bound is None else first.same(row[first.field]) | bound
    return edge & found


def limit(params: QueryDict) -> int:
    """How many rows a page has: what was asked for, within the administrator's bounds."""
    given = params.get("limit")
    if given is None:
        return min(int(settings.LIMIT_PARAM_DEFAULT), int(settings.API_LIMIT_MAX))
    if not (given.isascii() and given.isdecimal()):
        text = _("limit param must be positive") if given.startswith("-") else _("limit param must be an integer")
        raise BadRequest(text)
    return min(int(given[:12]), int(settings.API_LIMIT_MAX))


def links(path: str, params: QueryDict, next_marker: object = None) -> dict[str, str]:
    """`first` and, when there is more, `next`: the same query again from another row."""
    query = params.copy()
    query.pop("marker", None)
    found = {"first": f"{path}?{query.urlencode()}" if query else path}
    if next_marker is not None:
        query["marker"] = str(next_marker)
        found["next"] = f"{path}?{query.urlencode()}"
    return found
