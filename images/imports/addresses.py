"""Which addresses may be fetched from: the administrator's lists, a strict reading of the URL, and the class of every address.

A name is resolved once, every address it has is judged, and the socket goes to a judged one; so neither an odd spelling nor a
name that changes its mind leads into the private network. See OSSA-2026-004 and OSSA-2026-038 for what happens otherwise.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urljoin

from django.conf import settings
from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
T = TypeVar("T", str, int)

DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 2048  # characters
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(#.*)?", re.DOTALL)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Python's own tables know most classes; these are missing from one version or another.
_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TEREDO = ipaddress.IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, read strictly. `host` is lower case, in ASCII, without a final dot; brackets are not part of it."""

    scheme: str
    host: str
    port: int
    explicit_port: bool
    path: str  # with the query, ready for a request line

    @property
    def netloc(self) -> str:
        """As the Host header wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def refused(host: str = "") -> BadRequest:
    """One text for an address that is not allowed and one that does not answer: it tells nothing about the network inside."""
    return BadRequest(_("Nothing can be fetched from this URL: it is not allowed or does not answer."), host=host)


def _malformed() -> BadRequest:
    return BadRequest(_("This is not a URL that images can be fetched from."))


def parse(url: object) -> Target:
    """Read a URL; BadRequest for whatever two readers could understand differently."""
    if not isinstance(url, str) or len(url) > LONGEST or _FORBIDDEN.search(url):
        raise _malformed()
    match = _URL.fullmatch(url)
    if match is None or "@" in match["authority"]:
        raise _malformed()
    scheme = match["scheme"].lower()
    host, port = _authority(match["authority"])
    path = quote(match["path"] or "/", safe="/%:@!$&'()*+,;=~-._") + quote(match["query"] or "", safe="?/%:@!$&'()*+,;=~-._[]")
    return Target(scheme, host, port or DEFAULT_PORTS.get(scheme, 0), port is not None, path)


def _authority(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        inner, closed, rest = text[1:].partition("]")
        try:
            host = ipaddress.IPv6Address(inner if closed and "%" not in inner else "").compressed
        except ValueError:
            raise _malformed() from None
        name, colon, port = "", rest[:1], rest[1:]
        if rest and colon != ":":
            raise _malformed()
    else:
        name, colon, port = text.partition(":")
        host = _name(name)
    if not colon:
        return host, None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise _malformed()
    return host, int(port)


def _name(text: str) -> str:
    try:
        name = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise _malformed() from None
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _malformed()
    if _NUMBER.fullmatch(labels[-1]):
        # 127.1, 0177.0.0.1 and 2130706433 are addresses to some readers: only the plain form of four numbers will do.
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise _malformed() from None
    return name


def _passes(value: T, allowed: Sequence[T], disallowed: Sequence[T]) -> bool:
    """Glance's rule: with an allowed list the other one is ignored."""
    return value in allowed if allowed else value not in disallowed


def _hosts(names: Sequence[str]) -> list[str]:
    return [name.strip().strip("[]").lower().removesuffix(".") for name in names]


def is_named(target: Target) -> bool:
    """Whether the administrator named this very host, which may then be private."""
    return target.host in _hosts(settings.IMPORT_ALLOWED_HOSTS)


def check(target: Target) -> Target:
    """Hold the URL against the administrator's lists, without asking any name server; BadRequest when it does not pass."""
    lists = (
        (target.scheme, settings.IMPORT_ALLOWED_SCHEMES, settings.IMPORT_DISALLOWED_SCHEMES),
        (target.host, _hosts(settings.IMPORT_ALLOWED_HOSTS), _hosts(settings.IMPORT_DISALLOWED_HOSTS)),
    )
    fine = target.scheme in DEFAULT_PORTS and all(_passes(*entry) for entry in lists)
    if fine and target.explicit_port:
        fine = _passes(target.port, settings.IMPORT_ALLOWED_PORTS, settings.IMPORT_DISALLOWED_PORTS)
    literal = _literal(target.host)
    if not fine or (literal is not None and not is_named(target) and not is_public(literal)):
        raise refused(target.host)
    return target


def follow(target: Target, location: str) -> Target:
    """Where a redirect leads, judged as strictly as the first URL; never from https back to http."""
    if _FORBIDDEN.search(location):
        raise refused(target.host)
    try:
        onward = check(parse(urljoin(target.url, location)))
    except (BadRequest, ValueError):
        raise refused(target.host) from None
    if target.scheme == "https" and onward.scheme != "https":
        raise refused(onward.host)
    return onward


def resolve(target: Target) -> list[Address]:
    """The addresses to connect to, all of them judged. One bad address spoils the name."""
    literal = _literal(target.host)
    try:
        found = (
            [literal]
            if literal is not None
            else [ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)]
        )
    except (OSError, UnicodeError, ValueError):
        raise refused(target.host) from None
    if not found or not (is_named(target) or all(is_public(address) and not is_ours(address) for address in found)):
        raise refused(target.host)
    return list(dict.fromkeys(found))


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public Internet; an address wrapped in another is judged itself."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _wrapped(address)
        if inner:
            return all(is_public(one) for one in inner)
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
    if any(address.version == net.version and address in net for net in _NEVER):
        return False
    kinds = (address.is_multicast, address.is_private, address.is_loopback, address.is_link_local, address.is_unspecified)
    return address.is_global and not any(kinds) and not address.is_reserved


def _wrapped(address: ipaddress.IPv6Address) -> list[Address]:
    """The IPv4 addresses that traffic to this one would reach: v4-mapped, 6to4, Teredo, NAT64, v4-compatible, ISATAP."""
    number = int(address)
    last = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address in _TEREDO and address.teredo is not None:
        return list(address.teredo)
    isatap = (number >> 32) & 0xFDFFFFFF == 0x5EFE
    if address in _NAT64 or number >> 32 == 0 or isatap:
        return [last]
    return []


def is_ours(address: Address) -> bool:
    """Whether the address is one of this machine's, found by trying to bind it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
