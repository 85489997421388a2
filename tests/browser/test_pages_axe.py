"""Every page, dialog and menu before axe-core, in both themes; a page that is added to urls.py has to be added here."""

import json
import subprocess
import sys

import pytest
from django.urls import URLResolver, get_resolver, reverse

from tests.browser.uploading import random_file, slow
from tests.server import ROOT

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser

# Named paths that show no page of their own: where a form is sent to, parts of a page, and what machines read.
NO_PAGES = {
    "home", "readyz", "identity:logout", "identity:switch", "images:delete-many", "images:preflight",
    "images:retry", "images:cancel", "images:row", "jobs:cancel",
}  # fmt: skip
FRAME = {"identity:settings", "identity:password", "identity:projects", "identity:users", "images:list", "images:all", "images:create"}
# Which of the seeded images stands on each page of one image.
OF_AN_IMAGE = {
    "images:detail": "receiving", "images:edit": "active", "images:why": "failed", "images:delete": "protected", "images:upload": "failed",
    "images:deactivate": "active", "images:reactivate": "deactivated", "images:throw-away": "failed",
}  # fmt: skip
PAGES = {"identity:login", "jobs:list", "jobs:bell"} | FRAME | OF_AN_IMAGE.keys()

SEED = """
import django, json
django.setup()
from dashboard.identity.models import Project
from tests.factories import make_image, make_job
owner = Project.objects.get(name="demo").id
known = dict(properties={"os_distro": "debian", "os_version": "12", "architecture": "x86_64"}, tags=["lts"], owner=owner)
made = {
    "active": make_image(name="debian-12", virtual_size=2**31, **known),
    "deactivated": make_image(name="ubuntu-20.04", status="deactivated", owner=owner),
    "protected": make_image(name="cirros", protected=True, visibility="public", os_hidden=True, owner=owner),
    "empty": make_image(name="talos", status="queued", owner=owner),
    "failed": make_image(name="sles-15", status="queued", owner=owner),
    "cancelled": make_image(name="fedora-41", status="queued", owner=owner),
    "receiving": make_image(name="rocky-9", status="uploading", owner=owner),
}
mine = dict(user_name="alice")
make_job(made["active"], status="succeeded", stage="", **mine)
make_job(made["failed"], status="failed", message="The checksum does not match.", arguments={"method": "web-download"}, **mine)
make_job(made["cancelled"], status="cancelled", message="Cancelled by alice.", **mine)
make_job(made["receiving"], status="waiting", done=2**20, total=2**22, **mine)
print(json.dumps({name: str(image.id) for name, image in made.items()}))
"""


@pytest.fixture(scope="module")
def images(server):
    """One image in each state, by its state."""
    done = subprocess.run([sys.executable, "-c", SEED], cwd=ROOT, env=server.env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.fixture
def clean(axe):
    """`clean(page, where)`: axe-core finds nothing on it, in the light and in the dark, and it fits the screen."""

    def judge(page, where):
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
            # What a theme changes is colour; all the other rules have judged the page already.
            assert axe(page, rules=None if theme == "light" else ["color-contrast", "link-in-text-block"]) == [], f"{where}, {theme}"
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, where
        page.emulate_media(color_scheme="light")

    return judge


def names(resolver=None, prefix=""):
    """The names of all paths of the site, those of the APIs left out."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            room = f"{pattern.namespace}:" if pattern.namespace else prefix
            if not str(pattern.pattern).startswith(("identity", "image")) or room in {"images:"}:
                yield from names(pattern, room)
        elif pattern.name:
            yield f"{prefix}{pattern.name}"


def test_every_page_of_the_site_is_judged_here():
    assert set(names()) == PAGES | NO_PAGES


def test_every_page_is_clean(page_as, clean, images):
    nobody = page_as("")
    nobody.goto(reverse("identity:login"))
    clean(nobody, "identity:login")
    nobody.fill("[name=name]", "nobody")
    nobody.fill("[name=password]", "wrong")
    nobody.click("#page button[type=submit]")
    expect(nobody.locator("#sign-in-error")).to_be_visible()
    clean(nobody, "a refused sign-in")

    page = page_as("admin")
    for name in sorted(PAGES - OF_AN_IMAGE.keys() - {"identity:login"}):
        page.goto(reverse(name))
        clean(page, name)
    for name, state in OF_AN_IMAGE.items():
        page.goto(reverse(name, args=[images[state]]))
        clean(page, name)
    assert page.faults == nobody.faults == []


def test_what_pages_look_like_in_their_states_is_clean(page_as, clean, images):
    page = page_as("alice")
    detail = reverse("images:detail", args=[images["active"]])
    failed = reverse("images:detail", args=[images["failed"]])
    lists = ["/images/", "/images/?q=no-such-thing", "/images/?status=failed", "/images/?tab=public", "/work/?status=unsuccessful"]
    for path in [*lists, failed, f"{detail}?tab=properties", f"{detail}?tab=history", "/images/create?source=url", "/images/nothing"]:
        page.goto(path)
        clean(page, path)
    page.goto(reverse("identity:users"))
    clean(page, "a page that is refused")
    assert page.faults == []


def test_menus_dialogs_and_the_tray_are_clean(page_as, clean, images, tmp_path):
    page = page_as("alice")
    page.goto("/images/")
    menus = [".topbar [data-menu] >> nth=0", "#bell-button", ".theme-menu button", ".avatar", "[popovertarget=filter-status]"]
    for menu in [*menus, f"#image-{images['protected']} .row-menu button"]:
        page.click(menu)
        expect(page.locator(".dropdown-menu.show, .menu-list:popover-open")).to_have_count(1)
        clean(page, menu)
        page.keyboard.press("Escape")
    page.keyboard.press("?")
    clean(page, "the keys")
    page.keyboard.press("Escape")

    row = f"#image-{images['failed']}"
    page.click(f"{row} >> text=Why?")
    in_dialog(page, clean, "Why?")
    for action, state in (("Delete…", "active"), ("Deactivate…", "active"), ("Reactivate…", "deactivated"), ("Throw away…", "failed")):
        page.click(f"#image-{images[state]} .row-menu button")
        page.click(f"#image-{images[state]} .menu-list >> text={action}")
        in_dialog(page, clean, action)
    page.check("[data-check-all]")
    clean(page, "all selected")
    page.click("[data-bulk]")
    in_dialog(page, clean, "delete many")

    page.goto("/images/create")
    odd = random_file(tmp_path / "odd.qcow2", 4)
    page.set_input_files("[data-chooser]", odd)
    expect(page.locator("[data-submit]")).to_be_enabled()
    clean(page, "a chosen file")
    slow(page, 0.2)
    page.click("[data-submit]")
    expect(page.locator(".upload")).to_have_attribute("data-state", "sending", timeout=20_000)
    clean(page, "a file on its way")
    page.click(".upload [data-act=pause]")
    page.click(".upload [data-act=cancel]")
    clean(page, "a paused file, and the question whether to stop")
    assert page.faults == []


def test_a_phone_is_clean(page_as, clean, images):
    page = page_as("alice", width=375, height=700)
    for path in ("/images/", "/work/", "/images/create", reverse("images:detail", args=[images["failed"]])):
        page.goto(path)
        clean(page, path)
    page.click("[data-drawer]")
    clean(page, "the drawer")
    assert page.faults == []


def in_dialog(page, clean, where):
    expect(page.locator("#modal")).to_be_visible()
    clean(page, where)
    page.keyboard.press("Escape")
    expect(page.locator("#modal")).to_be_hidden()
