"""A real HTTP server on this machine whose pages are Python functions, honest or not."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Page = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request; `server.pages` says what becomes of it."""

    protocol_version = "HTTP/1.1"
    server: "Mirror"

    def do_GET(self) -> None:
        self.server.visits.append((self.path, dict(self.headers.items())))
        page = self.server.pages.get(self.path.partition("?")[0])
        self.close_connection = True
        if page is None:
            self.send_error(404)
        else:
            page(self)

    def begin(self, status: int = 200, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def part(self, data: bytes, **headers: Any) -> int:
        """Answer as a good server would, with Range; returns where the part begins."""
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and self.headers.get("If-Range") == headers.get("ETag"):
            self.begin(206, Content_Length=len(data) - start, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}", **headers)
            return start
        self.begin(200, Content_Length=len(data), **headers)
        return 0

    def cut(self) -> None:
        """Break the connection off."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Mirror(ThreadingHTTPServer):
    """Pages by path, and who came: (path, headers)."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Visit)
        self.pages: dict[str, Page] = {}
        self.visits: list[tuple[str, dict[str, str]]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str = "/image", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def serve(self, path: str, data: bytes, **headers: Any) -> str:
        """Offer `data` plainly; returns its URL."""

        def page(visit: Visit) -> None:
            start = visit.part(data, **headers)
            visit.wfile.write(data[start:])

        self.pages[path] = page
        return self.url(path)

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        self.pages[path] = lambda visit: visit.begin(status, Location=to, Content_Length=0)
        return self.url(path)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are part of the tests
