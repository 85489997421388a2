"""`manage.py bootstrap`: the first administrator, and the demo people when wanted. Harmless when they are there already."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dashboard.identity import services


class Command(BaseCommand):
    help = "Make the first administrator; a password that was not given is printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="also the projects demo and partner with alice, bob and carol")

    def handle(self, *args: Any, demo: bool, **options: Any) -> None:
        given = os.environ.get("VITRINE_ADMIN_PASSWORD")
        if (made := services.bootstrap_admin(given)) and made != given:
            self.stdout.write(f"The administrator is `admin`, password {made} (shown once).")
        given = os.environ.get("VITRINE_DEMO_PASSWORD")
        if demo and (made := services.bootstrap_demo(given)) and made != given:
            self.stdout.write(f"The demo users are alice, bob and carol, password {made} (shown once).")
