#!/usr/bin/env python3
"""The two commands of the README (`up`, `test`) and every other Django command.

Before Django exists, dashboard/bootstrap.py makes the machine ready; it needs nothing but Python.
"""

import importlib.util
import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    # Loaded by its path: importing the package `dashboard` would load Celery, which is not installed yet.
    spec = importlib.util.spec_from_file_location("bootstrap", str(Path(__file__).resolve().parent / "dashboard" / "bootstrap.py"))
    bootstrap = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(bootstrap)  # type: ignore[union-attr]
    bootstrap.prepare(sys.argv)

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
