"""The main job, as three people see it: alice sends a disk of each format to be stored as raw, carol of the same project watches,
bob of another project hears nothing."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.uploading import begin, slow
from tests.server import DEMO_PASSWORD, Server

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
QEMU_IMG = shutil.which("qemu-img") or ""
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not QEMU_IMG, reason="qemu-img is not installed")]
MIB = 2**20
# Disk format as the product names it → as qemu-img does, with the options that keep the virtual size exact.
FORMATS = {"qcow2": ["qcow2"], "vmdk": ["vmdk"], "vdi": ["vdi"], "vhdx": ["vhdx"], "vhd": ["vpc", "-o", "force_size=on"]}

WATCH = """() => {
  window.unbroken = true;
  window.seen = {};
  new MutationObserver(() => {
    for (const row of document.querySelectorAll("#image-table [data-job]")) {
      const label = row.querySelector(".job-label")?.textContent, bar = row.querySelector("progress");
      if (label && bar) (window.seen[label] ??= new Set()).add(bar.value);
    }
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""
SEEN = "() => Object.fromEntries(Object.entries(window.seen).map(([label, values]) => [label, [...values]]))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """Conversion is held to 6 MiB a second, so that there is something to watch."""
    with Server(tmp_path_factory.mktemp("light") / "var", env={"VITRINE_CONVERSION_RATE": "6"}, pages=True) as running:
        yield running


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 64 MiB disk with 16 MiB of data and holes between; `VITRINE_GUEST` names a real guest to take instead."""
    if given := os.environ.get("VITRINE_GUEST"):
        return Path(given)
    disk = tmp_path_factory.mktemp("guest") / "guest.raw"
    with disk.open("wb") as file:
        for megabyte in range(0, 64, 4):
            file.seek(megabyte * MIB)
            file.write(os.urandom(MIB))
        file.truncate(64 * MIB)
    return disk


def made_of(guest: Path, folder: Path, disk_format: str) -> Path:
    """The guest in another format."""
    path = folder / f"{disk_format}-guest.{disk_format}"
    source = "qcow2" if guest.suffix == ".qcow2" else "raw"
    subprocess.run([QEMU_IMG, "convert", "-f", source, "-O", *FORMATS[disk_format], str(guest), str(path)], check=True)
    return path


def as_raw(path: Path, disk_format: str) -> str:
    """SHA-256 of what qemu-img makes of the file."""
    raw = path.with_suffix(".expected")
    subprocess.run([QEMU_IMG, "convert", "-f", FORMATS[disk_format][0], "-O", "raw", str(path), str(raw)], check=True)
    with raw.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def downloaded(server: Server, image: str) -> str:
    return hashlib.sha256(server.request("GET", f"/image/v2/images/{image}/file", user="alice", timeout=60).body).hexdigest()


def watching(page, server: Server) -> None:
    page.goto(f"{server.url}/images/")
    sync_api.expect(page.locator(".live-dot, [data-live]").first).to_be_attached()
    page.evaluate(WATCH)


@pytest.mark.parametrize("disk_format", FORMATS)
def test_a_disk_is_sent_converted_and_stored_before_everyones_eyes_but_bobs(page_as, server, guest, tmp_path, disk_format):
    path = made_of(guest, tmp_path, disk_format)
    bob, carol, alice = page_as(""), page_as("carol"), page_as("alice")
    heard: list[str] = []
    bob.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    bob.goto(f"{server.url}/login")
    bob.fill("[name=name]", "bob")
    bob.fill("[name=password]", DEMO_PASSWORD)
    with bob.expect_websocket():
        bob.click("#page button[type=submit]")
    watching(carol, server)
    alice.goto(f"{server.url}/images/create")
    alice.evaluate(WATCH)
    slow(alice, 6)
    begin_here(alice, path)

    row = alice.locator("#image-table tbody tr", has_text=path.stem)
    sync_api.expect(row).to_contain_text("Active", timeout=60_000)
    sync_api.expect(carol.locator("#image-table tbody tr", has_text=path.stem)).to_contain_text("Active", timeout=5_000)
    for page in (alice, carol):
        seen = page.evaluate(SEEN)
        assert page.evaluate("window.unbroken"), "the page was loaded again"
        assert len(seen.get("Sending", [])) >= 5, seen
        assert len(seen.get("Converting", [])) >= 5, seen
    image = re.sub("^image-", "", row.get_attribute("id") or "")
    sync_api.expect(row).to_contain_text("RAW")
    assert downloaded(server, image) == as_raw(path, disk_format)
    assert bob.locator("#image-table tbody tr", has_text=path.stem).count() == 0
    assert [frame for frame in heard if image in frame] == []


def begin_here(page, path: Path) -> None:
    """Choose the file and send it, on the create page that is open."""
    page.set_input_files("[data-chooser]", str(path))
    page.locator("#id_target_format").select_option("raw")
    sync_api.expect(page.locator("[data-submit]")).to_be_enabled()
    page.click("[data-submit]")
    page.wait_for_url("**/images/")


def test_a_kill_in_the_middle_of_a_conversion_loses_nothing(page_as, server, guest, tmp_path):
    path = made_of(guest, tmp_path, "qcow2").rename(tmp_path / "survivor.qcow2")
    alice = page_as("alice")
    begin(alice, server, path, target_format="raw")
    row = alice.locator("#image-table tbody tr", has_text="survivor")
    sync_api.expect(row.locator(".job-label")).to_have_text("Converting", timeout=30_000)
    sync_api.expect(row.locator("progress")).to_have_attribute("value", re.compile(r"^[4-9]\d"), timeout=30_000)
    server.kill9()
    server.start()
    sync_api.expect(row).to_contain_text("Active", timeout=90_000)
    image = re.sub("^image-", "", row.get_attribute("id") or "")
    assert downloaded(server, image) == as_raw(path, "qcow2")
    assert list((server.data / "staging").iterdir()) == []
