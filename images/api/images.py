"""Images: list, create, show, change, delete; tags; deactivate and reactivate."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api import pagination
from dashboard.core.api.body import media_type, read_json, read_object
from dashboard.core.api.versions import base_url
from dashboard.core.api.views import View
from dashboard.core.errors import BadRequest, Forbidden, InvalidValue
from images import policy, stores
from images.api import listing, patch, representation
from images.services import catalogue, fields


class ImagesView(View):
    """`/v2/images`"""

    def get(self, request: Request) -> Response:
        policy.require(self.ctx, "get_images")
        found, marker = listing.page(self.ctx, request.query_params)
        links = pagination.links(f"{representation.ROOT}/images", request.query_params, marker)
        return Response(representation.images(found, links))

    def post(self, request: Request) -> Response:
        image = catalogue.create(self.ctx, **creation(read_object(request._request)))
        headers = {
            "Location": f"{base_url(request._request)}/image{representation.ROOT}/images/{image.id}",
            "OpenStack-image-import-methods": ",".join(settings.IMPORT_METHODS),
            "OpenStack-image-store-ids": ",".join(stores.names()),
        }
        return Response(representation.image(image), status=201, headers=headers)


class ImageView(View):
    """`/v2/images/{id}`"""

    def get(self, request: Request, image_id: str) -> Response:
        return Response(representation.image(catalogue.get(self.ctx, image_id)))

    def patch(self, request: Request, image_id: str) -> Response:
        document = read_json(request._request, patch.MEDIA_TYPES)
        operations = patch.parse(document, media_type(request._request))
        image = catalogue.get(self.ctx, image_id)
        policy.require(self.ctx, "modify_image", image)
        changes = patch.changes(operations, {p.name: p.value for p in image.properties.all()})
        return Response(representation.image(catalogue.update(self.ctx, image, changes)))

    def delete(self, request: Request, image_id: str) -> Response:
        catalogue.delete(self.ctx, catalogue.get(self.ctx, image_id))
        return Response(status=204)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if response.status_code == 415:
            response["Accept-Patch"] = ", ".join(patch.MEDIA_TYPES)
        return response


class TagView(View):
    """`/v2/images/{id}/tags/{tag}`"""

    def put(self, request: Request, image_id: str, tag: str) -> Response:
        catalogue.add_tag(self.ctx, catalogue.get(self.ctx, image_id), tag)
        return Response(status=204)

    def delete(self, request: Request, image_id: str, tag: str) -> Response:
        catalogue.remove_tag(self.ctx, catalogue.get(self.ctx, image_id), tag)
        return Response(status=204)


class DeactivateView(View):
    """`/v2/images/{id}/actions/deactivate`"""

    def post(self, request: Request, image_id: str) -> Response:
        catalogue.deactivate(self.ctx, catalogue.get(self.ctx, image_id))
        return Response(status=204)


class ReactivateView(View):
    """`/v2/images/{id}/actions/reactivate`"""

    def post(self, request: Request, image_id: str) -> Response:
        catalogue.reactivate(self.ctx, catalogue.get(self.ctx, image_id))
        return Response(status=204)


def creation(body: dict[str, Any]) -> dict[str, Any]:
    """The keywords of `catalogue.create` from the body of a POST: own fields by name, all others are custom properties."""
    body = dict(body)
    for name in body:
        if name in fields.READ_ONLY - {"id"}:
            raise Forbidden(_("Attribute '%s' is read-only.") % name)
    found: dict[str, Any] = {}
    if "id" in body:
        found["id"] = _id(body.pop("id"))
    if "tags" in body:
        found["tags"] = _tags(body.pop("tags"))
    if body.get("owner", "") is None:  # Glance: whoever asks
        del body["owner"]
    for name in fields.WRITABLE & body.keys():
        found[name] = fields.check(name, body.pop(name))
    return {**found, "properties": fields.check_properties(body)}


def _id(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(field="id", reason=_("this must be text."))
    return value


def _tags(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise BadRequest(_("tags: this must be a list of texts."))
    return fields.check_tags(value)
