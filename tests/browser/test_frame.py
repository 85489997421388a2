"""The frame around every page, as people use it: by keyboard, on a phone, in the dark, and when the connection goes."""

import subprocess
import sys
import uuid

import pytest

from tests.browser.conftest import sign_in
from tests.server import ROOT

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser

PAGES = ["/images/", "/images/?tab=public", "/images/create", "/work/", "/settings", "/password"]
BOB_IN_DEMO = """
import django
django.setup()
from dashboard.identity import models, services
services.grant(models.User.objects.get(name="bob"), models.Project.objects.get(name="demo"), "reader")
"""
ADMIN_PAGES = ["/images/all", "/identity/projects", "/identity/users"]


@pytest.fixture(scope="module")
def image(server):
    """An active image of demo."""
    made = server.request(
        "POST", "/image/v2/images", {"name": "cirros-0.6.3", "disk_format": "raw", "container_format": "bare"}, user="alice"
    ).json
    octets = {"Content-Type": "application/octet-stream"}
    assert server.request("PUT", f"/image/v2/images/{made['id']}/file", b"\0" * 4096, octets, user="alice").status == 204
    return made["id"]


@pytest.mark.parametrize("width", [375, 1280, 1920])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_free_of_violations_and_fits_the_screen(page_as, axe, image, theme, width):
    page = page_as("admin", theme=theme, width=width)
    for path in [*PAGES, *ADMIN_PAGES, f"/images/{image}/", f"/images/{image}/edit", "/images/nothing"]:
        page.goto(path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert page.evaluate("document.documentElement.dataset.bsTheme") == theme
    assert page.faults == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_page_is_free_of_violations(page_as, axe, theme):
    page = page_as("", theme=theme)
    page.goto("/login")
    assert axe(page) == []
    assert page.faults == []


def test_moving_between_pages_keeps_the_document_and_the_tray(page_as):
    page = page_as("alice")
    page.evaluate("window.stays = true")
    page.click("#nav >> text=Work")
    expect(page.locator("h1")).to_have_text("Work")
    expect(page.locator("#nav [aria-current=page]")).to_contain_text("Work")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Images")
    expect(page.locator("#nav [aria-current=page]")).to_contain_text("Images")
    assert page.evaluate("window.stays && document.querySelectorAll('#page').length === 1 && !!document.querySelector('#upload-tray')")


def test_the_keyboard_reaches_search_help_and_pages(page_as):
    page = page_as("alice")
    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("cirros")
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/?q=cirros")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page.locator("h1")).to_have_text("Work")


def test_a_chosen_theme_is_there_before_the_first_paint_of_the_next_page(page_as):
    page = page_as("alice", theme="light")
    page.click(".theme-menu button")
    page.click("[data-theme-set=dark]")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.goto("/work/", wait_until="commit")
    page.wait_for_function("() => document.body")
    assert page.evaluate("document.documentElement.dataset.bsTheme") == "dark"


def test_on_a_phone_the_drawer_holds_the_focus_until_it_is_closed(page_as):
    page = page_as("alice", width=375, height=700)
    expect(page.locator("#sidebar")).to_be_hidden()
    page.click("[data-drawer]")
    expect(page.locator("#sidebar a").first).to_be_focused()
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("!document.activeElement.closest('#page, .topbar')")
    page.keyboard.press("Escape")
    expect(page.locator("[data-drawer]")).to_be_focused()
    expect(page.locator("#sidebar")).to_be_hidden()


def test_a_changed_image_shows_in_every_tab_without_a_reload(page_as, server, image):
    page = page_as("carol")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    name = f"renamed-{uuid.uuid4().hex[:6]}"
    patch = [{"op": "replace", "path": "/name", "value": name}]
    kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    page.evaluate("window.stays = true")
    answer = server.request("PATCH", f"/image/v2/images/{image}", patch, kind, user="alice")
    assert answer.status == 200
    expect(page.locator(f"#image-{image}")).to_contain_text(name)
    assert page.evaluate("window.stays")


def test_a_login_that_ended_elsewhere_is_said_at_once(page_as):
    page = page_as("bob")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    other = page.context.new_page()
    other.goto("/images/")
    other.click(".avatar")
    other.click("[data-logout] button")
    other.wait_for_url("**/login**")
    expect(page.locator("#signed-out")).to_be_visible(timeout=15_000)
    expect(page.locator("#signed-out a")).to_have_attribute("target", "_blank")


def test_switching_the_project_in_one_tab_brings_the_other_along(page_as, server):
    subprocess.run([sys.executable, "-c", BOB_IN_DEMO], cwd=ROOT, env=server.env, check=True)
    page = page_as("bob")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    before = page.locator("#topbar-project").get_attribute("data-project")
    page.evaluate("window.stays = true")
    other = page.context.new_page()
    other.goto("/images/")
    other.click(".project-button")
    other.locator(".project form button[name=project]:not([aria-current])").first.click()
    expect(other.locator("#topbar-project")).not_to_have_attribute("data-project", before)
    expect(page.locator("#topbar-project")).not_to_have_attribute("data-project", before, timeout=15_000)
    assert page.evaluate("window.stays")


def test_signing_in_again_beside_the_page_wakes_it_up(page_as):
    page = page_as("carol")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    other = page.context.new_page()
    other.goto("/images/")
    other.click(".avatar")
    other.click("[data-logout] button")
    expect(page.locator("#signed-out")).to_be_visible(timeout=15_000)
    sign_in(other, "carol")
    expect(page.locator("#signed-out")).to_be_hidden(timeout=20_000)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.click("#nav >> text=Work")
    expect(page.locator("h1")).to_have_text("Work")


def test_every_menu_fits_a_phone(page_as, axe):
    page = page_as("alice", width=375, height=700)
    for button in page.locator(".topbar [data-menu]").all():
        button.click()
        menu = page.locator(".dropdown-menu.show")
        expect(menu).to_have_count(1)
        box = menu.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375
        assert axe(page) == []
        page.keyboard.press("Escape")


def test_a_menu_is_walked_with_the_arrow_keys_and_left_with_escape(page_as):
    page = page_as("alice")
    page.focus(".avatar")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Settings")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Change password")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".avatar")).to_be_focused()
    expect(page.get_by_role("link", name="Settings")).to_be_hidden()
