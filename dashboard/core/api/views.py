"""The base of every API view."""

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from dashboard.core.api.exceptions import not_found
from dashboard.core.context import RequestContext


class AlwaysJSON(BaseContentNegotiation):
    """OpenStack services answer JSON whatever Accept says; and `?format=` is a filter like any other."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None  # bodies are read by dashboard.core.api.body

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class View(APIView):
    """A resource: one class per URL, one method per verb. `self.ctx` says who asks."""

    content_negotiation_class = AlwaysJSON
    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    @property
    def ctx(self) -> RequestContext:
        ctx: RequestContext = self.request._request.ctx  # type: ignore[attr-defined]  # set by TokenAuthentication
        return ctx


class OpenView(View):
    """A resource for everyone, token or not."""

    authentication_classes = ()
    permission_classes: tuple[type[BasePermission], ...] = ()


class Missing(View):
    """Any path below a service that leads nowhere: 404 in the service's own envelope, once it is known who asks."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise not_found()
