"""Uploads as a person in a browser sees them: real Chromium, a real server, real files."""

import functools
import hashlib
import re
import shutil
import subprocess

import pytest

from tests.browser.conftest import sign_in
from tests.browser.uploading import (
    MIB,
    Wire,
    begin,
    choose,
    expect_state,
    hostile,
    item,
    md5,
    random_file,
    requests,
    sent,
    slow,
    the_image,
)  # fmt: skip
from tests.server import DEMO_PASSWORD, Server
from tests.waiting import until

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.browser

COLLECT = """() => {
  window.stays = true;
  window.seen = new Set();
  new MutationObserver(() => {
    const bar = document.querySelector("#image-table [data-job] progress");
    const label = document.querySelector("#image-table [data-job] .job-label");
    if (bar && label) window.seen.add(`${label.textContent} ${bar.value}`);
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of this module's own: one test kills it."""
    with Server(tmp_path_factory.mktemp("upload") / "var", pages=True) as running:
        yield running


@pytest.fixture
def alice(page_as):
    return page_as("alice")


@pytest.fixture
def big(tmp_path):
    """A raw disk of 48 MiB that no store has seen."""
    return random_file(tmp_path / "big.raw", 48)


# -- the way of a file -------------------------------------------------------------------------------------------------
def test_a_dropped_file_is_seen_moving_in_the_row_and_becomes_active_without_a_reload(alice, server):
    alice.goto(f"{server.url}/images/create")
    dropped = alice.evaluate_handle(
        """() => {
          const bytes = new Uint8Array(24 * 2 ** 20);
          for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.raw"));
          return transfer;
        }"""
    )
    alice.dispatch_event("[data-drop]", "drop", {"dataTransfer": dropped})
    sync_api.expect(alice.locator("[data-facts]")).to_contain_text("RAW · 24 MiB virtual")
    sync_api.expect(alice.locator("[data-submit]")).to_be_enabled()
    slow(alice, 6)
    alice.evaluate(COLLECT)
    alice.click("[data-submit]")
    expect_state(alice, "active")
    sync_api.expect(alice.locator("#image-table tr", has_text="dropped")).to_contain_text("Active")
    assert alice.evaluate("window.stays") is True
    values = {seen for seen in alice.evaluate("[...window.seen]") if not seen.endswith(" 0")}
    assert len(values) >= 5, values
    assert alice.url == f"{server.url}/images/"


@pytest.mark.qemu
@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vdi", "vhdx", "vhd"])
def test_every_format_is_recognised_and_converted_to_raw(alice, server, tmp_path, kind):
    raw = random_file(tmp_path / "disk.raw", 4)
    file = tmp_path / f"guest-{kind}.{kind}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vpc" if kind == "vhd" else kind, raw, file], check=True)
    back = tmp_path / "back.raw"
    subprocess.run(["qemu-img", "convert", "-f", "vpc" if kind == "vhd" else kind, "-O", "raw", file, back], check=True)
    choose(alice, server, file, target_format="raw")
    sync_api.expect(alice.locator("[data-facts]")).to_contain_text(re.compile(rf"{kind.upper()} · 4(\.\d)? MiB virtual"))
    assert alice.locator("#id_min_disk").input_value() == "1"
    alice.click("[data-submit]")
    expect_state(alice, "active", seconds=60)
    image = the_image(server, f"guest-{kind}")
    assert (image["disk_format"], image["checksum"], image["min_disk"]) == ("raw", md5(back), 1)


def test_several_files_become_one_image_each(alice, server, tmp_path):
    files = [random_file(tmp_path / f"many-{n}.raw", 1) for n in range(3)]
    begin(alice, server, *files, description="A set")
    for number in range(3):
        expect_state(alice, "active", number)
    for file in files:
        image = the_image(server, file.stem)
        assert (image["checksum"], image["description"]) == (md5(file), "A set")


def test_a_name_that_promises_another_format_is_pointed_out(alice, server, tmp_path):
    file = random_file(tmp_path / "liar.qcow2", 1)
    choose(alice, server, file)
    sync_api.expect(alice.locator("[data-warnings]")).to_contain_text("the content is RAW")
    empty = tmp_path / "empty.raw"
    empty.touch()
    alice.set_input_files("[data-chooser]", [empty])
    sync_api.expect(alice.locator("[data-problem]").last).to_contain_text("empty")
    sync_api.expect(alice.locator("[data-submit]")).to_be_disabled()


def test_a_pasted_sum_is_verified(alice, server, tmp_path):
    file = random_file(tmp_path / "summed.raw", 1)
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    choose(alice, server, file, checksum=f"{right}  summed.raw")
    sync_api.expect(alice.locator("[data-sum]")).to_contain_text("sha256")
    alice.fill("#id_checksum", "0" * 64)
    alice.click("[data-submit]")
    expect_state(alice, "failed")
    assert the_image(server, "summed")["status"] == "queued"


# -- interruptions -----------------------------------------------------------------------------------------------------
def test_pause_stops_the_bytes_and_going_on_finishes_them(alice, server, big):
    slow(alice, 8)
    begin(alice, server, big)
    until(lambda: sent(alice) > 4 * MIB)
    item(alice).get_by_role("button", name="Pause").click()
    expect_state(alice, "paused")
    there = sent(alice)
    alice.wait_for_timeout(700)  # nothing may happen in this time
    assert sent(alice) == there
    slow(alice, -1)
    item(alice).get_by_role("button", name="Go on").click()
    expect_state(alice, "active")
    assert the_image(server, "big")["checksum"] == md5(big)


def has_sent_more(page, before: int) -> bool:
    return sent(page) > before


def test_the_tray_goes_on_while_the_person_moves_between_pages(alice, server, tmp_path):
    file = random_file(tmp_path / "wander.raw", 24)
    slow(alice, 6)
    begin(alice, server, file)
    alice.evaluate("window.stays = true")
    before = sent(alice)
    for target in ("Work", "Images"):
        alice.locator("#nav").get_by_role("link", name=target, exact=True).click()
        alice.wait_for_url("**/work/" if target == "Work" else "**/images/")
        expect_state(alice, "sending")
        until(functools.partial(has_sent_more, alice, before))
        before = sent(alice)
    assert alice.evaluate("window.stays") is True
    expect_state(alice, "active")
    assert the_image(server, "wander")["checksum"] == md5(file)


def test_leaving_while_sending_is_warned_of(alice, server, tmp_path):
    slow(alice, 2)
    begin(alice, server, random_file(tmp_path / "leaving.raw", 16))
    expect_state(alice, "sending")
    with alice.expect_event("dialog") as asked:
        alice.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect_state(alice, "sending")


def test_after_a_reload_the_same_file_goes_on_from_where_it_was_and_no_other(alice, server, tmp_path):
    file = random_file(tmp_path / "again.raw", 32)
    other = random_file(tmp_path / "other.raw", 32)
    slow(alice, 8)
    begin(alice, server, file)
    until(lambda: sent(alice) > 8 * MIB)
    alice.on("dialog", lambda dialog: dialog.accept())
    alice.reload()
    expect_state(alice, "choose")
    offset = until(lambda: sent(alice), "how far the server has it")
    sync_api.expect(item(alice)).to_contain_text("Choose again.raw again to go on from")
    item(alice).locator("input[type=file]").set_input_files(other)
    sync_api.expect(item(alice)).to_contain_text("it is not the same file")
    patches = requests(alice, "PATCH")
    slow(alice, -1)
    item(alice).locator("input[type=file]").set_input_files(file)
    expect_state(alice, "active")
    assert int(patches[0].headers["upload-offset"]) >= offset
    assert the_image(server, "again")["checksum"] == md5(file)


def test_a_lost_network_is_waited_for(page_as, server, tmp_path):
    wire = Wire(server)
    alice = page_as("")
    file = random_file(tmp_path / "lost.raw", 24)
    alice.goto(f"http://127.0.0.1:{wire.port}/login?next=/images/create")
    alice.fill("[name=name]", "alice")
    alice.fill("[name=password]", DEMO_PASSWORD)
    alice.keyboard.press("Enter")
    slow(alice, 6)
    alice.set_input_files("[data-chooser]", file)
    sync_api.expect(alice.locator("[data-facts]")).to_contain_text("RAW")
    alice.click("[data-submit]")
    until(lambda: sent(alice) > 2 * MIB)
    wire.cut()
    expect_state(alice, "offline")
    sync_api.expect(item(alice)).to_contain_text("Waiting for the network")
    wire.mend()
    slow(alice, -1)
    expect_state(alice, "active", seconds=60)
    assert the_image(server, "lost")["checksum"] == md5(file)


def test_a_killed_server_that_comes_back_gets_the_rest(alice, server, tmp_path):
    file = random_file(tmp_path / "killed.raw", 48)
    slow(alice, 10)
    begin(alice, server, file)
    until(lambda: sent(alice) > 0.3 * 48 * MIB)
    server.kill9()
    expect_state(alice, "offline")
    server.start()
    slow(alice, -1)
    expect_state(alice, "active", seconds=60)
    assert the_image(server, "killed")["checksum"] == md5(file)


def test_an_ended_login_does_not_stop_the_upload(alice, server, tmp_path):
    file = random_file(tmp_path / "login.raw", 24)
    slow(alice, 6)
    begin(alice, server, file)
    until(lambda: sent(alice) > MIB)
    alice.context.clear_cookies()
    until(lambda: the_image(server, "login")["status"] == "active")
    assert the_image(server, "login")["checksum"] == md5(file)


def test_after_an_ended_login_the_filled_form_is_sent_from_where_it_is(alice, server, tmp_path):
    alice.goto(f"{server.url}/images/create")
    with alice.expect_response("**/preflight?**") as judged:  # its answer would set the cookie anew
        alice.set_input_files("[data-chooser]", random_file(tmp_path / "kept.raw", 1))
    judged.value.finished()
    alice.context.clear_cookies()
    alice.click("[data-submit]")
    problem = alice.locator("[data-problem]")
    sync_api.expect(problem).to_contain_text("Your login has ended. Sign in again in another tab, then press Create image once more.")
    with alice.context.expect_page() as opened:
        problem.get_by_role("link", name="Sign in again").click()
    tab = opened.value
    tab.fill("[name=name]", "alice")
    tab.fill("[name=password]", DEMO_PASSWORD)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#topbar-project")
    alice.click("[data-submit]")
    alice.wait_for_url("**/images/", timeout=15_000)
    until(lambda: the_image(server, "kept")["status"] == "active")


def test_a_second_tab_watches_and_does_not_send_as_well(alice, server, tmp_path):
    file = random_file(tmp_path / "tabs.raw", 32)
    slow(alice, 6)
    begin(alice, server, file)
    until(lambda: sent(alice) > MIB)
    second = alice.context.new_page()
    sending = requests(second, "PATCH")
    second.goto(f"{server.url}/images/")
    expect_state(second, "elsewhere")
    expect_state(second, "active", seconds=60)
    assert not sending
    assert the_image(server, "tabs")["checksum"] == md5(file)


# -- refusals and changes of mind --------------------------------------------------------------------------------------
def test_a_hostile_file_is_refused_with_the_server_s_sentence(alice, server, tmp_path):
    begin(alice, server, hostile(tmp_path / "trap.qcow2"))
    expect_state(alice, "failed")
    reason = item(alice).locator("[data-note]").inner_text()
    assert "data file" in reason.lower() or "another file" in reason.lower(), reason
    for name in ("Retry", "Throw away"):
        sync_api.expect(item(alice).get_by_role("button", name=name)).to_be_visible()
    assert the_image(server, "trap")["status"] == "queued"
    item(alice).get_by_role("link", name="Change source").click()
    sync_api.expect(alice.get_by_role("heading", name="Source of “trap”")).to_be_visible()
    alice.set_input_files("[data-chooser]", random_file(tmp_path / "good.raw", 1))
    sync_api.expect(alice.locator("[data-submit]")).to_be_enabled()
    alice.click("[data-submit]")
    expect_state(alice, "active")
    sync_api.expect(alice.locator(".upload")).to_have_count(1)
    assert the_image(server, "trap")["disk_format"] == "raw"


def test_cancel_asks_once_and_leaves_a_record_that_can_be_sent_again_or_thrown_away(alice, server, tmp_path):
    slow(alice, 3)
    begin(alice, server, random_file(tmp_path / "second-thoughts.raw", 12))
    until(lambda: sent(alice) > MIB)
    item(alice).get_by_role("button", name="Cancel the upload").click()
    item(alice).get_by_role("button", name="Stop it").click()
    expect_state(alice, "cancelled")
    until(lambda: the_image(server, "second-thoughts")["status"] == "queued")
    slow(alice, -1)
    item(alice).get_by_role("button", name="Retry").click()
    expect_state(alice, "active")


def test_a_deleted_image_ends_its_upload_truthfully(alice, server, tmp_path):
    slow(alice, 3)
    begin(alice, server, random_file(tmp_path / "deleted.raw", 24))
    until(lambda: sent(alice) > MIB)
    assert server.request("DELETE", f"/image/v2/images/{the_image(server, 'deleted')['id']}", user="alice").status == 204
    expect_state(alice, "gone", seconds=60)
    sync_api.expect(item(alice)).to_contain_text("was deleted")


def test_preflight_refuses_before_the_first_byte_with_numbers(chromium, tmp_path):
    with Server(tmp_path / "var", env={"VITRINE_QUOTA_IMAGE_SIZE_TOTAL": "2"}, pages=True) as small:
        page = chromium.new_context(base_url=small.url).new_page()
        sign_in(page, "alice")
        page.goto(f"{small.url}/images/create")
        page.set_input_files("[data-chooser]", random_file(tmp_path / "large.raw", 3))
        sync_api.expect(page.locator("[data-problem]")).to_contain_text("3 MiB")
        sync_api.expect(page.locator("[data-why]")).to_contain_text("2 MiB")
        sync_api.expect(page.locator("[data-submit]")).to_be_disabled()
        page.context.close()


# -- without a mouse, without a script -----------------------------------------------------------------------------------
def test_an_upload_by_keyboard_alone(alice, server, tmp_path):
    file = random_file(tmp_path / "keys.raw", 1)
    alice.on("filechooser", lambda _chooser: None)  # from now on the driver catches choosers; asked for later, it may come too late
    alice.goto(f"{server.url}/images/")
    alice.keyboard.press("c")
    alice.wait_for_url("**/images/create")
    tab_to(alice, "[data-chooser]")
    with alice.expect_file_chooser() as opened:
        alice.keyboard.press("Enter")
    opened.value.set_files(file)
    sync_api.expect(alice.locator("[data-facts]")).to_contain_text("RAW")
    tab_to(alice, "[data-submit]")
    alice.keyboard.press("Enter")
    expect_state(alice, "active")
    tab_to(alice, '.upload [data-act="dismiss"]')
    alice.keyboard.press("Enter")
    sync_api.expect(alice.locator("#upload-tray")).to_be_hidden()


def tab_to(page, selector: str) -> None:
    for _ in range(300):
        if page.evaluate("(wanted) => document.activeElement?.matches(wanted) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {selector}")


def test_without_javascript_a_url_can_be_given_and_its_refusal_is_read(chromium, server):
    context = chromium.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "alice")
    page.goto("/images/create")
    sync_api.expect(page.get_by_text("needs JavaScript")).to_be_visible()
    page.get_by_label("From a URL").check()
    page.get_by_label("URL", exact=True).fill("http://127.0.0.1:1/disk.qcow2")
    page.get_by_label("Description").fill("Typed by hand")
    page.get_by_role("button", name="Create image").click()
    sync_api.expect(page.locator(".invalid-feedback").first).to_be_visible()
    assert page.get_by_label("Description").input_value() == "Typed by hand"
    context.close()


def test_a_url_that_will_not_do_comes_back_in_place_with_all_that_was_typed(alice):
    alice.goto("/images/create")
    alice.evaluate("window.stays = true")
    alice.get_by_label("From a URL").check()
    sync_api.expect(alice.locator("[data-submit]")).to_be_enabled()
    alice.get_by_label("URL", exact=True).fill("http://127.0.0.1:1/disk.qcow2")
    alice.get_by_label("Description").fill("Typed by hand")
    alice.click("[data-submit]")
    sync_api.expect(alice.locator(".invalid-feedback").first).to_be_visible()
    assert alice.get_by_label("Description").input_value() == "Typed by hand"
    assert alice.evaluate("window.stays") is True


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_form_and_tray(page_as, axe, server, tmp_path, theme):
    alice = page_as("alice", theme=theme)
    slow(alice, 1)
    begin(alice, server, random_file(tmp_path / f"axe-{theme}.raw", 6), hostile(tmp_path / f"axe-{theme}.qcow2"))
    expect_state(alice, "failed", 1)
    assert axe(alice) == []
    item(alice).get_by_role("button", name="Cancel the upload").click()
    alice.get_by_role("link", name="Create image").click()
    alice.wait_for_url("**/images/create")
    alice.set_input_files("[data-chooser]", [random_file(tmp_path / "wrong.qcow2", 1), hostile(tmp_path / "x.vmdk")])
    sync_api.expect(alice.locator(".file-card")).to_have_count(2)
    assert axe(alice) == []
    assert alice.faults == []
