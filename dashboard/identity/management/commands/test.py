"""`manage.py test`: everything that must hold, in one command."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

PYTHON = [sys.executable, "-m"]
CHECKS = {
    "lint": [*PYTHON, "ruff", "check", "."],
    "format": [*PYTHON, "ruff", "format", "--check", "."],
    "types": [*PYTHON, "mypy", "."],
    "arrows": [str(Path(sys.executable).with_name("lint-imports"))],
    "templates": [*PYTHON, "djlint", "templates", "--lint", "--quiet"],
    "system check": [sys.executable, "manage.py", "check", "--fail-level", "WARNING"],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}


class Command(BaseCommand):
    help = "Lint, types, import contracts, then every test. Arguments are handed to pytest; with any given, only pytest runs."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pytest", nargs="*")

    def run_from_argv(self, argv: list[str]) -> None:
        """Hand everything behind `test` to pytest untouched, options included."""
        self.handle(pytest=argv[2:])

    def handle(self, *args: Any, **options: Any) -> None:
        chosen: list[str] = options["pytest"]
        failed = [] if chosen else [name for name, command in CHECKS.items() if not self.passes(name, command)]
        workers = [] if chosen else ["-n", "2", "--dist", "loadfile"]
        tests = subprocess.call([*PYTHON, "pytest", "-rs", *workers, *chosen], cwd=settings.BASE_DIR)
        if failed:
            self.stderr.write(f"failed: {', '.join(failed)}")
        sys.exit(1 if failed else tests)

    def passes(self, name: str, command: list[str]) -> bool:
        began = time.monotonic()
        result = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
        self.stdout.write(f"{name}: {'ok' if result.returncode == 0 else 'FAILED'} ({time.monotonic() - began:.1f} s)")
        if result.returncode:
            self.stdout.write(result.stdout + result.stderr)
        return result.returncode == 0
