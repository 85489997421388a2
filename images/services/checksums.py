"""Checksums as people paste them: bare, or as a line of `sha256sum`, of BSD's `sha256`, or a whole SHA256SUMS file."""

import re
from collections.abc import Mapping

from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest

ALGORITHMS = {32: "md5", 64: "sha256", 128: "sha512"}  # by the number of hex digits
_HEX = re.compile(r"[0-9a-f]+")
_BARE = re.compile(r"(?:(?P<algo>md5|sha256|sha512)\s*[:=]\s*)?(?P<value>[0-9a-f]+)", re.IGNORECASE)
_GNU = re.compile(r"\\?(?P<value>[0-9a-f]+)\s+[* ]?(?P<name>\S.*)", re.IGNORECASE)
_BSD = re.compile(r"(?P<algo>[A-Z0-9-]+)\s*\((?P<name>.+)\)\s*=\s*(?P<value>[0-9a-f]+)", re.IGNORECASE)


def parse(text: str, filename: str = "") -> dict[str, str] | None:
    """The algorithm and value in `text`, as {"algo", "value"}; None for empty text.

    Of several lines the one naming `filename` counts. Raises BadRequest with a sentence when none will do.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("#", "-----", "Hash:"))]
    if not lines:
        return None
    found = [parsed for line in lines if (parsed := _line(line))]
    if not found:
        raise BadRequest(_("This is not a checksum. Paste the hex digits of an md5, sha256 or sha512 sum, or a line of sha256sum."))
    if len(found) > 1:
        found = [f for f in found if f[2] and _basename(f[2]) == _basename(filename)] if filename else []
    if not found:
        raise BadRequest(_("None of these lines names the file “%(name)s”.") % {"name": _basename(filename)})
    algo, value, _name = found[-1]
    return {"algo": _algorithm(algo, value), "value": value.lower()}


def _line(line: str) -> tuple[str, str, str] | None:
    for pattern in (_BSD, _BARE, _GNU):
        if match := pattern.fullmatch(line):
            groups = match.groupdict()
            return (groups.get("algo") or "").lower().replace("-", ""), groups["value"], groups.get("name") or ""
    return None


def _algorithm(named: str, value: str) -> str:
    guessed = ALGORITHMS.get(len(value))
    if guessed is None:
        raise BadRequest(
            _("%(count)d hex digits are no md5 (32), sha256 (64) or sha512 (128) sum; perhaps a part is missing.") % {"count": len(value)}
        )
    if named and named != guessed:
        raise BadRequest(_("The line says %(named)s, but its length is that of %(guessed)s.") % {"named": named, "guessed": guessed})
    return guessed


def _basename(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def checked(given: Mapping[str, str] | None) -> dict[str, str] | None:
    """{"algo", "value"} as it will be verified; None for none."""
    if not given:
        return None
    algo, value = str(given.get("algo", "")).lower(), str(given.get("value", "")).strip().lower()
    if ALGORITHMS.get(len(value)) != algo or not _HEX.fullmatch(value):
        known = ", ".join(ALGORITHMS.values())
        raise BadRequest(_("The checksum to verify is not one of {known} in hexadecimal digits."), known=known)
    return {"algo": algo, "value": value}
