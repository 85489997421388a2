"""The list, the page and the form of images as people click through them; nothing here loads a page twice."""

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser


@pytest.fixture
def make(server):
    """Make an image of demo without data through the API, by its name; answers its id."""

    def made(name, **fields):
        body = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "private", **fields}
        return server.request("POST", "/image/v2/images", body, user="alice").json["id"]

    return made


def names(page):
    return page.locator("#image-table a.image-name").all_text_contents()


def stay(page):
    """Put a mark on the document, which is lost when the browser loads a page instead of swapping a part."""
    page.evaluate("window.stayed = true")


def stayed(page):
    return page.evaluate("window.stayed === true")


def test_searching_sorting_and_going_back_happen_in_place_and_in_the_url(page_as, make):
    for number in range(3):
        make(f"find-{number}", tags=["needle"] if number == 1 else [])
    page = page_as("alice")
    page.goto("/images/?q=find")
    stay(page)
    page.click("thead .col-name a")
    page.wait_for_url("**/images/?q=find&sort=-name")
    expect(page.locator("a.image-name").first).to_have_text("find-2")
    page.locator("#image-q").fill("needle")
    page.wait_for_url("**/images/?q=needle&sort=-name")
    expect(page.locator("#image-table tbody")).to_contain_text("tag: needle")
    assert names(page) == ["find-1"]
    assert page.evaluate("document.activeElement.id") == "image-q"
    page.click("a.image-name")
    expect(page.locator("#image-detail h1")).to_have_text("find-1")
    page.go_back()
    expect(page.locator("#image-q")).to_have_value("needle")
    page.click("text=Clear")
    expect(page.locator("#image-q")).to_have_value("")
    assert stayed(page)
    assert page.faults == []


def test_a_wrong_value_is_said_at_its_field_and_a_right_one_is_saved(page_as, make):
    image = make("edit-me")
    page = page_as("alice")
    page.goto(f"/images/{image}/edit")
    stay(page)
    page.fill("[name=name]", "edited")
    page.fill("[name=min_disk]", "-1")
    page.click("text=Save")
    expect(page.locator(".invalid-feedback")).to_contain_text("greater than or equal to 0")
    expect(page.locator("[name=name]")).to_have_value("edited")
    page.fill("[name=min_disk]", "2")
    page.click("text=Save")
    expect(page.locator("#image-detail h1")).to_have_text("edited")
    expect(page.locator("#toasts")).to_contain_text("is saved")
    assert stayed(page)


def test_what_alice_does_carol_sees_without_reloading_and_bob_never(page_as, make):
    image = make("live-1")
    alice, carol, bob = page_as("alice"), page_as("carol"), page_as("bob")
    for page in (carol, bob):
        page.goto("/images/?q=live-")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        stay(page)
    make("live-2")
    expect(carol.locator("a.image-name")).to_have_text(["live-1", "live-2"])
    alice.goto(f"/images/{image}/edit")
    alice.fill("[name=name]", "live-renamed")
    alice.click("text=Save")
    expect(carol.locator("a.image-name").first).to_have_text("live-renamed")
    alice.click("#image-detail .row-menu > button")
    alice.click("text=Delete…")
    alice.click("#modal >> text=Delete image")
    expect(carol.locator("a.image-name")).to_have_text(["live-2"])
    assert stayed(carol)
    assert stayed(bob)
    assert names(bob) == []


def test_many_are_selected_and_deleted_after_a_question_that_names_them(page_as, make):
    for number in range(3):
        make(f"bulk-{number}", protected=number == 2)
    page = page_as("alice")
    page.goto("/images/?q=bulk-")
    stay(page)
    expect(page.locator("[data-bulk]")).to_be_hidden()
    page.check("[data-check-all]")
    expect(page.locator(".bulk-count")).to_have_text("3 selected")
    page.click("[data-bulk]")
    question = page.locator("#modal")
    expect(question).to_contain_text("Delete 2 images?")
    expect(question).to_contain_text("is protected")
    page.click("#modal .btn-danger")
    expect(page.locator("#toasts")).to_contain_text("2 images deleted.")
    expect(page.locator("a.image-name")).to_have_text(["bulk-2"])
    expect(question).to_be_hidden()
    assert "q=bulk-" in page.url
    assert stayed(page)


def test_someone_looking_at_an_image_learns_that_it_is_gone(page_as, make, server):
    image = make("gone-soon")
    page = page_as("carol")
    page.goto(f"/images/{image}/")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert server.request("DELETE", f"/image/v2/images/{image}", user="alice").status == 204
    expect(page.locator(".gone-note")).to_be_visible()


def test_without_a_script_everything_still_works(chromium, server, make):
    make("plain-1")
    context = chromium.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    from tests.browser.conftest import sign_in

    sign_in(page, "alice")
    page.goto("/images/")
    page.fill("#image-q", "plain-")
    page.press("#image-q", "Enter")
    assert names(page) == ["plain-1"]
    page.check("[name=ids]")
    page.click("[data-bulk]")
    expect(page.locator("#page")).to_contain_text("Delete 1 image?")
    page.click(".btn-danger")
    assert names(page) == []
    expect(page.locator("#page")).to_contain_text("1 image deleted.")
    page.click(".avatar")
    page.click("[data-logout] button")
    page.wait_for_url("**/login")
    context.close()


def test_a_question_gives_the_focus_back_to_the_menu_it_came_from(page_as, make):
    image = make("kept")
    page = page_as("alice")
    page.goto("/images/")
    menu = page.locator(f"#image-{image} .row-menu button").first
    menu.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"#menu-{image} a").first).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#modal")).to_contain_text("Delete “kept”?")
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.evaluate("vitrine.live.refreshAll()")
    page.evaluate("new Promise((done) => document.addEventListener('htmx:afterSettle', done, { once: true }))")
    expect(menu).to_be_focused()
