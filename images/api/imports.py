"""Import: the data comes from staging or from a URL, and passes every check on its way."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.body import read_object
from dashboard.core.api.views import View
from dashboard.core.errors import BadRequest, Conflict
from images import policy, stores
from images.models import Image
from images.services import catalogue, fields, imports
from images.states import Status

NEEDS = {  # the status each method starts from, and what to say otherwise
    "glance-direct": (Status.UPLOADING, gettext_lazy("Image needs to be staged before 'glance-direct' method can be used")),
    "web-download": (Status.QUEUED, gettext_lazy("Image needs to be in 'queued' state to use 'web-download' method")),
}


class ImportView(View):
    """`/v2/images/{id}/import`"""

    def post(self, request: Request, image_id: str) -> Response:
        body = read_object(request._request)
        method = _method(body)
        image = catalogue.get(self.ctx, image_id)
        policy.require(self.ctx, "modify_image", image)
        require_ready(image, method["name"])
        imports.start(self.ctx, image, method, stores=_stores(body, request.headers.get("X-Image-Meta-Store")))
        return Response(status=202)


def require_ready(image: Image, method: str) -> None:
    """Refuse, in Glance's order, an image that cannot be imported into now."""
    needed, refusal = NEEDS[method]
    if image.status == Status.ACTIVE:
        raise Conflict(_("Image with status active cannot be target for import"))
    if image.status != needed:
        raise Conflict(refusal)
    for field in ("container_format", "disk_format"):
        if not getattr(image, field):
            raise Conflict(_("'%s' needs to be set before import") % field)


def _method(body: dict[str, Any]) -> dict[str, str]:
    method = body.get("method")
    if not isinstance(method, dict):
        raise BadRequest(_("Import request requires a 'method' field."))
    name = method.get("name")
    if not isinstance(name, str):
        raise BadRequest(_("Import request requires a 'name' field."))
    if name not in settings.IMPORT_METHODS or name not in NEEDS:
        raise BadRequest(_("Unknown import method name '%s'.") % fields.shown(name))
    for flag in ("all_stores_must_succeed", "all_stores"):
        if not isinstance(body.get(flag, True), bool):
            raise BadRequest(_("'%s' must be boolean value only") % flag)
    if name == "glance-direct":
        return {"name": name}
    uri = method.get("uri")
    if not isinstance(uri, str) or not uri:
        raise BadRequest(_("URI for web-download does not pass filtering: %s") % fields.shown(str(uri)))
    return {"name": name, "uri": fields.text("uri", uri)}


def _stores(body: dict[str, Any], header: str | None) -> list[str] | None:
    """The stores asked for, in the body or by the older header; None leaves the choice to us."""
    given = body.get("stores")
    if sum(bool(way) for way in (given, header, body.get("all_stores"))) > 1:
        raise BadRequest(_("Only one of 'stores', 'all_stores' and the header X-Image-Meta-Store can be used."))
    if body.get("all_stores"):
        return stores.names()
    given = [header] if header else given
    if given is None or given == []:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise BadRequest(_("'stores' must be a list of names."))
    for name in given:
        if name not in stores.names():
            raise Conflict(_("There is no store “%s”.") % fields.shown(name))
    return list(dict.fromkeys(given))
