"""Request bodies: JSON that means one thing only, and not too much of it."""

import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest, TooLarge, UnsupportedFormat

JSON = "application/json"


def media_type(request: HttpRequest) -> str:
    """The media type of the body, without parameters."""
    return (request.content_type or "").strip().lower()


def read_json(request: HttpRequest, accepted: Sequence[str] = (JSON,)) -> Any:
    """The body as JSON. 415 for another media type, 413 for more than a form may be, 400 for what is not plain JSON.

    Refused besides what JSON refuses: a member named twice (two readers could take different ones), NaN and Infinity, lone
    surrogates. A body without a media type is read as JSON where JSON is accepted.
    """
    kind = media_type(request)
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    if (kind or JSON) not in accepted or charset not in {"utf-8", "utf8"}:
        raise UnsupportedFormat(_("The body must be one of: %s.") % ", ".join(accepted))
    raw = _read(request)
    if not raw.strip():
        raise BadRequest(_("Body expected in request."))
    try:
        text = raw.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise BadRequest(_("The body is nested too deeply.")) from None
    except ValueError as error:  # UnicodeError and JSONDecodeError are ValueErrors
        reason = str(error) if not isinstance(error, UnicodeError) else _("it is not valid UTF-8 text")
        raise BadRequest(_("The body is not valid JSON: %s") % reason) from None
    return document


def read_object(request: HttpRequest) -> dict[str, Any]:
    """The body as a JSON object."""
    document = read_json(request)
    if not isinstance(document, dict):
        raise BadRequest(_("The body must be a JSON object."))
    return document


def _read(request: HttpRequest) -> bytes:
    limit = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 2**20)
    announced = request.headers.get("Content-Length") or "0"
    if announced.isdecimal() and int(announced[:20]) > limit:
        raw = b""
    else:
        raw = request.read(limit + 1)
        if len(raw) <= limit:
            return raw
    raise TooLarge(_("The body is larger than the {limit} bytes allowed."), limit=limit)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(_("a name occurs twice in one object"))
    return found


def _constant(name: str) -> Any:
    raise ValueError(_("%s is not a number") % name)
