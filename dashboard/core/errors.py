"""The error tree. A service raises one of these; one handler renders it as a JSON fault, a page or a toast.

    Error                       500
    ├── BadRequest              400   InvalidValue(field)
    ├── Unauthenticated         401
    ├── Forbidden               403
    ├── NotFound                404
    ├── Conflict                409   InvalidTransition
    ├── Gone                    410
    ├── LimitExceeded           413   QuotaExceeded · TooLarge · StorageFull
    ├── UnsupportedFormat       415
    ├── TooManyRequests         429
    └── Unavailable             503

Each class carries a template; keyword arguments fill it and stay readable as `error.fields`.
"""

from http import HTTPStatus
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _


class Error(Exception):
    """Something the product can explain: one sentence, its fields, and the HTTP status it maps to."""

    status: ClassVar[int] = 500
    message: ClassVar[Any] = _("Something went wrong.")

    def __init__(self, message: object = None, /, **fields: Any) -> None:
        self.fields = fields
        self.text = (
            str(message if message is not None else self.message).format_map(_Fields(fields))
            if fields
            else str(message if message is not None else self.message)
        )
        super().__init__(self.text)

    def __str__(self) -> str:
        return self.text

    @property
    def title(self) -> str:
        """The reason phrase of the status, as Keystone and Glance give it: "Not Found"."""
        return HTTPStatus(self.status).phrase


class _Fields(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


class BadRequest(Error):
    status = 400
    message = _("The request could not be understood.")


class InvalidValue(BadRequest):
    """A named field holds a value that will not do; `fields["field"]` names it."""

    message = _("{field}: {reason}")


class Unauthenticated(Error):
    status = 401
    message = _("The request you have made requires authentication.")


class Forbidden(Error):
    status = 403
    message = _("You are not authorized to complete this action.")


class NotFound(Error):
    status = 404
    message = _("Nothing was found here.")


class Conflict(Error):
    status = 409
    message = _("This cannot be done in the present state.")


class InvalidTransition(Conflict):
    message = _("{subject} is {status}; this cannot be done now.")


class Gone(Error):
    status = 410
    message = _("It was deleted meanwhile.")


class LimitExceeded(Error):
    status = 413
    message = _("A limit was exceeded.")


class QuotaExceeded(LimitExceeded):
    message = _("{needed} more is needed; the project has {used} of {limit} {resource} in use.")


class TooLarge(LimitExceeded):
    message = _("{size} is more than the {limit} allowed.")


class StorageFull(LimitExceeded):
    message = _("There is not enough space in the store: {needed} needed, {free} free.")


class UnsupportedFormat(Error):
    status = 415
    message = _("The file is not what it was declared to be.")


class TooManyRequests(Error):
    status = 429
    message = _("Too many tries. Wait {seconds} seconds and try again.")


class Unavailable(Error):
    status = 503
    message = _("The service is not available just now.")
