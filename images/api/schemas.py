"""JSON schemas of what this API speaks; clients read them to know each field."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.core.api.views import View
from images.services import fields
from images.states import Status

UUID_PATTERN = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


class ImageSchemaView(View):
    """`/v2/schemas/image`"""

    def get(self, request: Request) -> Response:
        return Response(image())


class ImagesSchemaView(View):
    """`/v2/schemas/images`"""

    def get(self, request: Request) -> Response:
        return Response(images())


def image() -> dict[str, Any]:
    """An image: its own fields, and any number of texts beside them."""
    return {
        "name": "image",
        "properties": {**_identity(), **_access(), **_formats(), **_data(), **_links()},
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def images() -> dict[str, Any]:
    """A page of images."""
    return {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image()},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
        "additionalProperties": True,
    }


def _identity() -> dict[str, Any]:
    return {
        "id": {"type": "string", "pattern": UUID_PATTERN, "description": _("An identifier for the image")},
        "name": _text(_("Descriptive name for the image")),
        "status": _read_only("string", _("Status of the image"), enum=[str(status.value) for status in Status]),
        "created_at": _read_only("string", _("Date and time of image registration")),
        "updated_at": _read_only("string", _("Date and time of the last image modification")),
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": fields.NAME_LENGTH},
            "description": _("List of strings related to the image"),
        },
    }


def _access() -> dict[str, Any]:
    return {
        "visibility": {"type": "string", "enum": sorted(fields.choices("visibility")), "description": _("Scope of image accessibility")},
        "protected": {"type": "boolean", "description": _("If true, image will not be deletable.")},
        "os_hidden": {"type": "boolean", "description": _("If true, image will not appear in default image list response.")},
        "owner": _text(_("Owner of the image")),
    }


def _formats() -> dict[str, Any]:
    return {
        "container_format": _choice("container_format", _("Format of the container")),
        "disk_format": _choice("disk_format", _("Format of the disk")),
        "min_ram": _count(_("Amount of ram (in MB) required to boot image.")),
        "min_disk": _count(_("Amount of disk space (in GB) required to boot image.")),
    }


def _data() -> dict[str, Any]:
    return {
        "checksum": _read_only(["null", "string"], _("md5 hash of image contents."), maxLength=32),
        "os_hash_algo": _read_only(["null", "string"], _("Algorithm to calculate the os_hash_value"), maxLength=64),
        "os_hash_value": _read_only(["null", "string"], _("Hexdigest of the image contents using the algorithm"), maxLength=128),
        "size": _read_only(["null", "integer"], _("Size of image file in bytes")),
        "virtual_size": _read_only(["null", "integer"], _("Virtual size of image in bytes")),
        "stores": _read_only("string", _("Stores in which the image data resides")),
    }


def _links() -> dict[str, Any]:
    return {
        "self": _read_only("string", _("An image self url")),
        "file": _read_only("string", _("An image file url")),
        "schema": _read_only("string", _("An image schema url")),
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": ["null", "string"], "maxLength": fields.NAME_LENGTH, "description": description}


def _choice(field: str, description: str) -> dict[str, Any]:
    return {"type": ["null", "string"], "enum": [None, *fields.choices(field)], "description": description}


def _count(description: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": fields.INT32, "description": description}


def _read_only(kind: str | list[str], description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "readOnly": True, "description": description, **more}
