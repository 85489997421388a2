"""Version documents: what a service answers at its root."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def base_url(request: HttpRequest) -> str:
    """Scheme, host and port that clients reach us by, without a slash at the end."""
    return str(settings.PUBLIC_URL or request.build_absolute_uri("/")).rstrip("/")


def version(request: HttpRequest, number: str, path: str, *, current: bool) -> dict[str, Any]:
    """One entry of a version list in Glance's form; `path` from our root, with a slash at both ends."""
    return {
        "id": f"v{number}",
        "status": "CURRENT" if current else "SUPPORTED",
        "links": [{"rel": "self", "href": base_url(request) + path}],
    }


def versions(request: HttpRequest, numbers: Sequence[str], path: str) -> dict[str, Any]:
    """The list, newest first; the newest is current."""
    return {"versions": [version(request, number, path, current=i == 0) for i, number in enumerate(numbers)]}
