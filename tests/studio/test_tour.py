"""A tour of the page in the system's Chromium: a mistake at its wire, a gesture, saving, the list of runs, a curve."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from fusionkit.pages import page
from fusionkit.studio.graph_files import StudioFolder
from fusionkit.studio.link import WorkerLink
from fusionkit.studio.server import make_app
from fusionkit.studio.start import _socket
from fusionkit.studio.worker import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

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


def write_run(folder: Path) -> None:
    """A run of two folds with results, an explanation and a report."""
    for fold, losses in enumerate(([0.9, 0.5, 0.4], [0.7, 0.3, 0.35])):
        place = folder / f"fold-{fold}"
        place.mkdir(parents=True)
        rows = "".join(f"{epoch},{loss}\n" for epoch, loss in enumerate(losses, 1))
        (place / "history.csv").write_text("epoch,train_loss\n" + rows)
        (place / "graph.yaml").write_text(TEXT)
        (place / "run.json").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps({"fusionkit-metrics": 1, "heads": {"kind": {
        "task": "multiclass", "classes": ["a", "b"], "counts": {"cases": 3}, "labels": {"auroc": "AUROC"},
        "metrics": {"auroc": {"value": 0.75, "low": 0.5, "high": 0.875}}}}}))
    (folder / "predictions.csv").write_text(
        "id,fold,kind,kind:a,kind:b,kind:target\nc1,0,a,0.75,0.25,a\nc2,1,a,0.875,0.125,b\nc3,0,b,0.375,0.625,b\n")
    (folder / "explain").mkdir()
    (folder / "explain" / "shares.csv").write_text(
        "id,class,nothing,lab,scan,all,absent\nc2,a,0.5,0.25,0.125,0.875,\n")
    (folder / "explain" / "explain.json").write_text(json.dumps(
        {"shapley": [{"head": "kind", "inputs": ["lab", "scan"], "table": "shares.csv"}], "files": ["shares.csv"]}))
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text(
        page("report of cv", ["<h1>the report</h1><script>alert(1)</script>"]))


def write_comparison(folder: Path) -> None:
    """The table of a comparison of two networks."""
    apart = {"value": 0.25, "low": 0.125, "high": 0.375, "p": 0.03, "holm": 0.06, "note": None}
    rows = [{"name": name, "kind": kind, "value": value, "low": value - 0.125, "high": value + 0.125, "note": None,
             "values": [value - 0.0625, value + 0.0625], "weights": 31, "multiply_adds": 29, "difference": difference}
            for name, kind, value, difference in (("fusion.sum", "candidate", 0.75, apart),
                                                  ("fusion.concat", "reference", 0.5, None))]
    folder.mkdir()
    (folder / "compare.json").write_text(json.dumps({
        "node": "both", "units": [{}, {}], "seeds": 1, "notes": ["a note"], "left_out": {}, "heads": {
            "kind": {"metric": "auroc", "lower_is_better": False, "cases": 3, "patients": None, "test": "DeLong",
                     "rows": rows}}}))


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    monkeypatch.setattr("fusionkit.studio.work.Work._run", lambda self, folder: None)  # a training has tests of its own
    (tmp_path / "graph.yaml").write_text(TEXT)
    (tmp_path / "other.yaml").write_text(TEXT.replace("width: 5", "width: 5, hidden: [7]"))
    (tmp_path / "data.yaml").write_text("fusionkit-data: 1\n")
    write_run(tmp_path / "cv")
    write_comparison(tmp_path / "cmp")
    listening = _socket(None)
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    app = make_app(StudioFolder(tmp_path.resolve(), write=getattr(request, "param", True)), TOKEN, [host], DeskLink())
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://{host}/"
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM)
        yield made
        made.close()
    with warnings.catch_warnings():  # what browser and servers left open is not told in the next file
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_tour(address: str, tmp_path: Path, browser: Browser):
    page = browser.new_page(viewport={"width": 1400, "height": 850})
    said: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.add(request.url.partition("://")[2].partition("/")[0]))
    page.set_default_timeout(20_000)
    page.goto(f"{address}#token={TOKEN}")
    walk(page, tmp_path)
    others(page, tmp_path)
    assert TOKEN not in page.url
    page.close()
    # The browser itself tells of the refused save, of data that are not there, and of the script that does not run.
    told = ("409 (Conflict)", "400 (Bad Request)", "sandboxed")
    assert [text for text in said if not any(each in text for each in told)] == []
    assert asked == {address.partition("://")[2].rstrip("/")}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.skipif("FUSIONKIT_AXE" not in os.environ, reason="FUSIONKIT_AXE names no axe.min.js")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(address: str, browser: Browser, theme: Any):
    page = browser.new_page(color_scheme=theme, bypass_csp=True)
    page.set_default_timeout(20_000)
    page.goto(f"{address}#token={TOKEN}")
    page.evaluate(Path(os.environ["FUSIONKIT_AXE"]).read_text())
    found: list[Any] = []
    run = ("axe.run({iframes: false}).then((made) => made.violations.map((each) => "
           "[location.hash, each.id, each.nodes.map((node) => node.html.slice(0, 120))]))")
    page.get_by_role("button", name="Components").click()
    for place, there in (("graph/graph.yaml", ".node"), ("graph/data.yaml", ".findings .error"),
                         ("diff/graph.yaml/other.yaml", ".changes td"), ("runs", "tbody td"), ("run/cv", "svg.curve"),
                         ("begin", ".card"), ("cases/cv", ".side table"), ("compare/cmp", "svg.dots"),
                         ("train/graph.yaml", "form"), ("work", "table"), ("new/ct-and-table", ".node"),
                         ("page/cv/report/report.html", "iframe")):
        page.evaluate(f"location.hash = '#/{place}'")
        page.locator(there).first.wait_for()
        found += page.evaluate(run)
    assert found == []
    page.close()


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
    (folder / "graph.yaml").write_text("fusionkit: 1\nname: other\n")
    page.evaluate("dispatchEvent(new Event('focus'))")  # as one comes back from another program
    expect(page.get_by_text("this is its text")).to_be_visible()
    assert area.input_value() == "fusionkit: 1\nname: other\n"
    (folder / "graph.yaml").write_text("fusionkit: 1\n")
    area.fill(TEXT)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Keep mine")).to_be_visible()
    assert (folder / "graph.yaml").read_text() == "fusionkit: 1\n"
    page.get_by_role("button", name="Keep mine").click()
    expect(page.get_by_text("graph.yaml is saved")).to_be_visible()
    gestures(page, folder)
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="cv", exact=True).click()
    expect(page.get_by_role("img")).to_have_attribute("aria-label", "loss: train loss from 0.800 to 0.375 in 3 epochs")
    expect(page.get_by_text("2 of 2 folds")).to_have_count(0)
    keep(page, "run")


def box(locator: Locator) -> dict[str, float]:
    """Where an element comes to rest; while the drawing is made anew, one within it is nowhere for a moment."""
    before = None
    for _ in range(100):
        found = locator.bounding_box()
        if found is not None and found == before:
            return dict(found)
        before = found
        time.sleep(0.2)
    raise AssertionError(f"{locator} is not shown")


def gestures(page: Page, folder: Path) -> None:
    """A component is dropped on a wire, another is added by the keyboard; two graphs; a data file with a mistake."""
    from playwright.sync_api import expect

    area = page.locator("textarea")
    page.get_by_role("button", name="Components").click()
    page.get_by_label("Search components").fill("encoder.dropout")
    part = page.get_by_role("button", name="encoder.dropout:")
    drawing = page.locator(".drawing")
    told, around = box(page.locator(".node[data-node=told]")), box(drawing)
    # Just behind the box: on the wire from it to its reader.
    part.drag_to(drawing, target_position={"x": told["x"] + told["width"] + 20 - around["x"],
                                           "y": told["y"] + told["height"] / 2 - around["y"]})
    expect(page.locator(".node[data-node=dropout]")).to_have_count(1)
    assert area.input_value() == TEXT.replace("[told, scan]", "[dropout, scan]").replace(
        "classes: [a, b]}}\n", "classes: [a, b]}}\n  dropout: {use: encoder.dropout, from: told}\n")
    page.locator(".node[data-node=both]").click()
    page.get_by_label("Where a component is added").select_option(label="reading both")
    part.press("Enter")
    expect(page.locator(".node[data-node=dropout_2]")).to_have_count(1)
    keep(page, "palette")
    for _ in range(2):  # each was one change
        area.press("Control+z")
    expect(page.locator(".node")).to_have_count(5)
    assert area.input_value() == TEXT
    page.get_by_label("Compare with").select_option("other.yaml")
    expect(page.get_by_role("row", name="told.with.hidden not there [7]")).to_be_visible()
    expect(page.locator(".node[data-node=told]").first).to_contain_text("changed")
    keep(page, "two")
    page.evaluate("location.hash = '#/graph/data.yaml'")
    expect(page.locator("#findings")).to_contain_text("[missing-key]")
    keep(page, "data")


def others(page: Page, folder: Path) -> None:
    """The pages that lead on from a run, and from an empty folder."""
    from playwright.sync_api import expect

    page.get_by_role("link", name="report: cv/report/report.html").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="the report")).to_be_visible()
    keep(page, "report")
    page.go_back()
    page.get_by_role("link", name="cases, the worst first").click()
    expect(page.get_by_role("heading", name="c2")).to_be_visible()
    expect(page.get_by_label("Case", exact=True)).to_contain_text("+0.250")
    expect(page.get_by_label("Case", exact=True)).to_contain_text("The data cannot be shown")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="c3")).to_be_visible()
    page.get_by_text("confusion matrix").click()
    page.get_by_role("button", name="1: b predicted as a").click()
    expect(page.locator("tr[data-case]")).to_have_count(1)
    keep(page, "cases")
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="cmp", exact=True).click()
    expect(page.get_by_role("img", name="fusion.sum: 0.750 (0.625 to 0.875)")).to_be_visible()
    keep(page, "comparison")
    page.get_by_role("link", name="New").click()
    expect(page.get_by_role("button", name="Look again")).to_be_enabled()
    page.get_by_role("button", name="Open it").click()
    expect(page.locator(".node").first).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("breast-cancer.yaml is saved")).to_be_visible()
    assert page.url.endswith("#/graph/breast-cancer.yaml") and (folder / "breast-cancer.yaml").is_file()
    (folder / "graph.yaml").write_text(TEXT)
    page.evaluate("location.hash = '#/train/graph.yaml'")
    page.get_by_label("Folder for the run").fill("runs/one")
    page.get_by_label("Epochs").fill("3")
    expect(page.get_by_text("fusionkit train graph.yaml data.yaml -o runs/one --epochs 3")).to_be_visible()
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_role("heading", name="train: starting")).to_be_visible()
    keep(page, "work")
    job, = (folder / ".fusionkit" / "work").glob("*/job.json")
    assert "--epochs=3" in json.loads(job.read_text())["argv"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_keyboard_reaches_a_node_and_its_line(address: str, browser: Browser):
    page = browser.new_page()
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    page.evaluate("document.activeElement.blur()")
    here = "document.activeElement.closest('.node') ? document.activeElement.closest('.node').dataset.node : null"
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate(here):
            break
    assert page.evaluate(here) == "lab"
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    before = page.evaluate("document.activeElement.value.slice(0, document.activeElement.selectionStart)")
    assert before.count("\n") == 4  # the third box is the first node, on the fifth line
    page.close()


def keep(page: Page, name: str) -> None:
    """A screenshot, where the environment names a folder for them."""
    folder = os.environ.get("FUSIONKIT_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"studio-{name}.png")
