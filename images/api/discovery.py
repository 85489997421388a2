"""What this service can do: versions, import methods, stores, usage."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.versions import versions
from dashboard.core.api.views import OpenView, View
from dashboard.core.errors import Forbidden
from images import stores
from images.services import quotas

# As of a Glance with several stores; 2.14 to 2.16 tell of a cache, which is not here yet.
VERSIONS = ["2.15", *(f"2.{minor}" for minor in range(13, -1, -1))]


class VersionsView(OpenView):
    """`/versions`, and the root, where Glance says "choose one" with 300."""

    status = 200

    def get(self, request: Request) -> Response:
        return Response(versions(request._request, VERSIONS, "/image/v2/"), status=self.status)


class ImportInfoView(View):
    """`/v2/info/import`"""

    def get(self, request: Request) -> Response:
        value = sorted(settings.IMPORT_METHODS)
        return Response({"import-methods": {"description": "Import methods available.", "type": "array", "value": value}})


class StoresInfoView(View):
    """`/v2/info/stores`"""

    def get(self, request: Request) -> Response:
        return Response({"stores": [_store(name) for name in sorted(stores.names())]})


class UsageInfoView(View):
    """`/v2/info/usage`: what the asker's project uses of each quota, in MiB or pieces."""

    def get(self, request: Request) -> Response:
        if not self.ctx.project_id:
            raise Forbidden(_("Usage is counted per project: ask with a token for one."))
        usage = quotas.usage(self.ctx.project_id)
        return Response({"usage": {name: _figures(name, used) for name, used in usage.items()}})


def _store(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"id": name}
    if name == settings.DEFAULT_STORE:
        found["default"] = "true"  # text, as Glance has it
    return found


def _figures(name: str, used: quotas.Usage) -> dict[str, int]:
    size = name in {quotas.SIZE_TOTAL, quotas.STAGE_TOTAL}
    return {"usage": -(-used.usage // quotas.MIB) if size else used.usage, "limit": int(settings.QUOTAS[name])}
