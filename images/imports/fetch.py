"""One HTTP request to one judged address, with every wait bounded. No proxies, no cookies, no redirects of its own."""

import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from images.imports import addresses
from images.imports.addresses import Target

AGENT = "Vitrine image import"
CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each thing may take, in seconds, and how often a broken connection is taken up again."""

    connect: float = 10
    headers: float = 30
    idle: float = 30
    slow: float = 30  # the window over which `min_rate` must be kept
    min_rate: int = 1024  # bytes a second
    total: float = 24 * 3600
    redirects: int = 3
    tries: int = 5  # in a row that brought less than 1 MiB
    pause: float = 0.5  # before the first new try; doubles each time


class Broken(Exception):
    """The connection ended too early or stalled; another try may do better."""


class Unreachable(Broken):
    """None of the judged addresses took the connection."""


class _Raw(io.RawIOBase):
    """A socket that is read only while `guard` lets it: http.client does not know that it is being watched."""

    def __init__(self, sock: socket.socket, guard: Callable[[], None], idle: float) -> None:
        self.sock, self.guard, self.idle = sock, guard, idle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        waited_since = time.monotonic()
        while True:
            self.guard()
            pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
            if pending or select.select([self.sock], [], [], 0.2)[0]:
                try:
                    return self.sock.recv_into(buffer)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                except OSError as error:
                    raise Broken(str(error)) from error
            if time.monotonic() - waited_since > self.idle:
                raise Broken("idle")


class _Readable:
    """As much of a socket as http.client.HTTPResponse asks for."""

    def __init__(self, raw: _Raw) -> None:
        self.raw = raw

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.raw, 64 * 1024)


class Answer:
    """The response to one GET: status, headers, and a body read piece by piece. Close it."""

    def __init__(self, target: Target, headers: dict[str, str], limits: Limits, check: Callable[[], None]) -> None:
        self._limits, self._check = limits, check
        self._deadline: float | None = None
        self.sock = _connect(target, limits, check)
        try:
            self._request(target, headers)
        except BaseException:
            self.close()
            raise

    def _request(self, target: Target, headers: dict[str, str]) -> None:
        sent = {
            "Host": target.netloc,
            "User-Agent": AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
        }
        lines = [f"GET {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        self._deadline = time.monotonic() + self._limits.headers
        try:
            self.sock.sendall("\r\n".join(lines).encode("latin-1"))
            self.sock.setblocking(False)
            # Only makefile() is asked of it.
            readable = cast(socket.socket, _Readable(_Raw(self.sock, self._guard, self._limits.idle)))
            self.response = http.client.HTTPResponse(readable, method="GET")
            self.response.begin()
        except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
            raise Broken(str(error)) from error
        self._deadline = None
        self.status = self.response.status

    def _guard(self) -> None:
        self._check()
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise Broken("slow")

    def header(self, name: str) -> str:
        return (self.response.getheader(name) or "").strip()

    def read(self) -> bytes:
        """The next piece, b"" at the end; Broken when the end came too early."""
        try:
            piece = self.response.read1(CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Broken(str(error)) from error
        if not piece and self.response.length:
            raise Broken("short")
        return piece

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _connect(target: Target, limits: Limits, check: Callable[[], None]) -> socket.socket:
    """A socket to one of the target's judged addresses, never to what a second look-up might say."""
    for address in addresses.resolve(target)[:4]:
        check()
        try:
            sock = socket.create_connection((str(address), target.port), timeout=limits.connect)
        except OSError:
            continue
        if target.scheme != "https":
            return sock
        try:
            return ssl.create_default_context().wrap_socket(sock, server_hostname=target.host)
        except (OSError, ValueError):
            sock.close()
    raise Unreachable(target.host)
