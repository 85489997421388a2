"""The version documents, where every client begins."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.versions import base_url
from dashboard.core.api.views import OpenView

VERSION = "v3.14"  # the Keystone API whose words we speak


def _version(request: HttpRequest) -> dict[str, Any]:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url(request)}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


class Versions(OpenView):
    def get(self, request: Request) -> Response:
        location = f"{base_url(request._request)}/identity/v3/"
        # 300 Multiple Choices, as Keystone.
        return Response({"versions": {"values": [_version(request._request)]}}, status=300, headers={"Location": location})


class Version(OpenView):
    def get(self, request: Request) -> Response:
        return Response({"version": _version(request._request)})
