"""A real server and a real Chromium.

`page_as("alice", theme="dark", width=375)` is her browser, signed in; `axe(page)` judges what it shows.
"""

import ctypes
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import ADMIN_PASSWORD, DEMO_PASSWORD, ROOT, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = ROOT / "tests" / "vendor" / "axe.min.js"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with the demo people, static files collected; the modules of this folder share it."""
    with Server(tmp_path_factory.mktemp("browser") / "var", pages=True) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium itself. Per module: two drivers cannot live in one process, and a module may bring its own."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        pytest.skip("libatomic1 is not installed, which Playwright's driver needs")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page_as(chromium: Any, server: Server, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a browser for somebody: `page_as("alice", theme="dark", width=375)`; with "" nobody has signed in.

    `page.faults` collects script errors and refusals by the Content-Security-Policy.
    """
    opened: list[Any] = []

    def open_page(name: str = "alice", *, theme: str = "light", width: int = 1280, height: int = 860) -> Any:
        context = chromium.new_context(base_url=server.url, viewport={"width": width, "height": height}, color_scheme=theme)
        context.set_default_timeout(15_000)
        page = context.new_page()
        opened.append(page)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: page.faults.append(line.text) if "Content Security Policy" in line.text else None)
        if name:
            sign_in(page, name)
        return page

    yield open_page
    failed = getattr(request.node, "failed", False)
    for number, page in enumerate(opened):
        if failed:
            page.screenshot(path=tmp_path / f"failed-{number}.png", full_page=True)
        page.context.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Let `page_as` know that a test failed, so that it keeps a picture."""
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed  # type: ignore[attr-defined]


def sign_in(page: Any, name: str) -> None:
    """Through the login page, as people do."""
    page.goto("/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", ADMIN_PASSWORD if name == "admin" else DEMO_PASSWORD)
    page.click("#page button[type=submit]")
    page.wait_for_selector("#nav", state="attached")  # on a phone it is in the closed drawer


@pytest.fixture
def axe() -> Callable[..., list[str]]:
    """The violations axe-core finds on a page, one line each; an empty list is what we want. `rules`: only these.

    The rules run in an isolated world of the driver, so the page keeps its own Content-Security-Policy.
    """
    source = AXE.read_text()

    def violations(page: Any, rules: list[str] | None = None) -> list[str]:
        # No half-faded text: what is still moving is judged where it comes to rest.
        page.evaluate(
            """() => Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity)
                      .map((one) => one.finished.catch(() => 0)))"""
        )
        page.evaluate(source)
        found = page.evaluate("async (rules) => (await axe.run(rules ? { runOnly: rules } : {})).violations", rules)
        return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]

    return violations
