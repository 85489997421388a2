"""What every page needs to draw its frame: the person, the projects, the navigation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from dashboard.core.context import RequestContext
from dashboard.identity import services
from dashboard.identity.models import User

GROUPS = {"project": _("Project"), "admin": _("Admin"), "identity": _("Identity")}
SWITCHER_LENGTH = 50  # projects offered in the switcher; the page of projects has them all


@dataclass(frozen=True)
class Item:
    group: str
    label: Any
    url_name: str
    icon: str
    order: int
    rule: Callable[[RequestContext], bool]


_items: dict[str, Item] = {}


def register(
    *, group: str, label: Any, url_name: str, icon: str, order: int = 100, rule: Callable[[RequestContext], bool] = lambda ctx: True
) -> None:
    """Put a page into the navigation, for those whom `rule` lets see it. Rooms call this in their urls.py."""
    if group not in GROUPS:
        raise ValueError(group)
    _items[url_name] = Item(group, label, url_name, icon, order, rule)


def groups_for(ctx: RequestContext, path: str) -> list[dict[str, Any]]:
    """The groups of the navigation that have something to show; the item with the longest URL that `path` begins with is active."""
    allowed = sorted((item for item in _items.values() if item.rule(ctx)), key=lambda item: item.order)
    urls = {item.url_name: reverse(item.url_name) for item in allowed}
    active = max((url for url in urls.values() if path.startswith(url)), key=len, default=None)
    groups = []
    for name, label in GROUPS.items():
        items = [
            {"label": item.label, "url": urls[item.url_name], "icon": item.icon, "active": urls[item.url_name] == active}
            for item in allowed
            if item.group == name
        ]
        if items:
            groups.append({"name": name, "label": label, "items": items})
    return groups


def landing(ctx: RequestContext, path: str) -> str:
    """The page of the navigation that `path` belongs to: where to go when the thing shown may not exist any more. Else "/"."""
    urls = (reverse(item.url_name) for item in _items.values() if item.rule(ctx))
    return max((url for url in urls if path.startswith(url)), key=len, default="/")


def context(request: HttpRequest) -> dict[str, Any]:
    """Context processor: ctx, person, projects and navigation; each costs nothing until a template asks for it."""
    ctx: RequestContext | None = getattr(request, "ctx", None)
    person = getattr(request, "user", None) if ctx else None
    if ctx is None or not isinstance(person, User):
        return {"ctx": None, "person": None, "projects": [], "navigation": []}
    return {
        "ctx": ctx,
        "person": person,
        "projects": services.projects_of(person)[:SWITCHER_LENGTH],
        "navigation": SimpleLazyObject(lambda: groups_for(ctx, request.path)),
    }
