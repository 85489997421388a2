"""How fast, how small and how polite the data plane is: one client sends 1 GiB of random bytes over the loopback.

    python -m tests.benchmarks.bench_transfer [--size MiB] [--data FOLDER] [--rounds N]

Prints for each round: PUT and tus throughput, the same bytes merely hashed (md5 and sha512 in two threads) just before, their
ratio, growth of the server's resident memory, and the 99th percentile of /healthz meanwhile. The disk bounds what is durable:
`--data /dev/shm/x` measures the program alone.
"""

import argparse
import base64
import hashlib
import os
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.server import Server

MIB = 2**20


@dataclass
class Measured:
    seconds: float
    growth: int
    p99: float
    cpu: float


def hashing_alone(path: Path) -> float:
    """Seconds that two threads take to hash the file, one md5, the other sha512."""

    def run(name: str) -> None:
        digest = hashlib.new(name, usedforsecurity=False)
        with path.open("rb", buffering=0) as file:
            while block := file.read(2 * MIB):
                digest.update(block)

    began = time.perf_counter()
    threads = [threading.Thread(target=run, args=(name,)) for name in ("md5", "sha512")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def send_file(server: Server, method: str, path: str, file: Path, headers: dict[str, str]) -> int:
    """One request whose body goes by sendfile; returns the status."""
    size = file.stat().st_size
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {size}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", server.port)) as connection, file.open("rb") as source:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        connection.sendfile(source)
        answer = connection.makefile("rb").readline().split()
    return int(answer[1])


class Watch:
    """Asks /healthz and reads the server's memory while something else goes on."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.times: list[float] = []
        self.before = self.peak = server.rss()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._cpu = self._jiffies()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.cpu = (self._jiffies() - self._cpu) / os.sysconf("SC_CLK_TCK")

    def _jiffies(self) -> int:
        stat = Path(f"/proc/{self.server.worker_pid}/stat").read_text().rpartition(")")[2].split()
        return int(stat[11]) + int(stat[12])

    def _run(self) -> None:
        connection = self.server.connection()
        while not self._stop.wait(0.04):
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            self.times.append(time.perf_counter() - began)
            self.peak = max(self.peak, self.server.rss())

    @property
    def p99(self) -> float:
        return sorted(self.times)[int(len(self.times) * 0.99)] if self.times else 0.0


def new_image(server: Server) -> str:
    answer = server.request("POST", "/image/v2/images", {"name": "b", "disk_format": "raw", "container_format": "bare"}, user="alice")
    return str(answer.json["id"])


def put(server: Server, file: Path) -> Measured:
    """PUT …/file, until the image is active."""
    image = new_image(server)
    headers = {"X-Auth-Token": server.token("alice"), "Content-Type": "application/octet-stream"}
    with Watch(server) as watch:
        began = time.perf_counter()
        status = send_file(server, "PUT", f"/image/v2/images/{image}/file", file, headers)
        seconds = time.perf_counter() - began
    assert status == 204, status
    shown = server.request("GET", f"/image/v2/images/{image}", user="alice").json
    assert shown["status"] == "active" and shown["size"] == file.stat().st_size
    server.request("DELETE", f"/image/v2/images/{image}", user="alice")
    return Measured(seconds, watch.peak - watch.before, watch.p99, watch.cpu)


def tus(server: Server, file: Path) -> Measured:
    """One PATCH with everything, until its bytes are durable in staging."""
    image = new_image(server)
    metadata = "image_id " + base64.b64encode(image.encode()).decode()
    created = server.request(
        "POST",
        "/uploads/",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(file.stat().st_size), "Upload-Metadata": metadata},
        user="alice",
    )
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Grant": created.headers["Upload-Grant"],
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    with Watch(server) as watch:
        began = time.perf_counter()
        status = send_file(server, "PATCH", created.headers["Location"], file, headers)
        seconds = time.perf_counter() - began
    assert status == 204, status
    server.request("DELETE", f"/image/v2/images/{image}", user="alice")
    return Measured(seconds, watch.peak - watch.before, watch.p99, watch.cpu)


def show(name: str, size: int, measured: Measured, alone: float) -> None:
    figures = [
        f"{name:4} {size / measured.seconds / 1e6:5.0f} MB/s",
        f"{alone / measured.seconds:.2f} of hashing alone ({size / alone / 1e6:.0f} MB/s)",
        f"memory +{measured.growth / MIB:.0f} MiB",
        f"/healthz p99 {measured.p99 * 1000:.0f} ms",
        f"server cpu {measured.cpu:.2f} s",
    ]
    print("   ".join(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=None)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.data.parent if options.data else None))
    try:
        file = folder / "random"
        with file.open("wb") as target:
            for _ in range(options.size):
                target.write(os.urandom(MIB))
        with Server(folder / "data") as server:
            put(server, file)  # everything imported, every pool filled
            for _ in range(options.rounds):
                show("PUT", file.stat().st_size, put(server, file), hashing_alone(file))
                show("tus", file.stat().st_size, tus(server, file), hashing_alone(file))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
