"""A tour of the page in the system's Chromium: a mistake at its wire, a gesture, saving, the list of runs, a curve."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from fusionkit.studio.graph_files import StudioFolder
from fusionkit.studio.link import WorkerLink
from fusionkit.studio.server import make_app
from fusionkit.studio.start import _socket
from fusionkit.studio.worker import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = os.environ.get("FUSIONKIT_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
TOKEN = "a-token-of-the-tour"
TEXT = """\
fusionkit: 1
name: small
inputs: {lab: {vector: [3]}, scan: {vector: [5]}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 5}}  # as wide as the scan
  both: {use: fusion.late_mean, from: [told, scan]}
  kind: {use: head.classify, from: both, with: {classes: [a, b]}}
"""


class DeskLink(WorkerLink):
    """The worker in this process, which has imported torch already."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()

    async def start(self) -> None:
        """It is here."""

    async def ask(self, call: str, given: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(self.desk.answer, call, given)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "graph.yaml").write_text(TEXT)
    for fold, losses in enumerate(([0.9, 0.5, 0.4], [0.7, 0.3, 0.35])):
        place = tmp_path / "cv" / f"fold-{fold}"
        place.mkdir(parents=True)
        rows = "".join(f"{epoch},{loss}\n" for epoch, loss in enumerate(losses, 1))
        (place / "history.csv").write_text("epoch,train_loss\n" + rows)
        (place / "graph.yaml").write_text(TEXT)
    listening = _socket(None)
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    app = make_app(StudioFolder(tmp_path.resolve(), write=True), TOKEN, [host], DeskLink())
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://{host}/"
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_tour(address: str, tmp_path: Path):
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1400, "height": 850})
        said: list[str] = []
        asked: set[str] = set()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition("://")[2].partition("/")[0]))
        page.set_default_timeout(20_000)
        page.goto(f"{address}#token={TOKEN}")
        walk(page, tmp_path)
        assert TOKEN not in page.url
        browser.close()
    # The browser itself tells of the refused save.
    assert [text for text in said if "409 (Conflict)" not in text] == [] and asked == {address.partition("://")[2].rstrip("/")}
    expect.set_options(timeout=5_000)


def walk(page: Page, folder: Path) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)
    area, findings, clash = page.locator("textarea"), page.locator("#findings"), page.locator(".wire.faulty")
    expect(findings).to_contain_text("no mistakes")
    area.fill(TEXT.replace("width: 5", "width: 7"))
    expect(findings).to_contain_text("[shape-clash]")
    expect(clash).to_have_count(1)
    expect(page.locator(".editor mark")).to_have_count(1)
    expect(page.locator(".node.unknown")).to_have_count(2)
    keep(page, "clash")
    area.fill(TEXT)
    expect(clash).to_have_count(0)
    page.locator(".node[data-node=told]").focus()
    page.keyboard.press("ArrowRight")  # an arrow goes to the next node, Enter to its line
    page.keyboard.press("Enter")
    expect(page.get_by_role("toolbar")).to_contain_text("chosen: both")
    page.get_by_role("textbox", name="Name").fill("joined")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".node[data-node=joined]")).to_have_count(1)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("graph.yaml is saved")).to_be_visible()
    assert (folder / "graph.yaml").read_text() == TEXT.replace("both", "joined")
    (folder / "graph.yaml").write_text("fusionkit: 1\n")
    area.fill(TEXT)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Keep mine")).to_be_visible()
    assert (folder / "graph.yaml").read_text() == "fusionkit: 1\n"
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="cv").click()
    expect(page.get_by_role("img")).to_have_attribute("aria-label", "loss: train_loss from 0.800 to 0.375 in 3 epochs")
    expect(page.get_by_text("2 of 2 folds")).to_have_count(0)
    keep(page, "run")


def keep(page: Page, name: str) -> None:
    """A screenshot, where the environment names a folder for them."""
    folder = os.environ.get("FUSIONKIT_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"studio-{name}.png")
