"""A table's state in its URL: sort, search, filter and page a queryset from the query string.

A room describes its table once in a `Table`; each request makes a `Listing` of it, which holds the rows of the page asked
for and the URL of every other state of the same table. Words that are not understood (an unknown sort, a page past the end)
fall back to something sensible: an old link never answers an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import F, Model, QuerySet
from django.http import QueryDict

M = TypeVar("M", bound=Model)
Q = QuerySet[Any]


@dataclass(frozen=True)
class Choice:
    """One value of a filter, in words; `url` puts it on or takes it off, `active` says which."""

    value: str
    label: str
    active: bool = False
    url: str = ""


@dataclass(frozen=True)
class Filter:
    """A filter: its parameter, its label, its choices, and how each narrows the queryset (by default `field=value`)."""

    name: str
    label: Any
    choices: Callable[[], Sequence[tuple[str, Any]]]
    field: str = ""
    apply: Callable[[Q, str], Q] | None = None

    def narrow(self, queryset: Q, value: str) -> Q:
        return self.apply(queryset, value) if self.apply else queryset.filter(**{self.field or self.name: value})


@dataclass(frozen=True)
class Table:
    """What a table can do: `sorts` maps a parameter value to a model field; `key` makes every order total."""

    sorts: Mapping[str, str]
    default_sort: str
    filters: Sequence[Filter] = ()
    search: Callable[[Q, str], Q] | None = None
    key: str = "id"
    keep: Sequence[str] = field(default_factory=tuple)  # parameters that belong to the page, such as its tab


@dataclass(frozen=True)
class Heading:
    """A sortable column head: where it leads, and how it is sorted now ("ascending", "descending" or "none")."""

    key: str
    url: str
    aria_sort: str


class Listing(Generic[M]):
    """One state of one table.

    `path` is where its links lead. `total` counts all matching rows; `known_total` spares that query while nothing narrows.
    """

    def __init__(
        self, table: Table, params: QueryDict, queryset: "QuerySet[M]", *, path: str, page_size: int, known_total: int | None = None
    ) -> None:
        self.table, self.path = table, path
        self.page_size: int = max(1, min(page_size, settings.API_LIMIT_MAX))
        self.query = params.get("q", "").replace("\x00", "").strip()[:255]
        self.chosen = {f.name: value for f in table.filters if (value := params.get(f.name, "")) in {v for v, _ in f.choices()} and value}
        wanted = params.get("sort", "")
        self.sort = wanted if wanted.removeprefix("-") in table.sorts else table.default_sort
        self._kept: dict[str, str] = {name: value for name in table.keep if (value := params.get(name, ""))}
        self._wanted_page = _positive(params.get("page", "1"))
        self._known_total = known_total
        self._queryset = queryset

    # -- rows -------------------------------------------------------------------------------------------------------
    @property
    def narrowed(self) -> bool:
        """Whether a search or a filter hides rows."""
        return bool(self.query or self.chosen)

    @cached_property
    def matching(self) -> "QuerySet[M]":
        """Every row that matches, in order."""
        queryset = self._queryset
        for item in self.table.filters:
            if item.name in self.chosen:
                queryset = item.narrow(queryset, self.chosen[item.name])
        if self.query and self.table.search:
            queryset = self.table.search(queryset, self.query)
        column = F(self.table.sorts[self.sort.removeprefix("-")])
        down = self.sort.startswith("-")
        # The unknown (a size not yet measured) stands last in both directions.
        order = column.desc(nulls_last=True) if down else column.asc(nulls_last=True)
        return queryset.order_by(order, ("-" if down else "") + self.table.key)

    @cached_property
    def total(self) -> int:
        if self._known_total is not None and not self.narrowed:
            return self._known_total
        return self.matching.order_by().count()

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.page_size))

    @property
    def page(self) -> int:
        """The page shown: the last one when the one asked for lies beyond."""
        return min(self._wanted_page, self.pages)

    @property
    def first(self) -> int:
        return (self.page - 1) * self.page_size + 1 if self.total else 0

    @property
    def last(self) -> int:
        return min(self.page * self.page_size, self.total)

    @cached_property
    def rows(self) -> list[M]:
        start = (self.page - 1) * self.page_size
        return list(self.matching[start : start + self.page_size])

    # -- URLs -------------------------------------------------------------------------------------------------------
    def url(self, **changes: str | None) -> str:
        """This state with `changes` (None or "" drops one); any change but of the page goes back to page 1."""
        state: dict[str, str | None] = {**self._kept, "q": self.query, **self.chosen}
        if self.sort != self.table.default_sort:
            state["sort"] = self.sort
        if not changes and self.page > 1:
            state["page"] = str(self.page)
        state.update(changes)
        query = QueryDict(mutable=True)
        query.update({name: value for name, value in state.items() if value})
        return f"{self.path}?{query.urlencode()}" if query else self.path

    @property
    def here(self) -> str:
        """The URL of exactly this state."""
        return self.url()

    @property
    def clear_url(self) -> str:
        """The same table with no search and no filter."""
        return self.url(q=None, **dict.fromkeys(self.chosen, None))

    @property
    def previous_url(self) -> str:
        return self._page_url(self.page - 1) if self.page > 1 else ""

    @property
    def next_url(self) -> str:
        return self._page_url(self.page + 1) if self.page < self.pages else ""

    @property
    def page_links(self) -> list[tuple[int, str]]:
        """(number, URL) of the first, the last and the pages around this one; number 0 stands for a gap."""
        near = sorted({1, self.pages, *range(max(1, self.page - 1), min(self.pages, self.page + 1) + 1)})
        links: list[tuple[int, str]] = []
        for number in near:
            if links and number - links[-1][0] > 1:
                links.append((0, ""))
            links.append((number, self._page_url(number)))
        return links

    @property
    def headings(self) -> dict[str, Heading]:
        """A heading per sortable column; its link turns the order round when the column is sorted already."""
        return {key: self._heading(key) for key in self.table.sorts}

    @property
    def filters(self) -> list[tuple[Filter, list[Choice], Choice | None]]:
        """(filter, its choices, the chosen one or None) for each filter."""
        return [self._filter(item) for item in self.table.filters]

    @property
    def hidden(self) -> dict[str, str]:
        """What a GET form for searching and filtering must carry besides its own fields."""
        return self._kept | ({"sort": self.sort} if self.sort != self.table.default_sort else {})

    def _page_url(self, number: int) -> str:
        return self.url(page=str(number) if number > 1 else None)

    def _heading(self, key: str) -> Heading:
        state = {key: "ascending", "-" + key: "descending"}.get(self.sort, "none")
        target = "-" + key if state == "ascending" else key
        return Heading(key, self.url(sort=None if target == self.table.default_sort else target), state)

    def _filter(self, item: Filter) -> tuple[Filter, list[Choice], Choice | None]:
        now = self.chosen.get(item.name)
        choices = [
            Choice(value, str(label), value == now, self.url(**{item.name: None if value == now else value}))
            for value, label in item.choices()
        ]
        return item, choices, next((c for c in choices if c.active), None)


def _positive(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1
