"""`manage.py up`: from a clone to a dashboard."""

import fcntl
import hashlib
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections


class Command(BaseCommand):
    help = "Migrate, collect static files, make the first administrator, and serve everything from this machine."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
        parser.add_argument("--demo", action="store_true", help="add the projects demo and partner, and alice, bob and carol")

    def handle(self, *args: Any, host: str, port: int, demo: bool, **options: Any) -> None:
        self.require_free(host, port)
        self.require_alone()
        self.echo("migrate")
        call_command("migrate", verbosity=0, interactive=False)
        self.collect_static()
        call_command("bootstrap", demo=demo, stdout=self.stdout)
        self.serve(host, port)

    def require_free(self, host: str, port: int) -> None:
        """The server shares a port that is in use, silently; so ask first."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CommandError(f"Port {port} of {host} cannot be used: {error.strerror}. Choose another with --port.") from error

    def require_alone(self) -> None:
        """One server for one data folder: jobs and live messages live in its memory, a second one would hear half of them."""
        self.lock = (settings.DATA / "lock").open("w")  # held as long as this process or its worker lives
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(f"Another server is at work on {settings.DATA}. Stop it, or set VITRINE_DATA to another folder.") from error

    def echo(self, line: str) -> None:
        self.stdout.write(f"+ manage.py {line}")
        self.stdout.flush()

    def collect_static(self) -> None:
        """Collect only when something changed: compressing every file takes seconds."""
        import django_htmx

        files = [
            path
            for folder in (*settings.STATICFILES_DIRS, Path(django_htmx.__file__).parent / "static")
            for path in Path(folder).rglob("*")
        ]
        digest = hashlib.sha256()
        for path in sorted(path for path in files if path.is_file()):
            digest.update(str(path).encode() + path.read_bytes())
        stamp = Path(settings.STATIC_ROOT) / ".sources.sha256"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        self.echo("collectstatic")
        shutil.rmtree(settings.STATIC_ROOT, ignore_errors=True)
        call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=["rest_framework"])
        stamp.write_text(digest.hexdigest())

    def serve(self, host: str, port: int) -> None:
        """Serve until SIGINT or SIGTERM; the worker says when it is ready.

        The worker process dies with this one, and is replaced when it dies alone.
        """
        from granian import Granian
        from granian.constants import Interfaces, Loops
        from granian.http import HTTP1Settings
        from granian.log import LogLevels

        server = Granian(
            "dashboard.asgi:application",
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            loop=Loops.uvloop,
            http1_settings=HTTP1Settings(max_buffer_size=2 * 2**20),  # fewer and larger pieces: a tenth less processor time an upload
            log_level=LogLevels.warning,
            respawn_failed_workers=True,
            respawn_interval=1,
            workers_kill_timeout=10,
        )
        os.environ["VITRINE_SUPERVISED"] = str(os.getpid())
        os.environ["VITRINE_ANNOUNCE"] = _address(host, port)
        connections.close_all()  # the worker is forked; no connection may be shared with it
        server.serve()


def _address(host: str, port: int) -> str:
    """What to type into a browser on this machine."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (recognised, not bound)
    return f"http://{everywhere.get(host, f'[{host}]' if ':' in host else host)}:{port}"
