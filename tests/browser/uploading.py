"""What the upload tests do with a page, a line and a file."""

import contextlib
import hashlib
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any

from tests.server import Server, free_port

MIB = 2**20


class Wire:
    """The network between browser and server: a relay that can be cut, with all that is on it, and mended."""

    def __init__(self, server: Server) -> None:
        self.server, self.port, self.uncut = server, free_port(), threading.Event()
        self.ends: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.uncut.set()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            near, _address = self.listener.accept()
            if not self.uncut.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.server.port))
            self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            end.close()

    def cut(self) -> None:
        self.uncut.clear()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.uncut.set()


def expect() -> Any:
    """Playwright's expect, imported late: a machine without it skips these tests."""
    from playwright.sync_api import expect

    return expect


def random_file(path: Path, mib: int) -> Path:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    return path


def slow(page, mib_per_second: float) -> None:
    """A line that sends this fast; negative for no limit."""
    rate = mib_per_second * MIB if mib_per_second > 0 else -1
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    if not hasattr(page, "line"):
        page.line = page.context.new_cdp_session(page)  # the limit lives as long as the session
        page.line.send("Network.enable")
    page.line.send("Network.emulateNetworkConditions", limits)


def choose(page, server, *files: Path, **fields: str) -> None:
    """Fill in the create form as far as its button."""
    page.goto(f"{server.url}/images/create")
    page.set_input_files("[data-chooser]", list(files))
    expect()(page.locator(".file-card")).to_have_count(len(files))
    for name, value in fields.items():
        control = page.locator(f"#id_{name}")
        control.select_option(value) if name.endswith("format") else control.fill(value)
    expect()(page.locator("[data-submit]")).to_be_enabled()


def begin(page, server, *files: Path, **fields: str) -> None:
    choose(page, server, *files, **fields)
    page.click("[data-submit]")
    page.wait_for_url("**/images/")


def item(page, number: int = 0):
    return page.locator(".upload").nth(number)


def expect_state(page, state: str, number: int = 0, seconds: float = 30) -> None:
    expect()(item(page, number)).to_have_attribute("data-state", state, timeout=seconds * 1000)


def sent(page) -> int:
    return int(page.evaluate("window.vitrine.uploads.all()[0]?.sent ?? 0"))


def the_image(server, name: str):
    images = server.request("GET", f"/image/v2/images?name={name}", user="alice").json["images"]
    assert len(images) == 1
    return images[0]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def hostile(path: Path) -> Path:
    """A qcow2 that keeps its data in another file: /etc/passwd."""
    header = bytearray(MIB)
    struct.pack_into(">4sIQIIQIIQQIIQQQQII", header, 0, b"QFI\xfb", 3, 0, 0, 16, 64 * MIB, 0, 1, 65536, 131072, 1, 0, 0, 4, 0, 0, 4, 104)
    name = b"/etc/passwd"
    struct.pack_into(">II16s", header, 104, 0x44415441, len(name), name)
    path.write_bytes(header)
    return path


def requests(page: Any, *methods: str) -> list[Any]:
    """The requests of these methods that the page makes from now on."""
    made: list[Any] = []

    def keep(request: Any) -> None:
        if request.method in methods:
            made.append(request)

    page.on("request", keep)
    return made
