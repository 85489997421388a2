"""A real server in a process of its own, on a free port and with its own data folder.

    with Server(tmp_path) as server:
        server.request("GET", "/healthz")

`kill9` ends it without a goodbye; `start` on the same object brings it up again on the same port and data.
"""

import atexit
import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
ADMIN_PASSWORD = "admin-secret-1"
DEMO_PASSWORD = "demo-secret-1"

PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("bootstrap", demo=True)
"""


@functools.cache
def prepared() -> Path:
    """A data folder with a migrated database and the demo people, made once in this process: servers start from copies of it."""
    folder = Path(tempfile.mkdtemp(prefix="vitrine-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, "-c", PREPARE], cwd=ROOT, env=environment(folder), check=True)
    return folder


@functools.cache
def collected() -> Path:
    """The static files as `up` collects them, made once in this process."""
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v", "0"]
    subprocess.run(command, cwd=ROOT, env=environment(prepared()), check=True)
    return prepared() / "static"


def environment(data: Path) -> dict[str, str]:
    """What a server's process is told: its data folder and everybody's password, and nothing of ours."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("VITRINE_")},
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
        "PYTHONPATH": str(ROOT),
        "VITRINE_DATA": str(data),
        "VITRINE_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "VITRINE_DEMO_PASSWORD": DEMO_PASSWORD,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """Vitrine as `up` serves it: granian, one worker, jobs in the same process."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        env: dict[str, str] | None = None,
        app: str = "dashboard.asgi:application",
        pages: bool = False,
    ) -> None:
        self.data, self.port, self.app = Path(data), port or free_port(), app
        self.pages = pages  # with static files, for a browser
        self.env = {**environment(self.data), **(env or {})}
        self.log = self.data / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process started; `worker_pid` is the one that serves."""
        assert self._process is not None
        return self._process.pid

    @property
    def worker_pid(self) -> int:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for child in map(int, children):
            if b"granian" in Path(f"/proc/{child}/cmdline").read_bytes() or b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        return self.pid

    def start(self, timeout: float = 60) -> Self:
        """Give it a database the first time, serve, and return once /healthz answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        if not (self.data / "vitrine.sqlite3").exists():
            shutil.copytree(prepared(), self.data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("static"))
        if self.pages and not (self.data / "static").exists():
            shutil.copytree(collected(), self.data / "static")
        command = ["granian", "--interface", "asgi", "--loop", "uvloop", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--no-reload", "--http1-buffer-size", str(2 * 2**20)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, self.app], cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + timeout
        while not self.alive():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill9()
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        return self

    def alive(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/healthz").status == 200
        return False

    def stop(self, timeout: float = 20) -> None:
        """SIGTERM, as `up` ends on Ctrl-C; SIGKILL when that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        self.kill9()

    def kill9(self) -> None:
        """SIGKILL the server and every process it started in its group."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def python(self, code: str) -> str:
        """Run code beside the server, on its database; returns what it prints."""
        command = [sys.executable, "-c", "import django; django.setup()\n" + code]
        return subprocess.run(command, cwd=ROOT, env=self.env, check=True, capture_output=True, text=True).stdout

    # -- talking to it ----------------------------------------------------------------------------------------------
    def connection(self, timeout: float = 30) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, user: str = "", timeout: float = 30
    ) -> "Answer":
        """One request; a dict or list body is sent as JSON, `user` adds that person's token."""
        headers = dict(headers or {})
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if user:
            headers.setdefault("X-Auth-Token", self.token(user))
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def token(self, user: str, project: str | None = None, password: str | None = None) -> str:
        """A token of a demo user (alice, carol in demo; bob in partner) or the administrator; issued once and kept."""
        project = project or {"admin": "admin", "bob": "partner"}.get(user, "demo")
        key = f"{user}@{project}"
        if key not in self._tokens:
            self._tokens[key] = self._issue(user, project, password or (ADMIN_PASSWORD if user == "admin" else DEMO_PASSWORD))
        return self._tokens[key]

    def _issue(self, user: str, project: str, password: str) -> str:
        domain = {"id": "default"}
        answer = self.request(
            "POST",
            "/identity/v3/auth/tokens",
            {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": {"name": user, "domain": domain, "password": password}}},
                    "scope": {"project": {"name": project, "domain": domain}},
                }
            },
        )
        assert answer.status == 201, answer
        return str(answer.headers["X-Subject-Token"])

    def rss(self) -> int:
        """Resident bytes of the serving process."""
        pages = int(Path(f"/proc/{self.worker_pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Answer:
    """Status, headers and body of one response; `image` is for tests that want to remember which image it was about."""

    image = ""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @functools.cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {dict(self.headers)} {self.body[:500]!r}>"
