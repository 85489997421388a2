"""`manage.py up`, as an administrator runs it."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.server import ROOT, free_port
from tests.waiting import until

pytestmark = pytest.mark.server


class Up:
    """One `up` in a process of its own; what it prints is in `log`."""

    def __init__(self, data: Path, port: int, **env: str) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.port, self.log = port, data / "up.log"
        bare = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
        settings = {**bare, "VITRINE_PREPARED": "1", "VITRINE_DATA": str(data), **env}
        with self.log.open("w") as log:
            command = [sys.executable, "manage.py", "up", "--demo", "--port", str(port)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log)

    def printed(self) -> str:
        return self.log.read_text()

    def ready(self) -> "Up":
        until(lambda: "Vitrine is ready" in self.printed() or self.process.poll() is not None, self.printed())
        return self

    def answers(self, path: str = "/healthz") -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def worker(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])


@pytest.fixture
def up(tmp_path):
    started: list[Up] = []

    def start(data: str = "var", port: int | None = None, **env: str) -> Up:
        started.append(Up(tmp_path / data, port or free_port(), **env))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_it_says_what_it_does_shows_made_passwords_once_and_ends_on_ctrl_c(up):
    first = up().ready()
    assert f"Vitrine is ready at http://127.0.0.1:{first.port}" in first.printed()
    assert "+ manage.py migrate" in first.printed()
    assert "The administrator is `admin`, password " in first.printed()
    until(lambda: first.answers("/readyz"), "ready in every part")
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(20) == 0
    again = up(port=first.port).ready()
    assert "password" not in again.printed()
    assert "collectstatic" not in again.printed()


def test_a_given_password_is_never_printed(up):
    one = up(VITRINE_ADMIN_PASSWORD="given-secret-1", VITRINE_DEMO_PASSWORD="given-secret-2").ready()
    assert "secret" not in one.printed()


def test_a_port_or_a_data_folder_in_use_is_refused_with_a_sentence(up):
    first = up().ready()
    same_port = up("other", first.port).ready()
    assert same_port.process.wait(20) != 0
    assert f"Port {first.port} of 127.0.0.1 cannot be used" in same_port.printed()
    same_data = up().ready()
    assert same_data.process.wait(20) != 0
    assert "Another server is at work on" in same_data.printed()


def test_a_killed_worker_is_replaced_and_a_killed_server_leaves_nobody_behind(up):
    one = up().ready()
    before = one.worker()
    os.kill(before, signal.SIGKILL)
    until(lambda: one.answers() and one.worker() != before, "another worker")
    worker = one.worker()
    one.process.kill()
    one.process.wait()
    until(lambda: not Path(f"/proc/{worker}").exists() and not one.answers(), "nobody on the port")
