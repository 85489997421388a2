"""The service catalog: how clients that know only the identity endpoint find the rest."""

import hashlib
from typing import Any

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")
# type, name, path. A client finds the versions of a service at its endpoint, or in the path itself.
SERVICES = (("identity", "keystone", "/identity/v3"), ("image", "glance", "/image"))


def build(base: str) -> list[dict[str, Any]]:
    """The catalog as a token carries it; `base` is what clients reach us by."""
    return [
        {
            "id": _id(kind),
            "type": kind,
            "name": name,
            "endpoints": [
                {"id": _id(kind, interface), "interface": interface, "region": REGION, "region_id": REGION, "url": base + path}
                for interface in INTERFACES
            ],
        }
        for kind, name, path in SERVICES
    ]


def _id(*parts: str) -> str:
    """The same id after every start: clients cache catalogs."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]
