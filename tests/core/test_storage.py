"""Static files are collected under immutable names, and scripts import each other by them."""

import gzip
import re

import pytest
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import override_settings


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Every static file, collected as `up` does it."""
    root = tmp_path_factory.mktemp("static")
    backend = {"BACKEND": "dashboard.core.storage.StaticStorage"}
    with override_settings(STATIC_ROOT=root, STORAGES={**settings.STORAGES, "staticfiles": backend}):
        call_command("collectstatic", interactive=False, verbosity=0)
        yield root


def test_scripts_import_each_other_under_their_immutable_names(collected):
    imported = set()
    for script in collected.glob("js/*.????????????.js"):
        imported |= set(re.findall(r"""(?:from|import\()\s*["']\./([^"']+)""", script.read_text()))
    assert imported
    assert all(re.fullmatch(r"[\w-]+\.[0-9a-f]{12}\.js", name) and (collected / "js" / name).exists() for name in imported)


def test_vendored_files_stay_byte_for_byte(collected):
    hashed = staticfiles_storage.url("vendor/bootstrap/bootstrap.min.css").removeprefix("/static/")
    assert (collected / hashed).read_bytes() == (collected / "vendor/bootstrap/bootstrap.min.css").read_bytes()


def test_the_first_load_of_the_busiest_page_is_at_most_a_hundred_kilobytes(collected, alice_page):
    page = alice_page.get("/images/")
    assert page.status_code == 200
    wanted = set(re.findall(r'<(?:script|link)[^>]+(?:src|href)="/static/([^"#]+)', page.content.decode())) | {"icons.svg"}
    loaded: dict[str, int] = {}
    while wanted:
        name = wanted.pop()
        packed = collected / f"{name}.br"
        loaded[name] = (packed if packed.exists() else collected / name).stat().st_size
        if name.endswith(".js"):
            script = (collected / name).read_text()
            wanted |= {
                f"js/{other}" for other in re.findall(r"""^import[^'";]*from\s*["']\./([^"']+)""", script, re.MULTILINE)
            } - loaded.keys()
    assert len(loaded) > 8
    assert sum(loaded.values()) + len(gzip.compress(page.content)) <= 100_000, loaded
